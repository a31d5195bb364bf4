package buildkit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/platforms"
	"github.com/docker/cli/cli/config"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
)

// Options of a [Solver]. Node and Source are required.
type Options struct {
	Node   *Node
	Source *Source
	// Exports says what a job delivers besides filling the cache; nil is nothing.
	Exports func(planner.Job) []Export
	// Edit returns what a job sends instead of the Dockerfile of Source, nil if it
	// sends that.
	Edit func(planner.Job) (*Edit, error)
	// Inputs are what jobs get beside Source.
	Inputs Inputs
	// Labels are set on every image.
	Labels map[string]string
	// NoCache runs every step again.
	NoCache bool
	// Pull asks the registry about every base, even one that the daemon has.
	Pull bool
	// Report hears a job's status while it runs, and nil when there is no more;
	// calls for one job are in order, different jobs call at the same time.
	Report func(planner.Job, *client.SolveStatus)
	// RetryEmulated is how often a job is tried again when an emulator crashed.
	// Steps that succeeded are not repeated.
	RetryEmulated int
	// IdleTimeout ends a RUN step that prints nothing for this long; zero is never. One
	// with sharing=locked may wait for another's lock: until it prints, it is not ended
	// while any step does.
	IdleTimeout time.Duration
	// Emulator names what emulates a platform, for errors; nil or empty is unknown.
	Emulator func(ocispec.Platform) string
	// Logger hears about second tries; nil discards.
	Logger *slog.Logger
}

// Solver solves jobs on one node. It is safe for concurrent use.
type Solver struct {
	opts     Options
	auth     session.Attachable
	lacking  *backends
	printed  atomic.Pointer[time.Time] // when a RUN step of any job did that last, or ended
	assisted sync.Map                  // the attempts that any job knows to have had native tools
}

// NewSolver returns a solver with the caller's docker credentials. It fails when
// the file with them cannot be read.
func NewSolver(opts Options) (*Solver, error) {
	credentials, err := config.Load(config.Dir())
	if err != nil {
		return nil, fmt.Errorf("reading the docker credentials in %s: %w", config.Dir(), err)
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Report == nil {
		opts.Report = func(planner.Job, *client.SolveStatus) {}
	}
	return &Solver{opts: opts, lacking: &backends{}, auth: authprovider.NewDockerAuthProvider(
		authprovider.DockerAuthProviderConfig{AuthConfigProvider: authprovider.LoadAuthConfig(credentials)})}, nil
}

// Platforms are those that the node can run, its own first.
func (s *Solver) Platforms(context.Context) ([]ocispec.Platform, error) {
	return s.opts.Node.Platforms(), nil
}

// Two Solves that pull the same base at once can meet in the daemon's content
// store; the loser is told that the blob is locked (case 51).
const lockedTries = 5

// Solve runs the job and returns the descriptors of the image it made, none if
// no export makes one. Its errors are [*Error], or the cause of ctx.
func (s *Solver) Solve(ctx context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
	defer s.opts.Report(job, nil)
	plain := make(map[digest.Digest]bool) // steps that failed with native tools
	heard := make(map[attempt]bool)
	for crashes := 0; ; {
		images, err := s.solveUnlocked(ctx, job, heard)
		var e *Error
		switch {
		case !errors.As(err, &e):
			return images, err
		case e.assisted && !plain[e.attempt.step]:
			plain[e.attempt.step] = true // in the engine, too
			s.opts.Logger.WarnContext(ctx, "a step failed with native tools; running it again under QEMU alone",
				"platform", platforms.Format(job.Platform), "step", e.Step, "error", e.Err)
		case e.Kind == EmulatorCrashed && crashes < s.opts.RetryEmulated:
			crashes++
			s.opts.Logger.WarnContext(ctx, "the emulator crashed; trying the step again",
				"platform", platforms.Format(job.Platform), "step", e.Step, "try", crashes, "of", s.opts.RetryEmulated, "error", e.Err)
		default:
			return images, err
		}
	}
}

// solveUnlocked solves, and solves again while other jobs hold what it needs.
func (s *Solver) solveUnlocked(ctx context.Context, job planner.Job, heard map[attempt]bool) ([]ocispec.Descriptor, error) {
	for try := 1; ; try++ {
		images, err := s.solveAnew(ctx, job, heard)
		var e *Error
		if errors.As(err, &e) && s.noteLacking(ctx, e.Err.Error()) && try < lockedTries {
			continue
		}
		if err == nil || try == lockedTries || !isLocked(err) {
			return images, err
		}
		s.opts.Logger.DebugContext(ctx, "a blob is locked by another job; trying again", "platform", platforms.Format(job.Platform))
		if err := pause(ctx, try); err != nil {
			return nil, err
		}
	}
}

// firstPause is how long to wait before the second try.
const firstPause = 200 * time.Millisecond

// pause waits before another try, the longer the more there were.
func pause(ctx context.Context, try int) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Duration(try) * firstPause):
		return nil
	}
}

func (s *Solver) solve(ctx context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
	steps := newSteps()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	idle := s.watch(job, end)
	request, err := s.solveOpt(job)
	if err != nil {
		return nil, err
	}
	status := make(chan *client.SolveStatus)
	reported := make(chan struct{})
	go func() {
		defer close(reported)
		defer idle.stop()
		for st := range status {
			steps.observe(st)
			idle.observe(st)
			s.observeCaches(ctx, st)
			s.opts.Report(job, st)
		}
	}()
	res, err := s.opts.Node.client.Solve(ctx, nil, request, status)
	<-reported
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			if e, ok := cause.(*Error); ok && e.Log == nil { //nolint:errorlint // ours, or somebody else's business
				e.Log = steps.logOf(e.Step)
			}
			return nil, cause
		}
		failure := explain(err, job, s.opts.Source.filename, steps)
		s.blameEmulator(failure, err, job)
		return nil, failure
	}
	images, err := s.imagesOf(ctx, res.ExporterResponse, request.Ref, job)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return nil, cause
	}
	if err != nil {
		return nil, &Error{
			Platform: &job.Platform, Err: err,
			Hint: "Nothing was tagged. Use another version of the BuildKit daemon, or leave --node away to use the engine that mabuild carries.",
		}
	}
	return images, nil
}

// solveOpt is the request for one job.
func (s *Solver) solveOpt(job planner.Job) (client.SolveOpt, error) {
	attrs := map[string]string{"platform": platforms.FormatAll(job.Platform)}
	if job.Target != "" {
		attrs["target"] = job.Target
	}
	for name, value := range job.Args {
		attrs["build-arg:"+name] = value
	}
	for name, value := range s.opts.Labels {
		attrs["label:"+name] = value
	}
	if s.opts.NoCache {
		attrs["no-cache"] = ""
	}
	if s.opts.Pull {
		attrs["image-resolve-mode"] = "pull"
	}
	s.opts.Source.attrs(attrs)
	var brought map[string][]byte
	if s.opts.Edit != nil {
		edit, err := s.opts.Edit(job)
		if err == nil && edit != nil {
			brought = edit.Secrets
			err = s.opts.Source.edit(attrs, job, edit)
		}
		if err != nil {
			return client.SolveOpt{}, fmt.Errorf("editing the Dockerfile for %s: %w", platforms.Format(job.Platform), err)
		}
	}
	opt := client.SolveOpt{
		Ref:           identity.NewID(),
		Frontend:      "dockerfile.v0",
		FrontendAttrs: attrs,
		Session:       append([]session.Attachable{s.auth}, s.opts.Source.attachables...),
		OCIStores:     s.opts.Source.layouts,
	}
	s.opts.Inputs.add(&opt, job, s.lacking)
	opt.Session = withSecrets(opt.Session, brought)
	err := addExports(&opt, s.exportsOf(job))
	return opt, err
}

func isLocked(err error) bool {
	var e *Error
	return errors.As(err, &e) && isLockedText(e.Err.Error())
}
