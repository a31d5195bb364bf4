package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/builder/progress"
	"github.com/mabuild/mabuild/builder/verify"
	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/native"
	"github.com/mabuild/mabuild/planner/pin"
)

// buildOptions are a checked command line.
type buildOptions struct {
	connection
	context    string
	dockerfile string
	platforms  []string
	target     string
	args       map[string]string
	contexts   map[string]string // by name
	remote     *remoteContext    // nil if the context is a directory
	labels     map[string]string
	names      []string // full references
	output     output.Spec
	progress   progress.Mode
	noCache    bool
	pull       bool
	jobs       jobOptions
	preflight  preflight
	allow      allowances
	verify     verify.Options
	pins       []pin.Pin
	recipes    []assist.Recipe
	history    *recorder      // nil if nothing is built
	planned    *native.Result // what is built, once that is known

	retries      int
	idleTimeout  time.Duration
	metadataFile string
	iidFile      string
}

// build composes the parts of a build and runs it.
func build(ctx context.Context, o *buildOptions) error {
	plan, text, err := o.plan()
	if err != nil {
		return err
	}
	o.needed = foreignPlatforms(plan)
	node, err := o.connect(ctx)
	if err != nil {
		return err
	}
	defer node.close()
	if native := node.Native(); !platforms.OnlyStrict(native).Match(platforms.DefaultSpec()) {
		if plan, err = o.expand(text, native); err != nil {
			return err
		}
	}
	source, err := node.Offer(ctx, buildkit.SourceOptions{Context: o.context, Dockerfile: o.dockerfile, NamedContexts: o.contexts})
	if err != nil {
		return err
	}
	defer source.Close()
	delivery, err := newDelivery(*o, plan, node.Node)
	if err != nil {
		return err
	}
	defer delivery.close()
	if o.progress != progress.Quiet && o.progress != progress.JSON {
		if how := node.emulators(ctx, o.needed...); how != "" {
			fmt.Fprintln(os.Stderr, "Emulation:", how)
		}
	}
	display, err := progress.New(os.Stderr, o.progress)
	if err != nil {
		return &usageError{err}
	}
	logger := logger()
	o.history = newRecorder(*o, source.SessionID(), logger)
	solver, err := buildkit.NewSolver(buildkit.Options{
		Node: node.Node, Source: source, Exports: delivery.exports, Labels: o.labels,
		Edit: o.edit, NoCache: o.noCache, Pull: o.pull, Report: o.history.report(reporter(display)), Logger: logger,
		RetryEmulated: o.retries, IdleTimeout: o.idleTimeout, Emulator: func(p ocispec.Platform) string { return node.emulators(ctx, p) },
	})
	if err != nil {
		return errors.Join(err, display.Close())
	}
	result, err := builder.Build(ctx, plan, builder.Options{
		KeepGoing: o.jobs.keepGoing, AllowMissing: o.jobs.mayMiss, Timeout: o.jobs.timeout, Retries: o.jobs.retries, Passes: passes,
		Check:  func(ctx context.Context) error { return o.check(ctx, text, plan, node) },
		Solver: solver, Publisher: delivery.publisher, Jobs: o.jobs.atOnce, Weight: o.history.weight, File: o.dockerfile,
		Verify:        o.verifyImages(delivery.content),
		EmulationHint: func(missing []ocispec.Platform) string { return node.emulationHint(ctx, missing) }, Logger: logger,
	})
	closeErr := display.Close()
	for _, failed := range jobErrors(err) {
		if display.ShowsOutputOf(platforms.Format(failed.Platform)) {
			failed.Err = &shownError{failed.Err}
		}
	}
	if err = errors.Join(err, closeErr); err != nil {
		return err
	}
	return o.report(result, delivery)
}

// warnings is where people see them.
func (o *buildOptions) warnings() io.Writer {
	if o.progress == progress.Quiet || o.progress == progress.JSON {
		return io.Discard
	}
	return os.Stderr
}

// read returns the Dockerfile, or says what of the command line is not there.
func (o *buildOptions) read() ([]byte, error) {
	if info, err := os.Stat(o.context); err != nil {
		return nil, usagef("the build context %q cannot be read: %w", o.context, errors.Unwrap(err))
	} else if !info.IsDir() {
		return nil, usagef("the build context %q is not a directory; give the directory and the Dockerfile with -f", o.context)
	}
	return o.readDockerfile()
}

func (o *buildOptions) readDockerfile() ([]byte, error) {
	text, err := os.ReadFile(o.dockerfile)
	if err != nil {
		return nil, usagef("the Dockerfile %q cannot be read: %w\nGive its path with -f.", o.dockerfile, errors.Unwrap(err))
	}
	return text, nil
}

// plan reads and expands the Dockerfile, so that mistakes in it are found before
// anything is started.
func (o *buildOptions) plan() (*planner.Plan, []byte, error) {
	text, err := o.read()
	if err != nil {
		return nil, nil, err
	}
	plan, err := o.expand(text, ocispec.Platform{})
	return plan, text, err
}

func (o *buildOptions) expand(text []byte, build ocispec.Platform) (*planner.Plan, error) {
	wanted, err := planner.ParsePlatforms(o.platforms...)
	if err != nil {
		return nil, err
	}
	if text, err = native.Pinned(text, o.pins, wanted); err != nil {
		return nil, usagef("--pin-native: %w", err)
	}
	return planner.Expand(text, planner.Options{
		Filename: o.dockerfile, Platforms: wanted, BuildPlatform: build, Target: o.target, Args: o.args,
	})
}

// reporter names steps after the platform that they run on.
func reporter(display *progress.Display) func(planner.Job, *client.SolveStatus) {
	return func(job planner.Job, status *client.SolveStatus) {
		name := platforms.Format(job.Platform)
		if status == nil {
			display.End(name)
			return
		}
		display.Report(name, status, func(step string) string {
			return progress.Prefix(platforms.Format(stagePlatform(job, step)), assist.StepName(step))
		})
	}
}

// stagePlatform is the platform that a step like "[build 2/5] RUN make" runs on.
func stagePlatform(job planner.Job, step string) ocispec.Platform {
	inner, ok := strings.CutPrefix(step, "[")
	if ok {
		name, _, _ := strings.Cut(inner, " ")
		for _, stage := range job.Stages {
			if stage.Name == name {
				return stage.Platform
			}
		}
	}
	return job.Platform
}

// report tells the result: the digest on standard output, the rest beside it.
func (o *buildOptions) report(result *builder.Result, delivery *delivery) error {
	if o.metadataFile != "" {
		if err := writeJSON(o.metadataFile, o.metadata(result)); err != nil {
			return err
		}
	}
	if o.iidFile != "" {
		if err := os.WriteFile(o.iidFile, []byte(result.Root.Digest), 0o644); err != nil {
			return fmt.Errorf("writing the image ID: %w", err)
		}
	}
	if result.Root.Digest != "" && o.output.Dest != output.Stdout {
		fmt.Println(result.Root.Digest)
	}
	if o.progress != progress.Quiet {
		fmt.Fprintln(os.Stderr, delivery.summary(result))
	}
	return nil
}
