package buildkit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/buildkittest"
)

// Case 27: a step that hangs is ended, with its place and what it said last.
func TestSolveEndsAnIdleStep(t *testing.T) {
	solver, _ := newSolver(t, func(ctx context.Context, solve *buildkittest.Solve) (map[string]string, error) {
		step, status := vertex("[build 3/3] RUN go build", "")
		solve.Report(status)
		solve.Report(output(step, "compiling\nlinking"))
		<-ctx.Done()
		return nil, ctx.Err()
	}, buildkit.Options{IdleTimeout: 50 * time.Millisecond})
	_, err := solver.Solve(t.Context(), jobFor(t, "linux/arm64"))
	var e *buildkit.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v", err)
	}
	want := &buildkit.Error{
		Kind: buildkit.BuildFailed, Platform: e.Platform, Step: "[build 3/3] RUN go build", Stage: "build",
		File: "Dockerfile", Line: 3, Log: []string{"compiling", "linking"}, Hint: e.Hint, Err: e.Err,
	}
	if diff := cmp.Diff(want, e, cmp.Comparer(func(a, b error) bool { return a.Error() == b.Error() })); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	if want := "the step printed nothing for 50ms and was ended: [build 3/3] RUN go build"; e.Err.Error() != want || e.Hint == "" {
		t.Errorf("error %q, want %q", e.Err, want)
	}
}

// An interrupt is what it is, also while a step is watched.
func TestSolveInterruptedIdleStep(t *testing.T) {
	interrupt := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	solver, _ := newSolver(t, func(ctx context.Context, solve *buildkittest.Solve) (map[string]string, error) {
		_, status := vertex("[build 3/3] RUN go build", "")
		solve.Report(status)
		cancel(interrupt)
		<-ctx.Done()
		return nil, ctx.Err()
	}, buildkit.Options{IdleTimeout: time.Hour})
	if _, err := solver.Solve(ctx, jobFor(t, "linux/arm64")); err != interrupt {
		t.Errorf("error %v, want %v", err, interrupt)
	}
}
