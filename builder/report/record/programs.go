package record

import (
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/planner/exact"
)

// Programs returns what the engine told of the programs that a vertex executed, nil if
// it told nothing. The caller must not change it.
func (r *Recorder) Programs(vertex digest.Digest) *dispatch.Step {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.steps[r.ids[vertex]]; s != nil {
		return s.Programs
	}
	return nil
}

// Planned returns the step of the plan that a vertex is, nil if it is none. The caller
// must not change it.
func (r *Recorder) Planned(vertex digest.Digest) *exact.Step {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := r.ids[vertex]
	for _, step := range r.planned {
		if step.ID.String() == id {
			return step
		}
	}
	return nil
}
