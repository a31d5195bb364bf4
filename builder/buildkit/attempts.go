package buildkit

import (
	"context"
	"errors"
	"time"

	"github.com/containerd/platforms"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
)

// attempt is one execution of a step. The daemon keeps how it failed until every Solve
// with the step has written its history, and tells that to others who ask for the step
// meanwhile, with the time when it began (solver/jobs.go: sharedOp.Exec, Discard,
// connectProgressFromState).
type attempt struct {
	step    digest.Digest
	started time.Time // zero if unknown
}

// staleTries is how often a job hears a failure again before it believes it.
const staleTries = 8

// solveAnew solves, and solves again while the daemon tells of a failure that the job
// has heard of before.
func (s *Solver) solveAnew(ctx context.Context, job planner.Job, heard map[attempt]bool) ([]ocispec.Descriptor, error) {
	for try := 1; ; try++ {
		images, err := s.solve(ctx, job)
		var e *Error
		if !errors.As(err, &e) || e.attempt.started.IsZero() {
			return images, err
		}
		if e.assisted {
			s.assisted.Store(e.attempt, true)
		}
		_, e.assisted = s.assisted.Load(e.attempt)
		if !heard[e.attempt] || try == staleTries {
			heard[e.attempt] = true
			return images, err
		}
		s.opts.Logger.DebugContext(ctx, "the daemon still has the step's last failure; trying again",
			"platform", platforms.Format(job.Platform), "step", e.Step)
		if err := pause(ctx, try); err != nil {
			return nil, err
		}
	}
}
