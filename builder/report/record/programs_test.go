package record_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"

	"github.com/mabuild/mabuild/builder/report"
	"github.com/mabuild/mabuild/builder/report/record"
	"github.com/mabuild/mabuild/emulation/dispatch"
)

// programs is what the engine tells of a step at a time.
func programs(t *testing.T, step string, seconds float64, p any) *client.SolveStatus {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return &client.SolveStatus{Statuses: []*client.VertexStatus{
		{ID: dispatch.StepStatus + "1", Vertex: d(step), Name: string(text), Timestamp: at(seconds)},
		{ID: "extracting", Vertex: d(step), Name: "no JSON"},
	}}
}

func TestPrograms(t *testing.T) {
	failed := &dispatch.Step{Wall: 2, Hits: 1, Failed: true}
	plain := &dispatch.Step{Wall: 7, Misses: map[dispatch.Kind]int{dispatch.Unknown: 3}}
	assisted := &dispatch.Step{Wall: 1, Hits: 4, CPU: []dispatch.CPU{{Name: "/bin/sh", Emulated: true, Seconds: 0.5}}}
	for name, test := range map[string]struct {
		told  []*client.SolveStatus
		want  *dispatch.Step
		state report.State
	}{
		"nothing":            {nil, nil, report.Emulated},
		"QEMU alone":         {[]*client.SolveStatus{programs(t, "slow", 9, plain)}, plain, report.Emulated},
		"native tools":       {[]*client.SolveStatus{programs(t, "slow", 9, assisted)}, assisted, report.Assisted},
		"tried again":        {[]*client.SolveStatus{programs(t, "slow", 3, failed), programs(t, "slow", 9, plain)}, plain, report.Emulated},
		"out of order":       {[]*client.SolveStatus{programs(t, "slow", 9, plain), programs(t, "slow", 3, failed)}, plain, report.Emulated},
		"of an unknown step": {[]*client.SolveStatus{programs(t, "other", 9, plain)}, nil, report.Emulated},
		"not an object":      {[]*client.SolveStatus{programs(t, "slow", 9, "text")}, nil, report.Emulated},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBuild(record.Options{Platforms: []string{arm}})
			b.Expect(plan())
			b.hear(arm, vertex("slow", 2, 9))
			for _, status := range test.told {
				b.Observe(arm, status)
			}
			if diff := cmp.Diff(test.want, b.Programs(d("slow"))); diff != "" {
				t.Errorf("of the vertex (-want +got):\n%s", diff)
			}
			step := b.Build(record.Outcome{}).Steps[0]
			if diff := cmp.Diff(test.want, step.Programs); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if step.State != test.state {
				t.Errorf("state %q, want %q", step.State, test.state)
			}
		})
	}
}
