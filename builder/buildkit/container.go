package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/platforms"
	"github.com/docker/cli/cli/config"
	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ContainerOptions say which image [Node.Run] runs, and how. Image and Platform are
// required; what is empty is as the image has it.
type ContainerOptions struct {
	// Image is a reference, which the daemon resolves and pulls if Store is nil.
	Image string
	// Store has the image with this Digest; the daemon gets from there what it lacks.
	Store  content.Store
	Digest digest.Digest
	// Platform is which image of an index runs.
	Platform ocispec.Platform
	// Pull asks the registry even if the daemon has the image.
	Pull bool

	// Entrypoint replaces the image's entrypoint and drops its command; not nil and
	// empty is no entrypoint. Command replaces the image's command.
	Entrypoint, Command []string
	// Env are variables, NAME=VALUE, beside those of the image.
	Env       []string
	User, Dir string
	Hostname  string
	// Network is empty for what the daemon's steps have, or none, or host.
	Network string
	Mounts  []ContainerMount

	// TTY gives the program a terminal, whose output is Stdout alone.
	TTY bool
	// Stdin, if not nil, is read to its end or to that of the program, whose last
	// Read may come back later than Run.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Started is called when the program runs. Its context ends with the program and
	// Run waits for it.
	Started func(context.Context, Process)
}

// ContainerMount is a directory or a file of the client that the program sees. The
// daemon gets a copy before the program starts, which cannot be written to.
type ContainerMount struct {
	Source string // path of the client
	Target string // absolute path in the container
}

// Process is a running program.
type Process interface {
	// Signal sends a signal by its name.
	Signal(ctx context.Context, signal syscall.Signal) error
	// Resize tells it the size of its terminal.
	Resize(ctx context.Context, columns, rows int) error
}

// The exit codes that shells have for a program that cannot be started.
const (
	codeNotExecutable = 126
	codeNotFound      = 127
)

// releaseTimeout bounds how long a cancelled Run waits for the daemon to end the
// program.
const releaseTimeout = 15 * time.Second

// Run runs a program in an image and returns its exit code, 128 and the signal if it
// was killed. What the program changes is gone when it has ended. A program that cannot
// be started has the exit code 126 or 127, and the error says why. Other errors are
// [*Error]; of the kind [EmulationMissing] if the node cannot run the platform. When ctx
// ends the program is killed and the error is the cause of ctx.
//
// Unlike a build it uses gateway callbacks, because a program that is talked to cannot
// be a step. Emulators that a daemon has beside it without a handler in the kernel
// (buildkit-qemu-ARCH) serve steps only.
func (n *Node) Run(ctx context.Context, opts ContainerOptions) (exitCode int, err error) {
	if !runnable(n.platforms, opts.Platform) {
		return 0, &Error{
			Kind: EmulationMissing, Platform: &opts.Platform,
			Err: fmt.Errorf("programs of %s can be neither run nor emulated by the BuildKit daemon", platforms.Format(opts.Platform)),
		}
	}
	request, err := opts.solveOpt()
	if err != nil {
		return 0, err
	}
	// The daemon is told in order that the program has to end: a context that ends
	// takes the way to tell it along.
	build, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(releaseTimeout, func() { cancel(context.Cause(ctx)) })
		context.AfterFunc(build, func() { timer.Stop() })
	})()
	request.Ref = identity.NewID()
	bridge := n.client.GatewayClientForBuild(request.Ref)
	run := &containerRun{ContainerOptions: opts, alive: func(ctx context.Context) error {
		_, err := bridge.Ping(ctx, &gatewaypb.PingRequest{})
		return err
	}}
	_, err = n.client.Build(build, request, "mabuild", func(build context.Context, c gateway.Client) (*gateway.Result, error) {
		until, end := context.WithCancelCause(build)
		defer end(nil)
		defer context.AfterFunc(ctx, func() { end(context.Cause(ctx)) })()
		run.err = run.run(until, build, c)
		return gateway.NewResult(), run.err
	}, nil)
	if run.err != nil { // the daemon's answer to it may be what came back first
		err = run.err
	}
	switch cause := context.Cause(ctx); {
	case run.ended && run.code != 0:
		return run.startFailure()
	case err != nil && cause != nil:
		return 0, cause
	case err != nil:
		return 0, explainRun(err, opts.Platform)
	}
	return 0, errors.Join(run.stdout.flush(), run.stderr.flush())
}

// solveOpt is the request that the container lives in.
func (o ContainerOptions) solveOpt() (client.SolveOpt, error) {
	credentials, err := config.Load(config.Dir())
	if err != nil {
		return client.SolveOpt{}, fmt.Errorf("reading the docker credentials in %s: %w", config.Dir(), err)
	}
	opt := client.SolveOpt{
		Internal: true, // it is no build that a history should have
		Session: []session.Attachable{authprovider.NewDockerAuthProvider(
			authprovider.DockerAuthProviderConfig{AuthConfigProvider: authprovider.LoadAuthConfig(credentials)})},
	}
	if o.Store != nil {
		opt.OCIStores = map[string]content.Store{storeName: o.Store}
	}
	if _, err := o.network(); err != nil {
		return opt, err
	}
	if o.Network == "host" {
		opt.AllowedEntitlements = []string{"network.host"}
	}
	opt.LocalMounts, err = o.localMounts()
	return opt, err
}

func (o ContainerOptions) network() (pb.NetMode, error) {
	switch o.Network {
	case "", "default":
		return pb.NetMode_UNSET, nil
	case "none":
		return pb.NetMode_NONE, nil
	case "host":
		return pb.NetMode_HOST, nil
	}
	return 0, fmt.Errorf("the network %q is unknown; use default, none or host", o.Network)
}

// runnable reports whether a daemon with these platforms runs that one.
func runnable(list []ocispec.Platform, wanted ocispec.Platform) bool {
	for _, p := range list {
		if platforms.Only(p).Match(wanted) {
			return true
		}
	}
	return false
}

// explainRun is explain for a container, which has no steps.
func explainRun(err error, platform ocispec.Platform) error {
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	e := &Error{Platform: &platform, Err: shorten(err)}
	if classify(e, err); e.Kind == NodeLost {
		return lostRun(platform, err)
	}
	return e
}

func lostRun(platform ocispec.Platform, err error) error {
	return &Error{
		Kind: NodeLost, Platform: &platform, Err: fmt.Errorf("lost the BuildKit daemon, and the program with it: %w", shorten(err)),
		Hint: "`mabuild engine logs` may tell why it ended.",
	}
}

// exitCodeOf reads the code from what a process's Wait returns. The daemon has no code
// for a process that it could not even prepare.
func exitCodeOf(err error) (int, bool) {
	var exit *gatewaypb.ExitError
	if err == nil {
		return 0, true
	}
	if errors.As(err, &exit) && exit.ExitCode != gatewaypb.UnknownExitStatus {
		return int(exit.ExitCode), true
	}
	return 0, false
}
