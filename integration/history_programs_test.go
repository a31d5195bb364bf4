package integration

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/planner/history"
)

// TestHistoryOfPrograms: the next plan tells in what emulated commands spent their
// time, if the build was to find out; names of programs are all that is kept.
func TestHistoryOfPrograms(t *testing.T) {
	if !dispatch.Supported() {
		t.Skip("the engine tells where emulated time goes on linux/amd64 alone")
	}
	const dockerfile = "FROM busybox\nRUN : a-secret; i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done\n"
	for accounting, want := range map[string]bool{"on": true, "off": false} {
		t.Run(accounting, func(t *testing.T) {
			k := keeper{t.TempDir()}
			dir := project(t, map[string]string{"Dockerfile": dockerfile})
			k.build(t, "--no-cache", "--accounting="+accounting, dir)
			for _, r := range k.records(t, dir) {
				for _, ran := range r.Runs {
					if tells := len(ran.Programs) > 0; tells != (want && ran.Emulated) {
						t.Errorf("run %+v", ran)
					}
				}
			}
			text, err := os.ReadFile(k.files(t)[0])
			if err != nil || strings.Contains(string(text), "a-secret") || strings.Contains(string(text), "while") {
				t.Errorf("the command is in the history: %s, error %v", text, err)
			}
			if got := k.planned(t, dir); (got.Name == "sh" && got.Time > 0) != want {
				t.Errorf("the plan has %+v", got)
			}
		})
	}
}

// planned is the program that a plan names first.
func (k keeper) planned(t *testing.T, dir string) history.Program {
	t.Helper()
	res := finish(t, k.command(t, "plan", "--json", "--platform", "linux/amd64,linux/arm64", dir))
	if res.code != 0 {
		t.Fatalf("exit code %d\n%s", res.code, res.stderr)
	}
	var plan struct {
		Steps []struct {
			Programs []struct {
				Name string
				Ms   int64
			}
		}
	}
	if err := json.Unmarshal([]byte(res.stdout), &plan); err != nil {
		t.Fatal(err)
	}
	for _, s := range plan.Steps {
		for _, p := range s.Programs {
			return history.Program{Name: p.Name, Time: time.Duration(p.Ms) * time.Millisecond}
		}
	}
	return history.Program{}
}
