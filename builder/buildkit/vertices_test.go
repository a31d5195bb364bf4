package buildkit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/builder/buildkit"
)

func second(n int) *time.Time {
	moment := time.Unix(int64(n), 0)
	return &moment
}

// told is a message about a step; its end is unknown if to is 0.
func told(name string, from, to int, change func(*client.Vertex)) *client.SolveStatus {
	v := &client.Vertex{Digest: digest.FromString(name), Name: name, Inputs: []digest.Digest{digest.FromString("base")}}
	if from > 0 {
		v.Started = second(from)
	}
	if to > 0 {
		v.Completed = second(to)
	}
	if change != nil {
		change(v)
	}
	return &client.SolveStatus{Vertexes: []*client.Vertex{v}}
}

func TestVertexRan(t *testing.T) {
	cached := func(v *client.Vertex) { v.Cached = true }
	source := func(v *client.Vertex) { v.Inputs = nil }
	cachedSource := func(v *client.Vertex) { v.Cached, v.Inputs = true, nil }
	failed := func(v *client.Vertex) { v.Error = "exit code: 1" }
	tests := map[string]struct {
		told []*client.SolveStatus
		took time.Duration
		ran  bool
	}{
		"only known":             {told: []*client.SolveStatus{told("step", 0, 0, nil)}},
		"under way":              {told: []*client.SolveStatus{told("step", 1, 0, nil)}},
		"executed":               {told: []*client.SolveStatus{told("step", 1, 0, nil), told("step", 1, 4, nil)}, took: 3 * time.Second, ran: true},
		"told twice":             {told: []*client.SolveStatus{told("step", 1, 4, nil), told("step", 1, 0, nil), told("step", 1, 4, nil)}, took: 3 * time.Second, ran: true},
		"two intervals":          {told: []*client.SolveStatus{told("step", 10, 12, nil), told("step", 1, 2, nil)}, took: 3 * time.Second, ran: true},
		"overlapping":            {told: []*client.SolveStatus{told("step", 1, 5, nil), told("step", 2, 3, nil), told("step", 4, 7, nil)}, took: 6 * time.Second, ran: true},
		"cached":                 {told: []*client.SolveStatus{told("step", 1, 0, cached), told("step", 1, 2, cached)}},
		"failed":                 {told: []*client.SolveStatus{told("step", 1, 4, failed)}},
		"failed, then succeeded": {told: []*client.SolveStatus{told("step", 1, 4, failed), told("step", 5, 6, nil)}, took: time.Second, ran: true},
		"succeeded, then failed": {told: []*client.SolveStatus{told("step", 1, 4, nil), told("step", 5, 6, failed)}},
		"tried again, from the cache then": {
			told: []*client.SolveStatus{told("step", 1, 4, nil), told("step", 8, 9, cached)}, took: 3 * time.Second, ran: true,
		},
		"source in the cache": {told: []*client.SolveStatus{told("step", 1, 4, source), told("step", 5, 6, cachedSource)}},
		"source":              {told: []*client.SolveStatus{told("step", 1, 4, source), told("step", 5, 6, source)}, took: 4 * time.Second, ran: true},
		"an end before the beginning": {
			told: []*client.SolveStatus{told("step", 4, 1, nil)}, ran: true,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var vertices buildkit.Vertices
			for _, status := range test.told {
				vertices.Observe(status)
			}
			vertices.Observe(nil)
			all := vertices.All()
			if len(all) != 1 || all[0].Digest != digest.FromString("step") || all[0].Name != "step" {
				t.Fatalf("steps: %+v", all)
			}
			if took, ran := all[0].Ran(); took != test.took || ran != test.ran {
				t.Errorf("ran %t for %s, want %t for %s", ran, took, test.ran, test.took)
			}
		})
	}
}

// What All returns does not change afterwards, and has the order of the messages.
func TestVertices(t *testing.T) {
	var vertices buildkit.Vertices
	if all := vertices.All(); len(all) != 0 {
		t.Errorf("steps of nothing: %+v", all)
	}
	vertices.Observe(told("b", 1, 2, nil))
	vertices.Observe(told("a", 1, 0, nil))
	before := vertices.All()
	vertices.Observe(told("b", 0, 0, func(v *client.Vertex) { v.Name = "another build's name" }))
	vertices.Observe(told("b", 0, 0, func(v *client.Vertex) { v.Started, v.Completed, v.Error = second(3), second(4), "no" }))
	want := []buildkit.Vertex{
		{Digest: digest.FromString("b"), Name: "b", Intervals: []buildkit.Interval{{Started: *second(1), Completed: *second(2)}}},
		{Digest: digest.FromString("a"), Name: "a"},
	}
	if diff := cmp.Diff(want, before); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if all := vertices.All(); all[0].Error != "no" || all[0].Name != "b" {
		t.Errorf("steps at last: %+v", all)
	}
}

// The digest is the one of BuildKit's solver.
func TestUncached(t *testing.T) {
	step := digest.FromString("step")
	if got, want := buildkit.Uncached(step), digest.FromBytes([]byte(step.String()+"-ignorecache")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func ExampleVertices() {
	var vertices buildkit.Vertices
	vertices.Observe(told("RUN make", 10, 0, nil))
	vertices.Observe(told("RUN make", 10, 100, nil))
	for _, v := range vertices.All() {
		if took, ran := v.Ran(); ran {
			fmt.Println(v.Name, "took", took)
		}
	}
	// Output: RUN make took 1m30s
}
