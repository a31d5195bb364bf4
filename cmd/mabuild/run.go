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
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/ci"
	"github.com/mabuild/mabuild/builder/docker"
	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/builder/progress"
	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/verify"
	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/exact"
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
	tags       []string // full references that every output gets
	names      []string // full references, those of single outputs too
	outputs    []output.Spec
	images     []*variant // that the outputs are made of, once that is known
	progress   progress.Mode
	noCache    bool
	pull       bool
	jobs       jobOptions
	preflight  preflight
	allow      allowances
	verify     verify.Options
	pins       []pin.Pin
	assist     assistance
	history    *recorder        // nil if nothing is built
	planned    *native.Result   // what is built, once that is known
	found      []exact.Finding  // about it
	registry   *registry.Client // made by registryClient

	retries      int
	idleTimeout  time.Duration
	metadataFile string
	reportFile   string
	reporting    *reporting // nil if nothing is built
	ci           ci.System  // that runs this, empty if it has to be found out
	annotated    string     // the Dockerfile as the repository has it, if that is another name
	masks        []string   // what must not be seen in its log, beside the secrets
	noAccounting bool       // of what emulated commands execute
	assistVerify string     // how many emulated commands are compared, as dispatch.ParseShare has it
	log          *ci.Log    // of the CI system, nil if none runs this
	annotates    bool       // whether what is found is an annotation, and need not be a line
	iidFile      string
	resultsFile  string
	shards       *sharing    // nil if this is the only machine
	results      *ci.Results // of a build that succeeded, if somebody wants them
}

// start builds, or asks BuildKit instead.
func (o *buildOptions) start(ctx context.Context) error {
	if o.inputs.call != nil {
		return runCall(ctx, o)
	}
	return build(ctx, o)
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
	if o.shards != nil {
		o.shards.describe(o, text)
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
	o.jobs.emulated = o.emulatedAtOnce(plan)
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
	screen, err := o.newScreen()
	if err != nil {
		return err
	}
	logger := logger()
	o.history = newRecorder(*o, p.source.SessionID(), logger)
	o.reporting = newReporting(o, p.plan, o.history.record.Build)
	o.history.told = o.reporting.Programs
	maker, err := o.newMaker(ctx, p.node)
	if err != nil {
		return err
	}
	defer maker.Close()
	solver, err := buildkit.NewSolver(buildkit.Options{
		Node: p.node.Node, Source: p.source, Exports: p.delivery.exports, Labels: o.labels, Inputs: p.inputs,
		Edit: o.edit, NoCache: o.noCache, Pull: o.pull, Report: o.reporting.observe(o.history.report(observed(maker, screen.report))), Logger: logger,
		RetryEmulated: o.retries, IdleTimeout: o.idleTimeout, Emulator: func(platform ocispec.Platform) string { return p.node.emulators(ctx, platform) },
	})
	if err != nil {
		return errors.Join(err, screen.close(nil, err))
	}
	content := keepSmall(p.delivery.content)
	result, err := builder.Build(ctx, p.plan, builder.Options{
		KeepGoing: o.jobs.keepGoing, AllowMissing: o.jobs.mayMiss, Timeout: o.jobs.timeout, Retries: o.jobs.retries, Passes: passes,
		Check:    func(ctx context.Context) error { return o.check(ctx, p.text, p.plan, p.node) },
		Emulated: isEmulated, EmulatedJobs: o.jobs.emulated,
		Solver: settling{solver, p.delivery.settle}, Publisher: p.delivery.publisher, Jobs: o.jobs.atOnce, Weight: o.history.weight, File: o.dockerfile,
		Verify:        o.reporting.verify(content, o.verifyImages(content)),
		Discard:       p.delivery.discard,
		EmulationHint: func(missing []ocispec.Platform) string { return p.node.emulationHint(ctx, missing) }, Logger: logger,
	})
	closeErr := errors.Join(screen.close(result, err), o.reporting.end(o, result, jobErrors(err), err))
	screen.hide(jobErrors(err))
	tellPrograms(o.warnings(), o.reporting.done)
	if err = errors.Join(err, closeErr); err != nil {
		return err
	}
	if err := p.delivery.loadInto(ctx, p.docker); err != nil {
		return err
	}
	return o.report(ctx, result, p.delivery)
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
	options := planner.Options{
		Filename: o.dockerfile, Platforms: wanted, BuildPlatform: build, Target: o.target, Args: o.args,
		Overrides: o.inputs.overrides,
	}
	plan, err := planner.Expand(text, options)
	if _, foreign := planner.Syntax(text, o.args); err != nil && foreign {
		return planner.Unread(options) // what it means is for the frontend to say
	}
	return plan, err
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
func (o *buildOptions) report(ctx context.Context, result *builder.Result, delivery *delivery) error {
	if o.metadataFile != "" || o.iidFile != "" || o.resultsFile != "" || o.log != nil {
		id, err := imageID(ctx, result.Root, delivery.content)
		if err != nil {
			return err
		}
		if err := o.tell(result, id); err != nil {
			return err
		}
	}
	toStdout := slices.ContainsFunc(o.outputs, func(s output.Spec) bool { return s.Dest == output.Stdout })
	if result.Root.Digest != "" && !toStdout {
		fmt.Println(result.Root.Digest)
	}
	if summary := delivery.summary(result); o.progress != progress.Quiet && summary != "" {
		fmt.Fprintln(os.Stderr, summary)
	}
	return nil
}

// tell writes the files about the result.
func (o *buildOptions) tell(result *builder.Result, id digest.Digest) error {
	m := o.metadata(result, id)
	text, err := encodeJSON(m)
	if err != nil {
		return err
	}
	o.results = m.results(text)
	if o.metadataFile != "" {
		err = writeWhole(o.metadataFile, text, 0o644)
	}
	if o.iidFile != "" {
		err = errors.Join(err, writeWhole(o.iidFile, []byte(id), 0o644))
	}
	if o.resultsFile != "" {
		err = errors.Join(err, writeResults(o.resultsFile, o.results))
	}
	return err
}
