package integration

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mabuild/mabuild/builder/contexts/contextstest"
	"github.com/mabuild/mabuild/integration/testbed"
)

// runner is one of GitHub Actions, with the files that a step gets.
type runner struct {
	dir    string
	entry  string // of the action
	state  string
	inputs map[string]string
	env    []string
}

func newRunner(t *testing.T, inputs map[string]string) *runner {
	t.Helper()
	entry, err := filepath.Abs("../cmd/action/main.js")
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{dir: t.TempDir(), entry: entry, state: shared.state, inputs: inputs, env: []string{"MABUILD_BINARY=" + shared.binary}}
	for _, name := range []string{"temp", "tools"} {
		if err := os.Mkdir(filepath.Join(r.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// command is the main phase of the step, with the variables that a runner sets.
func (r *runner) command(t *testing.T, workspace string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", r.entry)
	cmd.Dir, cmd.WaitDelay = workspace, 20*time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Env = append(shared.environment(r.state), "MABUILD_CI=",
		"GITHUB_ACTIONS=true", "CI=true", "GITHUB_WORKSPACE="+workspace, "GITHUB_REPOSITORY=me/app", "GITHUB_RUN_ID=4711", "GITHUB_RUN_ATTEMPT=1",
		"GITHUB_SERVER_URL=https://github.com", "GITHUB_SHA="+strings.Repeat("0a", 20), "GITHUB_REF=refs/heads/main",
		"RUNNER_OS=Linux", "RUNNER_ARCH=X64", "RUNNER_TEMP="+filepath.Join(r.dir, "temp"), "RUNNER_TOOL_CACHE="+filepath.Join(r.dir, "tools"),
	)
	for _, name := range []string{"OUTPUT", "STEP_SUMMARY", "STATE", "ENV", "PATH"} {
		cmd.Env = append(cmd.Env, "GITHUB_"+name+"="+filepath.Join(r.dir, strings.ToLower(name)))
	}
	for name, value := range r.inputs {
		cmd.Env = append(cmd.Env, "INPUT_"+strings.ToUpper(name)+"="+value)
	}
	cmd.Env = append(cmd.Env, r.env...)
	return cmd
}

// file is what the step wrote.
func (r *runner) file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}

// outputs are those of the step, as the runner reads them.
func (r *runner) outputs(t *testing.T) map[string]string {
	t.Helper()
	text, outputs := r.file(t, "output"), make(map[string]string)
	for len(text) > 0 {
		name, rest, found := strings.Cut(text, "<<")
		delimiter, rest, _ := strings.Cut(rest, "\n")
		value, after, ended := strings.Cut(rest, "\n"+delimiter+"\n")
		if !found || !ended {
			t.Fatalf("not a file of outputs: %q", text)
		}
		outputs[name], text = value, after
	}
	return outputs
}

// TestAction is the whole path of a step: the action's entry, the engine, six
// platforms, the index, outputs and the summary.
func TestAction(t *testing.T) {
	target := registry(t, testbed.RegistryOptions{})
	dir := project(t, map[string]string{"Dockerfile": `FROM busybox
RUN echo "::error::from a step"; echo "##[error]from a step"
RUN --mount=type=secret,id=token cat /run/secrets/token && uname -m > /arch
`})
	r := newRunner(t, map[string]string{
		"context": ".", "platforms": six, "push": "true", "tags": target.Addr + "/app:1\n" + target.Addr + "/app:2", "no-cache": "true",
		"secrets": "token=open-sesame", "provenance": "false", "platform": "linux/386", "report": filepath.Join(t.TempDir(), "report.html"),
	})
	res := finish(t, r.command(t, dir))
	if res.code != 0 {
		t.Fatalf("exit code %d\n%s", res.code, res.stderr)
	}
	checkLog(t, res.stderr, "open-sesame")
	if !strings.Contains(res.stderr, "did you mean platforms") {
		t.Errorf("the unknown input is not warned about:\n%s", res.stderr)
	}
	outputs := r.outputs(t)
	var names []map[string]any
	if err := json.Unmarshal([]byte(outputs["platforms"]), &names); err != nil || len(names) != 6 {
		t.Errorf("platforms %s: %v", outputs["platforms"], err)
	}
	for _, tag := range []string{"1", "2"} {
		if got := strings.TrimSpace(mabuildWith(t, r.env, "inspect", "--format", "{{.Manifest.Digest}}", target.Addr+"/app:"+tag).stdout); got != outputs["digest"] {
			t.Errorf("tag %s is %s, the output %s", tag, got, outputs["digest"])
		}
	}
	for platform := range strings.SplitSeq(six, ",") {
		name := "digest-" + strings.ReplaceAll(platform, "/", "-")
		if !strings.HasPrefix(outputs[name], "sha256:") {
			t.Errorf("output %s is %q", name, outputs[name])
		}
		if strings.Count(res.stderr, "::group::"+platform+" ") != 1 {
			t.Errorf("%s has no group, or several", platform)
		}
		if !strings.Contains(r.file(t, "step_summary"), platform+" |") {
			t.Errorf("%s is not in the summary:\n%s", platform, r.file(t, "step_summary"))
		}
	}
	if left, _ := os.ReadDir(filepath.Join(r.dir, "temp")); len(left) > 0 {
		t.Errorf("the step left %v", left)
	}
	if info, err := os.Stat(r.inputs["report"]); err != nil || info.Size() < 1000 {
		t.Errorf("the report: %v", err)
	}
}

// checkLog holds that groups are balanced, that no line of a step is a command, and
// that secrets are masked before anything else is said.
func checkLog(t *testing.T, log, secret string) {
	t.Helper()
	open := false
	for i, line := range strings.Split(log, "\n") {
		switch command, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "::"), "::"); {
		case strings.Contains(line, "from a step") && (strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##[")):
			t.Errorf("line %d is a command: %s", i+1, line)
		case strings.Contains(line, secret) && line != "::add-mask::"+secret:
			t.Errorf("line %d has the secret: %s", i+1, line)
		case !strings.HasPrefix(line, "::"):
		case command == "group" && open, command == "endgroup" && !open:
			t.Errorf("line %d: groups are not balanced: %s", i+1, line)
		case command == "group", command == "endgroup":
			open = command == "group"
		}
	}
	before, _, masked := strings.Cut(log, "::add-mask::"+secret+"\n")
	if !masked || strings.Contains(strings.ReplaceAll(before, "::add-mask::", ""), "::") {
		t.Errorf("the secret is not masked before anything is said:\n%s", before)
	}
}

// TestActionFails has one platform that fails: its output is the last and open, with an
// annotation at the line, and the exit code is mabuild's.
func TestActionFails(t *testing.T) {
	dir := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN test $(uname -m) != aarch64 || { echo broken here; exit 9; }\n"})
	r := newRunner(t, map[string]string{
		"context": ".", "platforms": "linux/amd64,linux/arm64", "keep-going": "true",
		"outputs": "type=oci,dest=" + filepath.Join(t.TempDir(), "x.tar"),
	})
	res := finish(t, r.command(t, dir))
	if res.code != 1 {
		t.Errorf("exit code %d", res.code)
	}
	last := res.stderr[strings.LastIndex(res.stderr, "::endgroup::"):]
	for _, want := range []string{"::error file=Dockerfile,line=2,title=linux/arm64::", "==> linux/arm64", "broken here", "mabuild: linux/arm64: Dockerfile:2"} {
		if !strings.Contains(last, want) {
			t.Errorf("%q is not at the end:\n%s", want, res.stderr)
		}
	}
	if outputs := r.file(t, "output"); outputs != "" {
		t.Errorf("outputs %q", outputs)
	}
	if summary := r.file(t, "step_summary"); !strings.Contains(summary, "broken here") {
		t.Errorf("summary %q", summary)
	}
}

// TestActionPrivate builds the commit of a repository that only the token opens, which
// is the context of a step that names none.
func TestActionPrivate(t *testing.T) {
	server := contextstest.New(t)
	commit := server.Repository(t, "app").Commit("main", map[string]string{
		"Dockerfile": "FROM scratch\nCOPY file /\n", "file": "1", "sub/Dockerfile": "FROM scratch\nCOPY file /sub\n", "sub/file": "2",
	})
	for _, test := range []struct {
		name, context, token string
		code                 int
	}{
		{"the repository", "", "hunter2", 0},
		{"a directory", "{{defaultContext}}:sub", "hunter2", 0},
		{"another token", "", "swordfish", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			dest := filepath.Join(t.TempDir(), "x.tar")
			r := newRunner(t, map[string]string{"context": test.context, "github-token": test.token, "platforms": pair, "outputs": "type=oci,dest=" + dest})
			r.env = append(r.env, "GITHUB_SERVER_URL="+server.URL+"/private", "GITHUB_REPOSITORY=app", "GITHUB_SHA="+commit)
			res := finish(t, r.command(t, t.TempDir()))
			if res.code != test.code {
				t.Fatalf("exit code %d\n%s", res.code, res.stderr)
			}
			if strings.Contains(strings.ReplaceAll(res.stderr, "::add-mask::"+test.token, ""), test.token) {
				t.Errorf("the token is in the log:\n%s", res.stderr)
			}
			if _, err := os.Stat(dest); (err == nil) != (test.code == 0) {
				t.Errorf("the result: %v", err)
			}
			if test.code != 0 && !strings.Contains(res.stderr, "::error title=mabuild::") {
				t.Errorf("no annotation:\n%s", res.stderr)
			}
		})
	}
}

// TestActionRefuses has inputs and files that cannot be: each is an annotation with the
// documented exit code, and nothing is built.
func TestActionRefuses(t *testing.T) {
	dir := project(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n", "bad.Dockerfile": "FROM scratch\nCOPPY x /\n"})
	for name, test := range map[string]struct {
		inputs map[string]string
		env    string
		code   int
		want   string
	}{
		"platform":          {map[string]string{"platforms": "linux/foo"}, "", 2, "title=mabuild::platform"},
		"no tags":           {map[string]string{"push": "true"}, "", 2, "title=mabuild::pushing needs a name"},
		"shard":             {map[string]string{"platforms": pair, "shard": "linux/amd64", "tags": "localhost/x"}, "", 2, "title=mabuild::the machines of --shard"},
		"join is no switch": {map[string]string{"join": "ja"}, "", 2, "title=mabuild::reading the input join"},
		"join without tags": {map[string]string{"join": "True"}, "", 2, "title=mabuild::joining shards needs"},
		"standard output":   {map[string]string{"outputs": "type=oci"}, "", 2, "title=mabuild::the input outputs"},
		"no Dockerfile":     {map[string]string{"file": "none"}, "", 2, "title=mabuild::the Dockerfile"},
		"bad Dockerfile":    {map[string]string{"file": "bad.Dockerfile"}, "", 1, "file=bad.Dockerfile,line=2,title=mabuild::"},
		"event":             {nil, "GITHUB_EVENT_PATH=" + dir, 1, "title=mabuild::reading the event"},
		"outputs":           {nil, "GITHUB_OUTPUT=" + filepath.Join(dir, "none", "output"), 1, "title=mabuild::telling the runner"},
		"binary":            {nil, "MABUILD_BINARY=" + filepath.Join(dir, "Dockerfile"), 1, "title=mabuild::MABUILD_BINARY"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRunner(t, map[string]string{"context": ".", "platform": "x"})
			maps.Copy(r.inputs, test.inputs)
			r.env = append(r.env, test.env)
			res := finish(t, r.command(t, dir))
			if log := res.stdout + res.stderr; res.code != test.code || strings.Count(log, "::error ") != 1 || !strings.Contains(log, test.want) {
				t.Errorf("exit code %d, want %d and %q\n%s", res.code, test.code, test.want, log)
			}
			if name != "event" && name != "binary" && name != "join is no switch" && !strings.Contains(res.stderr, "did you mean platforms") {
				t.Errorf("the unknown input is not warned about:\n%s", res.stderr)
			}
			if outputs := r.file(t, "output"); outputs != "" {
				t.Errorf("outputs %q", outputs)
			}
		})
	}
}

// TestActionPhases interrupts the main phase as a runner does, and runs the other one.
func TestActionPhases(t *testing.T) {
	step, process := waitingStep()
	dir := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN " + step + "\n"})
	r := newRunner(t, map[string]string{"context": ".", "no-cache": "true"})
	r.state = filepath.Join(shortDir(t), "state")
	t.Cleanup(func() { stopEngine(t, shared.environment(r.state)) })
	cmd := r.command(t, dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitProcess(t, process, true)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
		t.Errorf("%v\n%s", err, stderr.String())
	}
	name, binary, _ := strings.Cut(strings.TrimSpace(r.file(t, "state")), "=")
	if name != "mabuild" || binary != shared.binary {
		t.Errorf("the state is %s=%s", name, binary)
	}
	post := r.command(t, dir)
	post.Env = append(post.Env, "STATE_"+name+"="+binary)
	if res := finish(t, post); res.code != 0 {
		t.Errorf("exit code %d\n%s", res.code, res.stderr)
	}
	status := exec.Command(shared.binary, "engine", "status")
	status.Env = shared.environment(r.state)
	if text, _ := status.CombinedOutput(); !strings.Contains(string(text), "not running") {
		t.Errorf("the engine still runs: %s", text)
	}
}

// TestActionBinary gets the binary of a release: checked, kept for the next job, and
// refused when it is not the one that was released.
func TestActionBinary(t *testing.T) {
	body, err := os.ReadFile(shared.binary)
	if err != nil {
		t.Fatal(err)
	}
	var served atomic.Pointer[[]byte]
	served.Store(&body)
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.URL.Path != "/v1.2.3/mabuild_linux_"+runtime.GOARCH {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(*served.Load())
	}))
	defer server.Close()
	r := newRunner(t, map[string]string{"context": ".", "outputs": "type=oci,dest=" + filepath.Join(t.TempDir(), "x.tar")})
	script, err := os.ReadFile(r.entry)
	if err != nil {
		t.Fatal(err)
	}
	action := project(t, map[string]string{
		"cmd/action/main.js":      string(script),
		"cmd/action/release.json": fmt.Sprintf(`{"version": "v1.2.3", "sha256": {"mabuild_linux_%s": "%x"}}`, runtime.GOARCH, sha256.Sum256(body)),
	})
	r.entry, r.env = filepath.Join(action, "cmd", "action", "main.js"), []string{"MABUILD_RELEASES=" + server.URL, "GITHUB_ACTION_REF=v1"}
	dir := project(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
	for range 2 {
		if res := finish(t, r.command(t, dir)); res.code != 0 || requests.Load() != 1 {
			t.Fatalf("exit code %d, %d downloads\n%s", res.code, requests.Load(), res.stderr)
		}
	}
	if err := os.RemoveAll(filepath.Join(r.dir, "tools", "mabuild")); err != nil {
		t.Fatal(err)
	}
	served.Store(&[]byte{'#', '!', '\n'})
	res := finish(t, r.command(t, dir))
	if res.code != 1 || !strings.Contains(res.stdout, "::error title=mabuild::checking") {
		t.Errorf("another file: exit code %d\n%s%s", res.code, res.stdout, res.stderr)
	}
	kept, _ := filepath.Glob(filepath.Join(r.dir, "tools", "mabuild", "*", "*", "*"))
	if len(kept) > 0 {
		t.Errorf("kept %v", kept)
	}
}

// TestGitLab sees the log of another system, and no difference but that.
func TestGitLab(t *testing.T) {
	dir := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo \"section_start:1:x[collapsed=true]\"\n"})
	var digests []string
	for _, env := range [][]string{{"MABUILD_CI=", "GITHUB_ACTIONS=", "GITLAB_CI=true"}, {"MABUILD_CI=plain"}} {
		res := mabuildWith(t, env, "--platform", "linux/amd64,linux/arm64", "-o", "type=oci,dest="+filepath.Join(t.TempDir(), "x.tar"), dir)
		digests = append(digests, res.stdout)
		sections := strings.Count(res.stderr, "\x1b[0Ksection_start:")
		if want := map[bool]int{true: 2, false: 0}[len(env) == 3]; sections != want {
			t.Errorf("%d sections\n%s", sections, res.stderr)
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("the digests are %v", digests)
	}
}

// mabuildWith runs the command with more variables.
func mabuildWith(t *testing.T, env []string, args ...string) result {
	t.Helper()
	cmd := command(t, args...)
	cmd.Env = append(cmd.Env, env...)
	res := finish(t, cmd)
	if res.code != 0 {
		t.Fatalf("mabuild %s: exit code %d\n%s", strings.Join(args, " "), res.code, res.stderr)
	}
	return res
}
