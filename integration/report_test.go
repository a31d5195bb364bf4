package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/report"
	"github.com/mabuild/mabuild/builder/report/reporttest"
)

const reportDockerfile = `FROM --platform=$BUILDPLATFORM busybox AS assets
RUN sleep 0.3 && echo made for all > /site
FROM busybox
RUN echo "<script>alert(1)</script>" && sleep 0.5
COPY --from=assets /site /site
`

// reported is a build as it is kept.
func reported(t *testing.T, k keeper, id string) *report.Build {
	t.Helper()
	b, err := report.Store{Dir: filepath.Join(k.cache, "mabuild", "builds")}.Load(id)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestReport holds what the report of a real build says, and that its page works.
func TestReport(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "")
	k := keeper{t.TempDir()}
	dir := project(t, map[string]string{"Dockerfile": reportDockerfile})
	page := filepath.Join(t.TempDir(), "build.html")
	digest := strings.TrimSpace(k.build(t, "--report", page, "--no-cache", dir).stdout)

	b := reported(t, k, "")
	if b.Digest != digest || b.Error != "" || len(b.Platforms) != 2 {
		t.Errorf("digest %q, error %q, platforms %+v; want %q and two", b.Digest, b.Error, b.Platforms, digest)
	}
	for _, p := range b.Platforms {
		if p.Digest == "" || p.Size() < 1000 || len(p.Layers) < 3 || !strings.HasPrefix(p.Layers[len(p.Layers)-1].CreatedBy, "COPY /site") || !p.Completed.After(p.Started) {
			t.Errorf("platform %+v", p)
		}
	}
	states := make(map[string]int)
	for _, s := range b.Steps {
		if s.State == "" {
			continue
		}
		states[fmt.Sprintf("L%d %s for %d", s.Line, s.State, len(s.Platforms))]++
		if s.Cached || s.Duration() < 300*time.Millisecond || len(s.Inputs) == 0 || len(s.Log) != s.Line/4 {
			t.Errorf("step %+v", s)
		}
	}
	if diff := cmp.Diff(map[string]int{"L2 native for 2": 1, "L4 native for 1": 1, "L4 emulated for 1": 1}, states); diff != "" {
		t.Error(diff)
	}
	path := b.CriticalPath()
	if len(path.Steps) < 3 || path.Work < 500*time.Millisecond || path.Work+path.Wait > b.Duration() {
		t.Errorf("critical path %+v of %s", path, b.Duration())
	}

	browser := reporttest.Open(t, page, reporttest.Options{})
	for i, s := range b.Steps {
		if s.Line != 4 || s.ExecPlatform != "linux/arm64" {
			continue
		}
		browser.Click(fmt.Sprintf(`#chart .lane:not(.folded *) button[data-step="%d"]`, i))
		panel := browser.Text("#panel")
		for _, want := range []string{`RUN echo "<script>alert(1)</script>" && sleep 0.5`, "emulated", "line 4", "linux/arm64", "\n<script>alert(1)</script>"} {
			if !strings.Contains(panel, want) {
				t.Errorf("%q is not in the panel:\n%s", want, panel)
			}
		}
	}
}

// TestReportOfFailures: a build that fails has a report, with the output of the step
// that failed and what was stopped for it.
func TestReportOfFailures(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "")
	k := keeper{t.TempDir()}
	dir := project(t, map[string]string{"Dockerfile": "FROM busybox\nARG TARGETARCH\nRUN echo on $TARGETARCH; if [ $TARGETARCH = arm64 ]; then sleep 5; exit 3; fi; sleep 60\n"})
	page := filepath.Join(t.TempDir(), "build.html")
	fails(t, k.command(t, "--platform", "linux/amd64,linux/arm64", "--report", page, dir), 1, "exit code: 3")
	b := reported(t, k, "")
	if b.Error == "" || b.Digest != "" || b.Platforms[1].Error == "" || !b.Platforms[0].Canceled {
		t.Errorf("error %q, digest %q, platforms %+v", b.Error, b.Digest, b.Platforms)
	}
	for _, s := range b.Steps {
		arm := strings.Join(s.Platforms, "") == "linux/arm64"
		if s.Line == 3 && (arm != (s.Error != "") || arm == s.Canceled) {
			t.Errorf("step %+v", s)
		}
	}
	text := reporttest.Open(t, page, reporttest.Options{}).Text("#error")
	if !strings.Contains(text, "on arm64") || !strings.Contains(text, "exit code: 3") || strings.Contains(text, "on amd64") {
		t.Errorf("what failed:\n%s", text)
	}

	// The list has both builds, and the beginning of an ID is enough.
	k.build(t, project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo fine\n"}))
	var list []report.Summary
	res := finish(t, k.command(t, "history", "ls", "--json"))
	if err := json.Unmarshal([]byte(res.stdout), &list); err != nil || len(list) != 2 || list[0].Error != "" || list[1].ID != b.ID {
		t.Fatalf("list %s, error %v", res.stdout, err)
	}
	again := filepath.Join(t.TempDir(), "again.html")
	if res := finish(t, k.command(t, "history", "open", strings.ToLower(b.ID[:8]), "-o", again)); res.code != 0 {
		t.Fatal(res.stderr)
	}
	first, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := os.ReadFile(again); err != nil || string(first) != string(second) {
		t.Errorf("the page of a kept build is another one, error %v", err)
	}
	fails(t, k.command(t, "history", "inspect", "nosuchbuild"), 2, "mabuild history")
}
