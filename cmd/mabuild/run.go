package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/docker"
	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/builder/progress"
	"github.com/mabuild/mabuild/builder/registry"
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
	at         string // where the Dockerfile is, if not at its name
	platforms  []string
	target     string
	args       map[string]string
	contexts   map[string]string // by name
	remote     *remoteContext    // nil if the context is a directory
	inputs     inputs
	labels     map[string]string
	names      []string // full references
	outputs    []output.Spec
	toDocker   bool
	progress   progress.Mode
	noCache    bool
	pull       bool
	jobs       jobOptions
	preflight  preflight
	allow      allowances
	verify     verify.Options
	pins       []pin.Pin
	recipes    []assist.Recipe
	history    *recorder        // nil if nothing is built
	planned    *native.Result   // what is built, once that is known
	registry   *registry.Client // made by registryClient

	retries      int
	idleTimeout  time.Duration
	metadataFile string
	reportFile   string
	reporting    *reporting // nil if nothing is built
	iidFile      string
}

// build composes the parts of a build and runs it.
func build(ctx context.Context, o *buildOptions) error {
	text, done, err := o.load(ctx, false)
	if err != nil {
		return err
	}
	defer done()
	plan, err := o.expand(text, ocispec.Platform{})
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
	source, err := node.Offer(ctx, o.source())
	if err != nil {
		return err
	}
	defer source.Close()
	delivery, err := newDelivery(o, plan, node.Node)
	if err != nil {
		return err
	}
	defer delivery.close()
	inputs, err := o.prepare(ctx, plan, delivery)
	if err != nil {
		return err
	}
	if how := node.emulators(ctx, o.needed...); how != "" {
		fmt.Fprintln(o.warnings(), "Emulation:", how)
	}
	engine, err := o.docker(ctx)
	if err != nil {
		return err
	}
	if engine != nil {
		defer engine.Close()
	}
	return o.run(ctx, parts{text, plan, node, source, delivery, inputs, engine})
}

// parts are what a build is composed of.
type parts struct {
	text     []byte // the Dockerfile
	plan     *planner.Plan
	node     *node
	source   *buildkit.Source
	delivery *delivery
	inputs   buildkit.Inputs
	docker   *docker.Engine // nil if nothing is loaded
}

// run shows, solves, verifies and delivers.
func (o *buildOptions) run(ctx context.Context, p parts) error {
	display, err := progress.New(os.Stderr, o.progress)
	if err != nil {
		return &usageError{err}
	}
	logger := logger()
	o.history = newRecorder(*o, p.source.SessionID(), logger)
	o.reporting = newReporting(o, p.plan, o.history.record.Build)
	solver, err := buildkit.NewSolver(buildkit.Options{
		Node: p.node.Node, Source: p.source, Exports: p.delivery.exports, Labels: o.labels, Inputs: p.inputs,
		Edit: o.edit, NoCache: o.noCache, Pull: o.pull, Report: o.reporting.observe(o.history.report(reporter(display))), Logger: logger,
		RetryEmulated: o.retries, IdleTimeout: o.idleTimeout, Emulator: func(platform ocispec.Platform) string { return p.node.emulators(ctx, platform) },
	})
	if err != nil {
		return errors.Join(err, display.Close())
	}
	result, err := builder.Build(ctx, p.plan, builder.Options{
		KeepGoing: o.jobs.keepGoing, AllowMissing: o.jobs.mayMiss, Timeout: o.jobs.timeout, Retries: o.jobs.retries, Passes: passes,
		Check:  func(ctx context.Context) error { return o.check(ctx, p.text, p.plan, p.node) },
		Solver: solver, Publisher: p.delivery.publisher, Jobs: o.jobs.atOnce, Weight: o.history.weight, File: o.dockerfile,
		Verify:        o.reporting.verify(p.delivery.content, o.verifyImages(p.delivery.content)),
		EmulationHint: func(missing []ocispec.Platform) string { return p.node.emulationHint(ctx, missing) }, Logger: logger,
	})
	closeErr := errors.Join(display.Close(), o.reporting.end(o, result, jobErrors(err), err))
	for _, failed := range jobErrors(err) {
		if display.ShowsOutputOf(platforms.Format(failed.Platform)) {
			failed.Err = &shownError{failed.Err}
		}
	}
	if err = errors.Join(err, closeErr); err != nil {
		return err
	}
	if err := o.loadResult(ctx, p.docker, result); err != nil {
		return err
	}
	return o.report(result, p.delivery)
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
	if err := o.checkDirectory(); err != nil {
		return nil, err
	}
	return o.readDockerfile()
}

func (o *buildOptions) readDockerfile() ([]byte, error) {
	text, err := os.ReadFile(o.dockerfilePath())
	if err != nil {
		return nil, usagef("the Dockerfile %q cannot be read: %w\nGive its path with -f.", o.dockerfile, errors.Unwrap(err))
	}
	return text, nil
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
		Overrides: o.inputs.overrides,
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
	toStdout := slices.ContainsFunc(o.outputs, func(s output.Spec) bool { return s.Dest == output.Stdout })
	if result.Root.Digest != "" && !toStdout {
		fmt.Println(result.Root.Digest)
	}
	if o.progress != progress.Quiet {
		fmt.Fprintln(os.Stderr, delivery.summary(result))
	}
	return nil
}
