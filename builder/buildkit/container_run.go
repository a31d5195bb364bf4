package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"
)

// storeName is what the session calls the store that an image comes from.
const storeName = "image"

// containerRun is one call of [Node.Run].
type containerRun struct {
	ContainerOptions
	code   int
	ended  bool // the program, by itself
	err    error
	alive  func(context.Context) error
	stdout output
	stderr output
}

// run prepares and runs the container until ctx ends. Build is the context of calls that
// have to be made after that, too.
func (r *containerRun) run(ctx, build context.Context, c gateway.Client) error {
	ctx, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	image, start, err := r.resolve(ctx, c)
	if err != nil {
		return err
	}
	mounts, err := r.mounts(ctx, c, image)
	if err != nil {
		return err
	}
	network, err := r.network()
	if err != nil {
		return err
	}
	container, err := c.NewContainer(ctx, gateway.NewContainerRequest{
		Mounts: mounts, Hostname: r.Hostname, NetMode: network,
		Platform: &pb.Platform{OS: r.Platform.OS, Architecture: r.Platform.Architecture, Variant: r.Platform.Variant},
	})
	if err != nil {
		return fmt.Errorf("making the container: %w", err)
	}
	release := sync.OnceFunc(func() { _ = container.Release(build) }) // returns how the program ended
	defer release()
	told, giveUp := context.WithCancelCause(build)
	defer giveUp(nil)
	process, err := container.Start(told, start)
	if err != nil {
		return fmt.Errorf("starting the program: %w", err)
	}
	running, end := context.WithCancelCause(ctx)
	defer context.AfterFunc(ctx, func() {
		release()
		giveUp(context.Cause(ctx)) // a daemon that is gone does not end it
	})()
	var group sync.WaitGroup
	group.Go(func() {
		if r.Started != nil {
			r.Started(running, processHandle{process})
		}
	})
	group.Go(func() {
		if err := r.watch(running); err != nil {
			lose(err)
		}
	})
	err = process.Wait()
	end(nil)
	group.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if r.code, r.ended = exitCodeOf(err); !r.ended {
		return fmt.Errorf("running the program: %w", err)
	}
	return nil
}

// aliveEvery is how often a daemon is asked whether it still has the container. Its
// client waits for messages of the program, and hears nothing when the daemon ends.
const aliveEvery = 2 * time.Second

// watch returns an error when the daemon is lost, and nil when the program has ended.
func (r *containerRun) watch(running context.Context) error {
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-running.Done():
			return nil
		case <-tick.C:
		}
		if err := r.alive(running); err != nil && context.Cause(running) == nil {
			return lostRun(r.Platform, err)
		}
	}
}

// source is the image as the daemon finds it.
func (r *containerRun) source(session string) (ref string, resolve sourceresolver.Opt, state func(string) llb.State) {
	mode := llb.ResolveModeDefault
	if r.Pull {
		mode = llb.ResolveModeForcePull
	}
	if r.Store == nil {
		return r.Image, sourceresolver.Opt{
			ImageOpt: &sourceresolver.ResolveImageOpt{Platform: &r.Platform, ResolveMode: mode.String()},
		}, func(ref string) llb.State {
			return llb.Image(ref, llb.Platform(r.Platform), mode, llb.WithCustomName("image "+r.Image))
		}
	}
	// The name is for logs alone; what is read is told by the digest.
	return "stored/image@" + r.Digest.String(), sourceresolver.Opt{
		OCILayoutOpt: &sourceresolver.ResolveOCILayoutOpt{
			Platform: &r.Platform, Store: sourceresolver.ResolveImageConfigOptStore{SessionID: session, StoreID: storeName},
		},
	}, func(ref string) llb.State {
		return llb.OCILayout(ref, llb.Platform(r.Platform), llb.OCIStore(session, storeName), llb.WithCustomName("image "+r.Image))
	}
}

// resolve finds the image, pulls it and says what to start in it.
func (r *containerRun) resolve(ctx context.Context, c gateway.Client) (gateway.Reference, gateway.StartRequest, error) {
	ref, how, state := r.source(c.BuildOpts().SessionID)
	var start gateway.StartRequest
	resolved, dgst, text, err := c.ResolveImageConfig(ctx, ref, how)
	if err != nil {
		return nil, start, err
	}
	var image ocispec.Image
	if err := json.Unmarshal(text, &image); err != nil {
		return nil, start, fmt.Errorf("reading the configuration of %s: %w", r.Image, err)
	}
	if start, err = r.startRequest(image.Config); err != nil {
		return nil, start, err
	}
	if !strings.Contains(resolved, "@") && dgst != "" {
		resolved += "@" + dgst.String()
	}
	for try := 1; ; try++ {
		pulled, err := solveRef(ctx, c, state(resolved))
		if err == nil || try == lockedTries || !isLockedText(err.Error()) {
			return pulled, start, err
		}
		if err := pause(ctx, try); err != nil { // another run or build fetches the same layer
			return nil, start, err
		}
	}
}

func solveRef(ctx context.Context, c gateway.Client, state llb.State) (gateway.Reference, error) {
	definition, err := state.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	result, err := c.Solve(ctx, gateway.SolveRequest{Definition: definition.ToPB(), Evaluate: true})
	if err != nil {
		return nil, err
	}
	return result.SingleRef()
}

// startRequest joins the options and the image's configuration, as docker run does.
func (r *containerRun) startRequest(image ocispec.ImageConfig) (gateway.StartRequest, error) {
	start := gateway.StartRequest{User: image.User, Cwd: image.WorkingDir, Tty: r.TTY, Args: arguments(r.ContainerOptions, image)}
	if len(start.Args) == 0 {
		return start, fmt.Errorf("%s says no command and none was given; name the program to run", r.Image)
	}
	if r.User != "" {
		start.User = r.User
	}
	if r.Dir != "" {
		start.Cwd = r.Dir
	}
	if start.Cwd == "" {
		start.Cwd = "/"
	}
	if !path.IsAbs(start.Cwd) {
		return start, fmt.Errorf("the working directory %q is not an absolute path", start.Cwd)
	}
	for _, variable := range slices.Concat(image.Env, r.Env) {
		start.Env = setVariable(start.Env, variable)
	}
	if r.Stdin != nil {
		start.Stdin = io.NopCloser(r.Stdin)
	}
	r.stdout.to, r.stderr.to = orDiscard(r.Stdout), orDiscard(r.Stderr)
	start.Stdout, start.Stderr = &r.stdout, &r.stderr
	return start, nil
}

// arguments are the program and what it is called with.
func arguments(o ContainerOptions, image ocispec.ImageConfig) []string {
	entrypoint, command := image.Entrypoint, image.Cmd
	if o.Entrypoint != nil {
		entrypoint, command = o.Entrypoint, nil
	}
	if len(o.Command) > 0 {
		command = o.Command
	}
	return slices.Concat(entrypoint, command)
}

// setVariable adds NAME=VALUE, or replaces the value in its place.
func setVariable(env []string, variable string) []string {
	name, _, _ := strings.Cut(variable, "=")
	for i, other := range env {
		if strings.HasPrefix(other, name+"=") {
			env[i] = variable
			return env
		}
	}
	return append(env, variable)
}

func localName(i int) string { return fmt.Sprintf("mount-%d", i) }

// localMounts are what the session offers: of a file its directory, of which the daemon
// then asks for the file alone.
func (o ContainerOptions) localMounts() (map[string]fsutil.FS, error) {
	locals := make(map[string]fsutil.FS, len(o.Mounts))
	for i, m := range o.Mounts {
		if !path.IsAbs(m.Target) || path.Clean(m.Target) == "/" {
			return nil, fmt.Errorf("mounting %q: the path in the container, %q, has to be absolute and below /", m.Source, m.Target)
		}
		dir, file, err := splitSource(m.Source)
		if err != nil {
			return nil, fmt.Errorf("mounting %q: %w", m.Source, err)
		}
		files, err := fsutil.NewFS(dir)
		if err == nil && file != "" {
			files, err = fsutil.NewFilterFS(files, &fsutil.FilterOpt{IncludePatterns: []string{literal.Replace(file)}})
		}
		if err != nil {
			return nil, fmt.Errorf("mounting %q: %w", m.Source, err)
		}
		locals[localName(i)] = files
	}
	return locals, nil
}

// literal makes a pattern of a file's name.
var literal = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`)

// splitSource returns a directory and the file in it that is meant, if it is one.
func splitSource(source string) (dir, file string, err error) {
	source, err = filepath.Abs(source)
	if err == nil {
		source, err = filepath.EvalSymlinks(source)
	}
	if err != nil {
		return "", "", err
	}
	info, err := os.Stat(source)
	switch {
	case err != nil:
		return "", "", err
	case info.IsDir():
		return source, "", nil
	case info.Mode().IsRegular():
		return filepath.Dir(source), filepath.Base(source), nil
	}
	return "", "", errors.New("it is neither a directory nor a regular file")
}

// mounts are the root and the copies of the client's files.
func (r *containerRun) mounts(ctx context.Context, c gateway.Client, image gateway.Reference) ([]gateway.Mount, error) {
	mounts := []gateway.Mount{{Dest: "/", Ref: image, MountType: pb.MountType_BIND}}
	for i, m := range r.Mounts {
		dir, file, err := splitSource(m.Source)
		if err != nil {
			return nil, fmt.Errorf("mounting %q: %w", m.Source, err)
		}
		local := llb.Local(localName(i), llb.SessionID(c.BuildOpts().SessionID),
			llb.SharedKeyHint(filepath.Join(dir, file)), llb.WithCustomName("copy of "+m.Source))
		copied, err := solveRef(ctx, c, local)
		if err != nil {
			return nil, fmt.Errorf("sending %s: %w", m.Source, err)
		}
		mount := gateway.Mount{Dest: path.Clean(m.Target), Ref: copied, Readonly: true, MountType: pb.MountType_BIND}
		if file != "" {
			mount.Selector = "/" + file
		}
		mounts = append(mounts, mount)
	}
	return mounts, nil
}

// processHandle is a [Process].
type processHandle struct{ process gateway.ContainerProcess }

func (p processHandle) Signal(ctx context.Context, signal syscall.Signal) error {
	return p.process.Signal(ctx, signal)
}

func (p processHandle) Resize(ctx context.Context, columns, rows int) error {
	if columns < 0 || rows < 0 {
		return fmt.Errorf("a terminal of %d×%d", columns, rows)
	}
	return p.process.Resize(ctx, gateway.WinSize{Cols: uint32(columns), Rows: uint32(rows)})
}
