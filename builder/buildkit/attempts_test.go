package buildkit_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/buildkittest"
)

// inTurn runs one script after the other, and the last one from then on.
func inTurn(runs []script) script {
	var tries atomic.Int32
	return func(ctx context.Context, solve *buildkittest.Solve) (map[string]string, error) {
		return runs[min(int(tries.Add(1)), len(runs))-1](ctx, solve)
	}
}

// began is a RUN at line 6 of [crossDockerfile] that began at that time and failed.
func began(when time.Time, code uint32, tools bool) script {
	return func(_ context.Context, solve *buildkittest.Solve) (map[string]string, error) {
		text := "exit code"
		step, status := vertex("RUN ldconfig", text)
		status.Vertexes[0].Started = &when
		solve.Report(status)
		if tools {
			solve.Report(failedWithTools(step))
		}
		return nil, at(errdefs.WrapVertex(&gatewaypb.ExitError{ExitCode: code, Err: errors.New(text)}, step), 6)
	}
}

// A daemon that still has a failure tells it again to who wants to try again. That is
// no attempt.
func TestSolveAsksAgainForWhatItHasHeard(t *testing.T) {
	t.Parallel()
	first, second := time.Unix(1, 0), time.Unix(2, 0)
	succeeds := exported(manifest(nil))
	for name, test := range map[string]struct {
		retry int
		runs  []script
		fails bool
	}{
		"with tools":       {runs: []script{began(first, 1, true), began(first, 1, true), succeeds}},
		"no word of them":  {runs: []script{began(first, 1, true), began(first, 1, false), succeeds}},
		"fails without":    {runs: []script{began(first, 1, true), began(first, 1, true), began(second, 1, false)}, fails: true},
		"a crash":          {retry: 1, runs: []script{began(first, 139, false), began(first, 139, false), succeeds}},
		"crashes again":    {retry: 1, runs: []script{began(first, 139, false), began(first, 139, false), began(second, 139, false)}, fails: true},
		"not for ever":     {runs: slices.Repeat([]script{began(first, 1, true)}, 9), fails: true},
		"not wanted again": {runs: []script{began(first, 139, false)}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			solver, server := newSolver(t, inTurn(test.runs), buildkit.Options{RetryEmulated: test.retry})
			if _, err := solver.Solve(t.Context(), jobOf(t, crossDockerfile, "linux/arm64")); (err != nil) != test.fails {
				t.Errorf("error %v", err)
			}
			if got := len(server.Requests()); got != len(test.runs) {
				t.Errorf("%d tries, want %d", got, len(test.runs))
			}
		})
	}
}

// Of two jobs with the same step, it may be that only one hears that it had tools.
func TestSolveKnowsOfToolsFromAnotherJob(t *testing.T) {
	first := time.Unix(1, 0)
	succeeds := exported(manifest(nil))
	solver, server := newSolver(t, inTurn([]script{began(first, 1, true), succeeds, began(first, 1, false), succeeds}), buildkit.Options{})
	for _, platform := range []string{"linux/arm64", "linux/s390x"} {
		if _, err := solver.Solve(t.Context(), jobOf(t, crossDockerfile, platform)); err != nil {
			t.Errorf("%s: %v", platform, err)
		}
	}
	if got := len(server.Requests()); got != 4 {
		t.Errorf("%d tries", got)
	}
}
