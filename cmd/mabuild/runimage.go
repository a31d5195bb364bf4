package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/engine"
)

// runFlags are the command line of run.
type runFlags struct {
	connection
	platform    string
	source      string
	entrypoint  string
	env         []string
	dir         string
	user        string
	hostname    string
	network     string
	volumes     []string
	pull        string
	way         string
	interactive bool
	tty         bool
	stopTimeout int
}

// exitNotRun is docker's code for a run that ended before the program began, or
// otherwise than by it.
const exitNotRun = 125

// runError is why run ends with a code that is not one of a build. Err is nil if the
// program itself ended so.
type runError struct {
	code int
	err  error
}

func (e *runError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("the program ended with exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *runError) Unwrap() error { return e.err }

const runLong = `Run a program in an image, for any platform that can be run or emulated here. IMAGE
is one of the image store, by name or digest, and otherwise of a registry; or the
path of an archive that -o type=oci wrote. Neither a registry nor Docker is needed
to try what was built.

Flags mean what they mean to docker run. Standard output is the program's alone,
and so is the exit code: 126 is a program that cannot be executed, 127 one that is
not there, 125 any failure of mabuild itself, and 128 and more a program that a signal
ended. What the program writes into its file system is gone afterwards.

Signals are passed on. A program that does not end within --stop-timeout after
SIGINT or SIGTERM is killed, and at once when the signal comes again.`

func newRunCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [flags] IMAGE [COMMAND [ARG…]]",
		Short: "Run a program in an image, on any platform",
		Long:  runLong,
		Example: `  mabuild run --platform linux/s390x app
  mabuild run -it --platform linux/arm64 --entrypoint sh app
  mabuild run -v "$PWD/testdata:/testdata:ro" app /app --self-test /testdata
  for p in amd64 arm64 s390x; do mabuild run --platform linux/$p app --version; done`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &runError{exitNotRun, usagef("IMAGE is missing\nUsage: %s", cmd.UseLine())}
			}
			code, err := f.run(cmd.Context(), cmd.Flags(), args[0], args[1:])
			return runResult(code, causeOf(cmd.Context(), err))
		},
	}
	f.addFlags(cmd.Flags())
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &runError{exitNotRun, usagef("%w\nRun `%s --help` for the flags.", err, cmd.CommandPath())}
	})
	return cmd
}

// runResult is the error that makes mabuild end with the code of the program, or 125.
// An interrupted one has the code of the signal, as ever.
func runResult(code int, err error) error {
	var interrupt *interruptError
	switch {
	case err == nil && code == 0:
		return nil
	case errors.As(err, &interrupt):
		return err
	case code == 0:
		return &runError{exitNotRun, err}
	}
	return &runError{code, err}
}

func (f *runFlags) addFlags(set *pflag.FlagSet) {
	set.SetInterspersed(false) // what follows IMAGE is the program's
	set.StringVar(&f.platform, "platform", "", "the `PLATFORM` to run (default: the builder's own, or the only one that the image has)")
	set.StringVar(&f.entrypoint, "entrypoint", "", "`PROGRAM` instead of the image's entrypoint and command")
	set.StringArrayVarP(&f.env, "env", "e", nil, "set a variable: `NAME=VALUE`, or NAME to take the value from the environment")
	set.StringVarP(&f.dir, "workdir", "w", "", "the working `DIRECTORY`")
	set.StringVarP(&f.user, "user", "u", "", "`USER[:GROUP]` by name or number")
	set.BoolVarP(&f.interactive, "interactive", "i", false, "pass on standard input")
	set.BoolVarP(&f.tty, "tty", "t", false, "give the program a terminal")
	set.StringArrayVarP(&f.volumes, "volume", "v", nil, "let the program read a copy of files: `PATH:TARGET:ro`")
	set.StringVar(&f.network, "network", "default", "`NETWORK` of the program: default (the host's, with the built-in engine), none or host")
	set.StringVar(&f.hostname, "hostname", "", "the `NAME` that the program sees as its host's")
	set.StringVar(&f.pull, "pull", "missing", "ask the registry `WHEN`: missing or always")
	set.IntVar(&f.stopTimeout, "stop-timeout", 10, "`SECONDS` that a program has to end after SIGINT or SIGTERM")
	set.Bool("rm", true, "accepted: nothing is kept of a container")
	set.StringVar(&f.source, "source", "auto", "where to look for IMAGE: auto, store or registry")
	set.StringVar(&f.way, "emulation", "auto", "`WAY` of running foreign platforms: auto, private, host or off")
	set.StringArrayVar(&f.toolsImages, "tools-image", nil, "image `REF` to take QEMU from when it is not on PATH, or runc=REF for runc (see MABUILD_TOOLS)")
	set.StringVar(&f.node, "node", os.Getenv("BUILDKIT_HOST"), "`ADDRESS` of a BuildKit daemon to use instead of the built-in engine (or BUILDKIT_HOST)")
	set.StringVar(&f.engineConfig, "engine-config", os.Getenv("MABUILD_ENGINE_CONFIG"), "`buildkitd.toml` with registry settings (or MABUILD_ENGINE_CONFIG)")
	for _, u := range []struct{ name, short, bare, why string }{
		{"detach", "d", "true", "a program runs as long as mabuild does; put & behind the command"},
		{"publish", "p", "", "with the built-in engine the program has the host's network, and its ports are the host's"},
		{"name", "", "", "a container is gone when its program has ended"},
		{"read-only", "", "true", "BuildKit has no read-only root for a container that is talked to; what is written is gone afterwards"},
		{"privileged", "", "true", "programs run as RUN steps do, without privileges"},
		{"mount", "", "", "give files with -v PATH:TARGET:ro"},
	} {
		flag := set.VarPF(unsupported{u.why}, u.name, u.short, "")
		flag.Hidden, flag.NoOptDefVal = true, u.bare
	}
}

// unsupported is a flag of docker run that is refused.
type unsupported struct{ why string }

func (unsupported) String() string { return "" }
func (unsupported) Type() string   { return "" }

func (u unsupported) Set(value string) error {
	if value == "false" {
		return nil
	}
	return errors.New("it is not supported: " + u.why)
}

// run returns the exit code of the program.
func (f *runFlags) run(ctx context.Context, set *pflag.FlagSet, name string, command []string) (int, error) {
	opts, err := f.options(set, command)
	if err != nil {
		return 0, err
	}
	image, err := f.find(ctx, name)
	if err != nil {
		return 0, err
	}
	defer image.close()
	node, err := f.choose(ctx, image)
	if err != nil {
		return 0, err
	}
	defer node.close()
	opts.Image, opts.Store, opts.Digest, opts.Platform = image.ref, image.store, image.digest, image.platform
	terminal, err := f.openTerminal()
	if err != nil {
		return 0, err
	}
	defer terminal.restore()
	// A program may wait for ever, so that only the way to it is told about.
	slow := time.AfterFunc(2*time.Second, func() { fmt.Fprintf(os.Stderr, "Getting %s for %s\r\n", name, image.platformName()) })
	defer slow.Stop()
	killable, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	controlled := make(chan struct{})
	ready := sync.OnceFunc(func() { close(controlled) })
	defer ready()
	opts.Stdout, opts.Stderr = heldBack{opts.Stdout, controlled}, heldBack{opts.Stderr, controlled}
	opts.Started = func(running context.Context, process buildkit.Process) {
		slow.Stop()
		image.close()
		if f.control(running, process, terminal, ready) {
			kill(errKilled)
		}
	}
	code, err := node.Run(killable, opts)
	if errors.Is(err, errKilled) {
		return 128 + int(syscall.SIGKILL), nil
	}
	var failure *buildkit.Error
	if errors.As(err, &failure) && failure.Kind == buildkit.EmulationMissing && failure.Hint == "" {
		failure.Hint = node.emulationHint(ctx, f.needed)
	}
	return code, err
}

// options are what the flags say without looking at the image.
func (f *runFlags) options(set *pflag.FlagSet, command []string) (opts buildkit.ContainerOptions, err error) {
	opts = buildkit.ContainerOptions{
		Command: command, User: f.user, Dir: f.dir, Hostname: f.hostname, Network: f.network, TTY: f.tty,
		Stdout: os.Stdout, Stderr: os.Stderr,
	}
	if f.emulation, err = engine.ParseWay(f.way); err != nil {
		return opts, &usageError{err}
	}
	if f.node != "" && f.emulation != engine.Auto {
		return opts, usagef("--emulation is about the built-in engine; the BuildKit daemon of --node has handlers of its own")
	}
	if set.Changed("entrypoint") {
		opts.Entrypoint = []string{}
		if f.entrypoint != "" {
			opts.Entrypoint = []string{f.entrypoint}
		}
	}
	switch f.pull {
	case "missing", "always":
		opts.Pull = f.pull == "always"
	default:
		return opts, usagef("--pull=%s is not supported; use missing or always", f.pull)
	}
	switch f.network {
	case "default", "none", "host":
	default:
		return opts, usagef("--network=%s is not supported; use default, none or host", f.network)
	}
	if f.dir != "" && !strings.HasPrefix(f.dir, "/") {
		return opts, usagef("--workdir %q is not an absolute path", f.dir)
	}
	if f.interactive {
		opts.Stdin = os.Stdin
	}
	for _, variable := range f.env {
		if name, _, ok := strings.Cut(variable, "="); name == "" {
			return opts, usagef("--env %q has no name; write NAME=VALUE or NAME", variable)
		} else if !ok {
			value, set := os.LookupEnv(name)
			if !set {
				continue // as docker does
			}
			variable += "=" + value
		}
		opts.Env = append(opts.Env, variable)
	}
	opts.Mounts, err = parseVolumes(f.volumes)
	return opts, err
}

// parseVolumes reads PATH:TARGET:ro.
func parseVolumes(specs []string) (mounts []buildkit.ContainerMount, err error) {
	for _, spec := range specs {
		parts := strings.Split(spec, ":")
		if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || !strings.HasPrefix(parts[1], "/") {
			return nil, usagef("--volume %q is not understood; write PATH:TARGET:ro with an absolute TARGET", spec)
		}
		if len(parts) < 3 || parts[2] != "ro" {
			return nil, usagef("--volume %q: the program gets a copy, and what it writes would not come back; write %s:%s:ro if it only reads", spec, parts[0], parts[1])
		}
		if !strings.ContainsAny(parts[0], `/\`) && parts[0] != "." && parts[0] != ".." {
			return nil, usagef("--volume %q: there are no named volumes; a directory here is ./%s", spec, parts[0])
		}
		if _, err := os.Stat(filepath.Clean(parts[0])); err != nil {
			return nil, usagef("--volume %q: %w", spec, err)
		}
		mounts = append(mounts, buildkit.ContainerMount{Source: parts[0], Target: parts[1]})
	}
	return mounts, nil
}
