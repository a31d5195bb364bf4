package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gofrs/flock"
	"github.com/moby/buildkit/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// lockPoll is how often a waiting process tries a flock again; flock(2) cannot
// be waited for together with a context.
const lockPoll = 10 * time.Millisecond

// startTimeout bounds a start: half a second is usual, a slow disk that has to
// recover a large cache database has been seen to take several.
const startTimeout = 60 * time.Second

// Options say which engine a client wants.
type Options struct {
	// State is where the engine lives; empty is [DefaultState].
	State State
	// ConfigFile is the path of a buildkitd.toml; empty is none.
	ConfigFile string
	// Idle is how long the engine stays without clients; zero is [DefaultIdle],
	// negative is for ever.
	Idle time.Duration
	// Emulation is how foreign platforms are run; empty and Auto are chosen by
	// Needed.
	Emulation Way
	// Needed are the foreign platforms that the build runs something on.
	Needed []ocispec.Platform
	// Tools are programs that PATH lacks, or that shall be used instead.
	Tools Tools
	// Command starts the engine process, which must call [Run] with the
	// arguments that follow; nil is this program with "engine run".
	Command []string
	// Logger hears about starts and replacements; nil discards.
	Logger *slog.Logger
}

// Tools are programs to use beside those on PATH.
type Tools struct {
	Runc string            // path; empty is the one on PATH
	QEMU map[string]string // paths by QEMU's name of the architecture
}

func (o *Options) fill() error {
	if o.State == "" {
		state, err := DefaultState()
		if err != nil {
			return err
		}
		o.State = state
	}
	if o.Idle == 0 {
		o.Idle = DefaultIdle
	}
	if o.Command == nil {
		// Not os.Executable: it names a file that a rebuild may have replaced.
		o.Command = []string{"/proc/self/exe", "engine", "run"}
	}
	if o.Emulation == "" {
		o.Emulation = Auto
	}
	o.Emulation = o.Emulation.Choose(o.Needed)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Lease keeps an engine from ending while it is held.
type Lease struct {
	state State
	use   *flock.Flock
}

// Address is what a BuildKit client dials.
func (l *Lease) Address() string { return l.state.Address() }

// Info is what the engine says of itself.
func (l *Lease) Info(ctx context.Context) (Info, error) { return l.state.readInfo(ctx) }

// Release lets the engine end when nobody else holds a lease.
func (l *Lease) Release() error { return l.use.Unlock() }

// Acquire returns a lease on the engine of opts.State, starting or replacing it
// as needed. It fails with [ErrBusy] when the engine runs with other settings
// and somebody else uses it, with [ErrConfig] or [ErrNoRuntime] when it cannot
// be started, and with [ErrUnsupported] on systems other than Linux.
func Acquire(ctx context.Context, opts Options) (*Lease, error) {
	if err := supported(); err != nil {
		return nil, err
	}
	if err := opts.fill(); err != nil {
		return nil, err
	}
	want, err := opts.settings()
	if err != nil {
		return nil, err
	}
	if err := opts.State.create(); err != nil {
		return nil, err
	}
	use := flock.New(opts.State.useLock())
	if err := lockContext(ctx, use.TryRLock); err != nil {
		return nil, fmt.Errorf("waiting for the engine that is ending: %w", err)
	}
	lease := &Lease{state: opts.State, use: use}
	// With the lease held, an engine that takes a connection stays.
	if info, err := opts.State.readInfo(ctx); err == nil && info.Settings.serve(want, opts.Needed) {
		return lease, nil
	}
	if err := ensure(ctx, opts, want, use); err != nil {
		return nil, errors.Join(err, lease.Release())
	}
	return lease, nil
}

// ensure starts the engine, or replaces one with other settings. One client at
// a time is in here.
func ensure(ctx context.Context, opts Options, want Settings, use *flock.Flock) error {
	start := flock.New(opts.State.startLock())
	if err := lockContext(ctx, start.TryLock); err != nil {
		return fmt.Errorf("waiting for another start of the engine: %w", err)
	}
	defer start.Unlock()

	if opts.State.serves(ctx) {
		info, err := opts.State.readInfo(ctx)
		if err == nil && info.Settings.serve(want, opts.Needed) {
			return nil
		}
		want.keep(info.Settings)
		if err := replace(ctx, opts, info.Settings, want, use); err != nil {
			return err
		}
		if opts.State.serves(ctx) {
			return nil // kept as it is
		}
	}
	opts.Logger.DebugContext(ctx, "starting the engine", "state", string(opts.State))
	return launch(ctx, opts, want)
}

// replace ends the running engine if nobody else uses it. In use, an engine that
// differs only in the program's version or in its emulators serves as well; one
// with another configuration or way of emulation does not.
func replace(ctx context.Context, opts Options, have, want Settings, use *flock.Flock) error {
	// Turning a shared flock into an exclusive one is not atomic, flock(2): give
	// it up, and take it again whatever happens.
	if err := use.Unlock(); err != nil {
		return fmt.Errorf("giving up the share of the engine: %w", err)
	}
	alone, err := use.TryLock()
	if err != nil {
		return fmt.Errorf("checking who uses the engine: %w", err)
	}
	if alone {
		opts.Logger.DebugContext(ctx, "replacing the engine", "have", have, "want", want)
		err = Stop(ctx, opts.State, true)
		if errors.Is(err, ErrNotRunning) {
			err = nil
		}
		err = errors.Join(err, use.Unlock())
	} else if have.Config != want.Config || have.Way != want.Way {
		err = &Error{
			Op: "starting the engine with another configuration or way of emulation", Err: ErrBusy,
			Hint: "Wait until the other build ends, or run `mabuild engine stop --force`.",
		}
	} else {
		opts.Logger.WarnContext(ctx, "the engine in use was started by another version of mabuild or with other emulators; using it as it is")
	}
	return errors.Join(err, lockContext(context.WithoutCancel(ctx), use.TryRLock))
}

// forceAfter is how long a forced stop waits for the engine to cancel its builds
// and close its databases before it kills it.
const forceAfter = 10 * time.Second

// Stop ends the engine: it lets running builds finish, or with force cancels
// them. It returns when the engine is gone, [ErrNotRunning] if there was none.
func Stop(ctx context.Context, state State, force bool) error {
	pid, err := state.peer(ctx)
	if err != nil {
		return &Error{Op: "stopping the engine", Err: err}
	}
	if err := terminate(pid, force); err != nil {
		return &Error{Op: fmt.Sprintf("stopping the engine (process %d)", pid), Err: err}
	}
	gone := flock.New(state.lock())
	wait := ctx
	if force {
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeoutCause(ctx, forceAfter, errors.New("the engine does not end"))
		defer cancel()
	}
	err = lockContext(wait, gone.TryLock)
	if err != nil && force && context.Cause(ctx) == nil {
		if err := kill(pid); err != nil {
			return &Error{Op: fmt.Sprintf("killing the engine (process %d)", pid), Err: err}
		}
		err = lockContext(ctx, gone.TryLock)
	}
	if err != nil {
		return fmt.Errorf("waiting for the engine to end: %w", err)
	}
	return gone.Unlock()
}

// Inspect returns what the running engine says of itself, or [ErrNotRunning].
func Inspect(ctx context.Context, state State) (Info, error) {
	if !state.serves(ctx) {
		return Info{}, ErrNotRunning
	}
	return state.readInfo(ctx)
}

// serves reports whether an engine answers on the socket.
func (s State) serves(ctx context.Context) bool {
	if _, err := s.peer(ctx); err != nil {
		return false
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("the engine does not answer"))
	defer cancel()
	c, err := client.New(ctx, s.Address())
	if err != nil {
		return false
	}
	defer c.Close()
	_, err = c.Info(ctx)
	return err == nil
}

// lockContext calls try until it succeeds, fails or ctx ends.
func lockContext(ctx context.Context, try func() (bool, error)) error {
	for {
		if ok, err := try(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}
