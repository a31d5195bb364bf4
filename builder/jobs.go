package builder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/platforms"
	"golang.org/x/sync/errgroup"

	"github.com/mabuild/mabuild/planner"
)

// order returns the numbers of the jobs in the order in which to start them.
func order(plan *planner.Plan, weight func(planner.Job) time.Duration, limit int) []int {
	numbers := make([]int, len(plan.Jobs))
	for i := range numbers {
		numbers[i] = i
	}
	if weight == nil || limit >= len(plan.Jobs) {
		return numbers
	}
	weights := make([]time.Duration, len(plan.Jobs))
	for i, job := range plan.Jobs {
		weights[i] = weight(job)
	}
	slices.SortStableFunc(numbers, func(a, b int) int { return cmp.Compare(weights[b], weights[a]) })
	return numbers
}

// errSibling cancels the jobs that run beside one that failed.
var errSibling = errors.New("another platform's job failed")

// jobs runs those of one build.
type jobs struct {
	plan    *planner.Plan
	opts    Options
	results []JobResult
	failed  []error // what is told when all jobs have ended
}

// run fills the results. It returns the error of the first job that failed and
// ended the others, or all that is wrong when all have ended.
func (j *jobs) run(ctx context.Context) error {
	limit := j.opts.Jobs
	if limit <= 0 {
		limit = len(j.plan.Jobs)
	}
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group errgroup.Group
	group.SetLimit(max(limit, 1))
	free, queued := j.queues(limit)
	for _, i := range free {
		group.Go(func() error { return j.start(running, cancel, i) })
	}
	next := make(chan int, len(queued))
	for _, i := range queued {
		next <- i
	}
	close(next)
	for range min(j.opts.EmulatedJobs, len(queued)) {
		group.Go(func() error {
			for i := range next {
				if err := j.start(running, cancel, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err == nil {
		return cmp.Or(context.Cause(ctx), errors.Join(j.failed...), j.nothingLeft())
	}
	// Whichever returned first: what ended the jobs is in their cause, a job that
	// failed or the end of ctx. An interrupt does not hide a failure before it.
	cause := context.Cause(running)
	var first *JobError
	if errors.Is(cause, errSibling) && errors.As(cause, &first) {
		return first
	}
	return cause
}

// queues are the numbers of the jobs that start when there is room in all, and of those
// that wait for each other beside that.
func (j *jobs) queues(limit int) (free, queued []int) {
	few := j.opts.EmulatedJobs > 0 && j.opts.Emulated != nil
	if few {
		limit = min(limit, j.opts.EmulatedJobs)
	}
	for _, i := range order(j.plan, j.opts.Weight, limit) {
		if few && j.opts.Emulated(j.plan.Jobs[i]) {
			queued = append(queued, i)
		} else {
			free = append(free, i)
		}
	}
	return free, queued
}

// start runs a job unless another one has failed. Its error ends the others.
func (j *jobs) start(running context.Context, cancel context.CancelCauseFunc, i int) error {
	if context.Cause(running) != nil {
		return context.Cause(running)
	}
	err := j.one(running, i)
	if err != nil && context.Cause(running) == nil {
		cancel(fmt.Errorf("%w: %w", errSibling, err))
	}
	return err
}

// one runs a job. Its error ends the other jobs.
func (j *jobs) one(ctx context.Context, i int) error {
	job, result := j.plan.Jobs[i], &j.results[i]
	result.Platform = job.Platform
	started := time.Now()
	err := j.solve(ctx, job, result)
	result.Duration = time.Since(started)
	if err != nil {
		return j.fail(ctx, i, &JobError{Platform: job.Platform, Err: err}, !j.opts.KeepGoing)
	}
	if j.opts.Verify != nil {
		if err := j.opts.Verify(ctx, job, result.Manifests); err != nil {
			j.opts.Discard(job)
			return j.fail(ctx, i, err, false)
		}
	}
	return nil
}

// fail returns the error, or keeps it for later if it need not end the other jobs.
func (j *jobs) fail(ctx context.Context, i int, err error, ends bool) error {
	result := &j.results[i]
	result.Manifests = nil
	switch {
	case context.Cause(ctx) != nil: // it is not the job's fault
		return err
	case j.opts.AllowMissing != nil && j.opts.AllowMissing(result.Platform):
		result.Err = err
		j.opts.Logger.WarnContext(ctx, "the result goes without a platform", "platform", platforms.Format(result.Platform), "error", err)
		return nil
	case ends:
		return err
	}
	j.failed[i] = err
	return nil
}

// solve runs the job as often as it takes.
func (j *jobs) solve(ctx context.Context, job planner.Job, result *JobResult) error {
	if j.opts.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, j.opts.Timeout, &TimeoutError{Limit: j.opts.Timeout})
		defer cancel()
	}
	for {
		var err error
		result.Manifests, err = j.opts.Solver.Solve(ctx, job)
		if err == nil {
			return nil
		}
		j.opts.Discard(job)
		if result.Retries >= j.opts.Retries || context.Cause(ctx) != nil || j.opts.Passes == nil || !j.opts.Passes(err) {
			return err
		}
		wait := pause(result.Retries)
		j.opts.Logger.WarnContext(ctx, "trying the platform again", "platform", platforms.Format(job.Platform), "try", result.Retries+1, "of", j.opts.Retries, "seconds", wait.Seconds(), "error", err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
		result.Retries++
	}
}

// pause is how long to wait after so many retries before the next one. A registry that
// is restarted needs some seconds.
func pause(retries int) time.Duration {
	return min(time.Second<<min(retries, 5), 30*time.Second)
}

// nothingLeft is an error if no job succeeded.
func (j *jobs) nothingLeft() error {
	var all []error
	for _, result := range j.results {
		if result.Err == nil {
			return nil
		}
		all = append(all, result.Err)
	}
	return errors.Join(all...)
}
