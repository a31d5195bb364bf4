package integration

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestActionMissingBase has a base that is in no registry: the plan foretells it and
// BuildKit finds it out for each platform, but it is one annotation, at its line.
func TestActionMissingBase(t *testing.T) {
	dir := project(t, map[string]string{"Dockerfile": "FROM scratch AS none\nFROM localhost:1/nosuch\nRUN true\n"})
	r := newRunner(t, map[string]string{"context": ".", "platforms": pair, "keep-going": "true", "outputs": "type=oci,dest=" + filepath.Join(t.TempDir(), "x.tar")})
	res := finish(t, r.command(t, dir))
	if res.code != 6 || strings.Count(res.stderr, "::error") != 1 || !strings.Contains(res.stderr, "::error file=Dockerfile,line=2,title=linux/") {
		t.Errorf("exit code %d, not one annotation at line 2\n%s", res.code, res.stderr)
	}
	if told := strings.Count(r.file(t, "step_summary"), "</code> on linux/"); told != 1 {
		t.Errorf("the summary tells it %d times\n%s", told, r.file(t, "step_summary"))
	}
}

// TestActionRefusedPlan has a base without one of the platforms: an annotation says it.
func TestActionRefusedPlan(t *testing.T) {
	dir := project(t, map[string]string{"Dockerfile": "FROM scratch AS first\nFROM busybox\nRUN true\n"})
	r := newRunner(t, map[string]string{"context": ".", "platforms": "linux/amd64,linux/mips64le", "outputs": "type=oci,dest=" + filepath.Join(t.TempDir(), "x.tar")})
	res := finish(t, r.command(t, dir))
	if res.code != 4 || strings.Count(res.stderr, "::error") != 1 || !strings.Contains(res.stderr, "::error file=Dockerfile,line=2,title=linux/mips64le::busybox has no image") {
		t.Errorf("exit code %d, not one annotation at line 2\n%s", res.code, res.stderr)
	}
}

// TestActionWarns has what is wrong with the inputs, and what is found in the Dockerfile, as
// annotations: each once, and none before the secrets are masked.
func TestActionWarns(t *testing.T) {
	dir := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN --mount=type=secret,id=other true\n"})
	r := newRunner(t, map[string]string{
		"context": ".", "secrets": "token=open-sesame", "cache-from": "type=gha", "outputs": "type=oci,dest=" + filepath.Join(t.TempDir(), "x.tar"),
	})
	res := finish(t, r.command(t, dir))
	if res.code != 0 {
		t.Fatalf("exit code %d\n%s", res.code, res.stderr)
	}
	for _, want := range []string{"::warning::there is no GitHub Actions cache here", "::warning file=Dockerfile,line=2,title=linux/", "the secret other is not given"} {
		if strings.Count(res.stderr, want) != 1 {
			t.Errorf("%q is there %d times\n%s", want, strings.Count(res.stderr, want), res.stderr)
		}
	}
	if !strings.HasPrefix(res.stderr, "::add-mask::open-sesame\n") {
		t.Errorf("the log begins otherwise:\n%s", res.stderr)
	}
	if summary := r.file(t, "step_summary"); !strings.Contains(summary, "secret-missing") {
		t.Errorf("the summary has no finding\n%s", summary)
	}
}

// TestActionOwn counts as emulated what the machine does not run by itself.
func TestActionOwn(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("only amd64 runs the programs of another platform here")
	}
	dir := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN uname -m > /arch\n"})
	r := newRunner(t, map[string]string{"context": ".", "platforms": "linux/386,linux/arm64", "outputs": "type=oci,dest=" + filepath.Join(t.TempDir(), "x.tar")})
	if res := finish(t, r.command(t, dir)); res.code != 0 {
		t.Fatalf("exit code %d\n%s", res.code, res.stderr)
	}
	var platforms []struct {
		Platform string
		Emulated int
	}
	if err := json.Unmarshal([]byte(r.outputs(t)["platforms"]), &platforms); err != nil || len(platforms) != 2 {
		t.Fatalf("%v: %v", platforms, err)
	}
	for _, p := range platforms {
		if want := map[string]int{"linux/386": 0, "linux/arm64": 1}[p.Platform]; p.Emulated != want {
			t.Errorf("%s has %d emulated commands, want %d", p.Platform, p.Emulated, want)
		}
	}
	if summary := r.file(t, "step_summary"); !strings.Contains(summary, "✅ linux/386 | 1 native") {
		t.Errorf("summary %s", summary)
	}
}

// TestActionPostSpares ends a job beside one that still builds with the same engine, as on
// a runner of one's own: that goes on.
func TestActionPostSpares(t *testing.T) {
	step, process := waitingStep()
	dir := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN " + step + " && echo whole\n"})
	building, ended := newRunner(t, map[string]string{"context": ".", "no-cache": "true"}), newRunner(t, nil)
	state := filepath.Join(shortDir(t), "state")
	t.Cleanup(func() { stopEngine(t, shared.environment(state)) })
	building.state, ended.state = state, state
	cmd := building.command(t, dir)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitProcess(t, process, true)
	post := ended.command(t, dir)
	post.Env = append(post.Env, "STATE_mabuild="+shared.binary)
	began := time.Now()
	if res := finish(t, post); res.code != 0 || res.stderr != "" {
		t.Errorf("exit code %d after %s\n%s", res.code, time.Since(began), res.stderr)
	}
	endStep(t, process)
	if err := cmd.Wait(); err != nil || !strings.Contains(log.String(), "whole\n") {
		t.Errorf("%v\n%s", err, log.String())
	}
}
