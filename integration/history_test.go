package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mabuild/mabuild/planner/history"
)

// keeper runs mabuild with a cache of its own.
type keeper struct {
	cache string
}

func (k keeper) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := command(t, args...)
	cmd.Env = append(cmd.Env, "XDG_CACHE_HOME="+k.cache, "LC_ALL=C.UTF-8")
	return cmd
}

// build builds for two platforms.
func (k keeper) build(t *testing.T, args ...string) result {
	t.Helper()
	res := finish(t, k.command(t, append([]string{"--platform", "linux/amd64,linux/arm64", "--progress=plain"}, args...)...))
	if res.code != 0 {
		t.Fatalf("exit code %d\n%s", res.code, res.stderr)
	}
	return res
}

func (k keeper) records(t *testing.T, dir string) []history.Record {
	t.Helper()
	past, err := history.Store{Dir: filepath.Join(k.cache, "mabuild", "history")}.Load(history.Project(dir, filepath.Join(dir, "Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	return past.Records()
}

func (k keeper) files(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(k.cache, "mabuild", "history", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestHistory holds what a build keeps of its commands, and what comes of it.
func TestHistory(t *testing.T) {
	k := keeper{t.TempDir()}
	k.build(t, "--preflight=off", project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo no plan\n"}))
	if files := k.files(t); len(files) != 0 {
		t.Errorf("--preflight=off keeps %v", files)
	}
	dir := project(t, map[string]string{
		"file": "1", "Dockerfile": "FROM busybox\nCOPY file /\nARG TARGETARCH\n" +
			"RUN if [ $TARGETARCH = arm64 ]; then sleep 5; else sleep 0.5; fi\nRUN echo a-secret\n",
	})
	k.build(t, dir)
	first := k.records(t, dir)
	checkRecords(t, first)
	files := k.files(t)
	if len(files) != 1 {
		t.Fatalf("files %v", files)
	}
	text, err := os.ReadFile(files[0])
	if err != nil || strings.Contains(string(text), "secret") || strings.Contains(string(text), "sleep 5") {
		t.Errorf("the commands are in the history: %s, error %v", text, err)
	}

	// Nothing runs, so there is nothing to keep.
	k.build(t, dir)
	if again := k.records(t, dir); len(again) != len(first) {
		t.Errorf("a build from the cache is recorded: %+v", again[len(first):])
	}

	// Both platforms run again: the one that takes longer begins.
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("2"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := k.build(t, "--jobs", "1", dir).stderr
	began := regexp.MustCompile(`(?m)^#\d+ .*(amd64|arm64).*COPY file`).FindStringSubmatch(out)
	if began == nil || began[1] != "arm64" {
		t.Errorf("began with %q, want arm64 first:\n%s", began, out)
	}
	screen := finish(t, k.command(t, "plan", "--platform", "linux/amd64,linux/arm64", dir))
	if screen.code != 0 || !regexp.MustCompile(`Forecast .*linux/arm64.*L4.*2 earlier builds`).MatchString(screen.stdout) {
		t.Errorf("there is no forecast (exit code %d):\n%s%s", screen.code, screen.stdout, screen.stderr)
	}
}

// checkRecords holds that both commands of both platforms are there.
func checkRecords(t *testing.T, records []history.Record) {
	t.Helper()
	took := map[string][]time.Duration{}
	for _, r := range records {
		if r.Builder != "engine" || r.Build != records[0].Build || r.CPUs < 1 {
			t.Errorf("record %+v", r)
		}
		for _, ran := range r.Runs {
			took[ran.ExecPlatform] = append(took[ran.ExecPlatform], ran.Duration)
			if ran.Emulated != (ran.ExecPlatform == "linux/arm64") || ran.Stage != "stage-0" {
				t.Errorf("run %+v", ran)
			}
		}
	}
	for platform, least := range map[string]time.Duration{"linux/amd64": 500 * time.Millisecond, "linux/arm64": 1500 * time.Millisecond} {
		if took := took[platform]; len(took) != 2 || max(took[0], took[1]) < least {
			t.Errorf("the commands on %s took %s", platform, took)
		}
	}
}

// TestHistoryOfFailures: what ran to its end is kept even if the build fails, and a
// history that cannot be kept fails no build.
func TestHistoryOfFailures(t *testing.T) {
	k := keeper{t.TempDir()}
	broken := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN sleep 0.2\nRUN echo b && false\n"})
	if res := finish(t, k.command(t, "--platform", "linux/amd64", broken)); res.code == 0 {
		t.Error("a build that fails succeeds")
	}
	if kept := k.records(t, broken); len(kept) != 1 || len(kept[0].Runs) != 1 || kept[0].Runs[0].Duration < 200*time.Millisecond {
		t.Errorf("kept of a build that fails: %+v", kept)
	}
	nowhere := keeper{filepath.Join(t.TempDir(), "file")}
	if err := os.WriteFile(nowhere.cache, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	res := nowhere.build(t, project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo c\n"}))
	if !strings.Contains(res.stderr, "is not kept") {
		t.Errorf("nothing says that nothing is kept:\n%s", res.stderr)
	}
}
