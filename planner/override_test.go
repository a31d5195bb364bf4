package planner_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/planner"
)

func TestOverrides(t *testing.T) {
	text := []byte("ARG BASE=debian\nFROM $BASE AS one\nFROM one AS two\nRUN x\nFROM one\nRUN y\n")
	wanted, err := planner.ParsePlatforms("linux/amd64,linux/arm64,linux/arm/v7")
	if err != nil {
		t.Fatal(err)
	}
	opts := planner.Options{
		Platforms: wanted, Args: map[string]string{"A": "all", "B": "all"},
		Overrides: map[string]planner.Override{
			"linux/arm64":   {Args: map[string]string{"BASE": "arm64v8/debian", "B": "own"}},
			"linux/arm/v7":  {Target: "two"},
			"linux/riscv64": {Target: "nowhere"}, // not built
		},
	}
	plan, err := planner.Expand(text, opts)
	if err != nil {
		t.Fatal(err)
	}
	type job struct {
		Target, Base, Last string
		Args               map[string]string
	}
	var got []job
	for _, j := range plan.Jobs {
		got = append(got, job{j.Target, j.Stages[0].Base, j.Stages[len(j.Stages)-1].Name, j.Args})
	}
	want := []job{
		{"", "debian", "stage-2", map[string]string{"A": "all", "B": "all"}},
		{"", "arm64v8/debian", "stage-2", map[string]string{"A": "all", "B": "own", "BASE": "arm64v8/debian"}},
		{"two", "debian", "two", map[string]string{"A": "all", "B": "all"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	opts.Overrides["linux/arm64"] = planner.Override{Target: "tow"}
	if _, err := planner.Expand(text, opts); err == nil {
		t.Error("a target that does not exist is accepted")
	}
}
