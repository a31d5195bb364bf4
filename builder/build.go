package builder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
)

// Solver builds jobs on one node.
type Solver interface {
	// Platforms are those that the node can run, natively or emulated.
	Platforms(ctx context.Context) ([]ocispec.Platform, error)
	// Solve builds one job and returns the manifests that it made: one image, and
	// attestations if there are any; none when the result is no image. When ctx
	// ends it returns the cause. It is called for several jobs at once.
	Solve(ctx context.Context, job planner.Job) ([]ocispec.Descriptor, error)
}

// Publisher makes one thing of all platforms' manifests: an index in a registry,
// an entry of an image store, an archive.
type Publisher interface {
	// Publish is called once, after every job succeeded, with the manifests in the
	// plan's order. It either publishes everything or leaves every name as it was.
	Publish(ctx context.Context, manifests []ocispec.Descriptor) (ocispec.Descriptor, error)
}

// Options of a build. Solver is required.
type Options struct {
	Solver Solver
	// Publisher receives the manifests; nil leaves them unjoined.
	Publisher Publisher
	// Jobs is how many platforms are built at the same time; zero is all.
	Jobs int
	// EmulatedJobs is how many of those that Emulated reports are built at the same
	// time, because each takes much of something; zero is all. The others start before
	// them.
	EmulatedJobs int
	Emulated     func(planner.Job) bool
	// KeepGoing lets the other jobs end when one fails, so that all failures are told.
	// Nothing is published all the same.
	KeepGoing bool
	// AllowMissing reports whether the result may go without a platform whose job
	// fails; nil allows none. At least one job has to succeed.
	AllowMissing func(ocispec.Platform) bool
	// Timeout is how long one job may take, zero is as long as it wants.
	Timeout time.Duration
	// Retries is how often a job is tried again whose error Passes takes for one that
	// may pass, after pauses of 1, 2, 4, … 30 seconds.
	Retries int
	Passes  func(error) bool
	// Weight is about how long a job will take, zero if that is unknown. If not all
	// jobs run at the same time, the longest start first, so that no long one is left
	// to run alone. It is called after Check. Nil is the plan's order.
	Weight func(planner.Job) time.Duration
	// File names the Dockerfile in errors.
	File string
	// EmulationHint tells how to get emulation for platforms that the node cannot
	// run, each given once; nil gives no hint.
	EmulationHint func(missing []ocispec.Platform) string
	// Check is called before anything runs; its error ends the build, together with
	// what the node cannot emulate. Nil checks nothing more.
	Check func(ctx context.Context) error
	// Verify is called with the manifests of every job that succeeded, for several
	// jobs at once, before anything is published. Its errors end the build when all
	// jobs are done. Nil verifies nothing.
	Verify func(ctx context.Context, job planner.Job, manifests []ocispec.Descriptor) error
	// Discard is called when a try of a job has failed, or Verify refused what it made:
	// what the job exported is not to be published. Nil does nothing.
	Discard func(planner.Job)
	// Logger hears what is worth knowing afterwards; nil discards.
	Logger *slog.Logger
}

// Result of a build.
type Result struct {
	// Root is what the publisher made, zero without one.
	Root ocispec.Descriptor
	// Jobs are the platforms' results in the plan's order.
	Jobs []JobResult
}

// JobResult is one platform's part of a [Result].
type JobResult struct {
	Platform  ocispec.Platform
	Manifests []ocispec.Descriptor
	Duration  time.Duration
	// Retries is how often it was tried again.
	Retries int
	// Err is why the result goes without the platform, which Options.AllowMissing
	// allows.
	Err error
}

// Build runs the plan's jobs and publishes their images. It returns an
// [*EmulationError] or the error of Options.Check before anything runs, a [*JobError]
// for the first job that failed, or all of them joined with Options.KeepGoing, the
// publisher's error, or the cause of ctx.
func Build(ctx context.Context, plan *planner.Plan, opts Options) (*Result, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Discard == nil {
		opts.Discard = func(planner.Job) {}
	}
	if err := preflight(ctx, plan, opts); err != nil {
		return nil, err
	}
	result := &Result{Jobs: make([]JobResult, len(plan.Jobs))}
	all := &jobs{plan: plan, opts: opts, results: result.Jobs, failed: make([]error, len(plan.Jobs))}
	if err := all.run(ctx); err != nil {
		return nil, err
	}
	if opts.Publisher == nil {
		return result, nil
	}
	var manifests []ocispec.Descriptor
	for _, job := range result.Jobs {
		manifests = append(manifests, job.Manifests...)
	}
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	root, err := opts.Publisher.Publish(ctx, manifests)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		// What was published and what was not is the publisher's to tell; why it
		// stopped is not "context canceled".
		err = fmt.Errorf("%w: %w", cause, err)
	}
	if err != nil {
		return nil, err
	}
	result.Root = root
	return result, nil
}

// preflight says all that is known to go wrong.
func preflight(ctx context.Context, plan *planner.Plan, opts Options) error {
	err := checkEmulation(ctx, plan, opts)
	if missing := (*EmulationError)(nil); err != nil && !errors.As(err, &missing) || opts.Check == nil {
		return err
	}
	checked := opts.Check(ctx)
	if err == nil || checked == nil {
		return cmp.Or(err, checked)
	}
	return errors.Join(checked, err)
}

func checkEmulation(ctx context.Context, plan *planner.Plan, opts Options) error {
	runnable, err := opts.Solver.Platforms(ctx)
	if err != nil {
		return err
	}
	stages := plan.Foreign(runnable)
	if len(stages) == 0 {
		return nil
	}
	missing := &EmulationError{File: opts.File, Stages: stages}
	if opts.EmulationHint != nil {
		missing.Hint = opts.EmulationHint(platformsOf(stages))
	}
	return missing
}

// platformsOf returns the stages' platforms, each once.
func platformsOf(stages []planner.Stage) []ocispec.Platform {
	var list []ocispec.Platform
	seen := map[string]bool{}
	for _, stage := range stages {
		if name := platforms.FormatAll(stage.Platform); !seen[name] {
			seen[name] = true
			list = append(list, stage.Platform)
		}
	}
	return list
}
