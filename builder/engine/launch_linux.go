package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
)

// readyFD is where the engine process writes its [report]: the first of
// exec.Cmd.ExtraFiles.
const readyFD = 3

// report is the one line that an engine process sends to the process that
// started it. A pipe that closes without one means that the process died.
type report struct {
	Op   string `json:"op,omitempty"`
	Err  string `json:"error,omitempty"`
	Hint string `json:"hint,omitempty"`
	Kind string `json:"kind,omitempty"`
}

// kinds are the sentinels that survive the pipe.
var kinds = []error{ErrNoRuntime, ErrConfig, ErrBusy}

func supported() error { return nil }

// launch starts the engine process and waits until it serves.
func launch(ctx context.Context, opts Options, want Settings) error {
	// A socket that refused us with the lock still held is an engine on its way out.
	gone := flock.New(opts.State.lock())
	if err := lockContext(ctx, gone.TryLock); err != nil {
		return fmt.Errorf("waiting for the last engine to end: %w", err)
	}
	if err := gone.Unlock(); err != nil {
		return err
	}
	settings, err := json.Marshal(want)
	if err != nil {
		return err
	}
	stderr, err := os.OpenFile(opts.State.stderr(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return &Error{Op: "starting the engine", Err: err}
	}
	defer stderr.Close()
	ready, child, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	args := append(opts.Command[1:len(opts.Command):len(opts.Command)],
		superviseFlag, "--state", string(opts.State), "--config", opts.ConfigFile,
		"--idle", opts.Idle.String(), "--settings", string(settings))
	cmd := exec.Command(opts.Command[0], args...) //nolint:noctx // the engine outlives the build that starts it
	cmd.Args[0] = "mabuild"
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = stderr, stderr
	cmd.ExtraFiles = []*os.File{child}
	cmd.SysProcAttr = namespaces()
	// The session must not end with the terminal that started the engine.
	cmd.SysProcAttr.Setsid = true
	cmd.Env = environment(opts.State)
	err = cmd.Start()
	if closeErr := child.Close(); err != nil || closeErr != nil {
		return launchError(errors.Join(err, closeErr))
	}
	// Nothing but Wait tells a dead child from a living one; the pipe closes at
	// the same time, so the result is not needed.
	go func() { _ = cmd.Wait() }()
	return awaitReady(ctx, ready, opts.State)
}

func awaitReady(ctx context.Context, ready *os.File, state State) error {
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Now()) })
	defer stop()
	if err := ready.SetReadDeadline(time.Now().Add(startTimeout)); err != nil {
		return err
	}
	line, err := io.ReadAll(ready)
	if context.Cause(ctx) != nil {
		return context.Cause(ctx)
	}
	var r report
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err != nil {
		tail, _ := os.ReadFile(state.stderr())
		return &Error{
			Op:   "starting the engine",
			Err:  fmt.Errorf("the process ended or hung before it served; it wrote: %s", lastBytes(tail, 2000)),
			Hint: "See `mabuild engine logs`.",
		}
	}
	if r.Err == "" {
		return nil
	}
	cause := errors.New(r.Err)
	for _, kind := range kinds {
		if kind.Error() == r.Kind {
			cause = fmt.Errorf("%w%w", kind, errors.New(r.Err))
		}
	}
	return &Error{Op: r.Op, Err: cause, Hint: r.Hint}
}

func lastBytes(b []byte, n int) string {
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return "nothing"
	}
	return string(b[max(0, len(b)-n):])
}

// namespaces are those of an engine started by root: a user namespace with an
// identity map, so that the kernel lets it have its own binfmt_misc, and a PID
// namespace, so that nothing outlives it.
func namespaces() *syscall.SysProcAttr {
	// In two pieces: runc before 1.3 takes the single line "0 0 4294967295" for the
	// initial namespace and then insists on device cgroups, which it may not set.
	all := []syscall.SysProcIDMap{
		{ContainerID: 0, HostID: 0, Size: 1},
		{ContainerID: 1, HostID: 1, Size: maxIDs - 1},
	}
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		UidMappings: all, GidMappings: all,
		GidMappingsEnableSetgroups: true,
	}
}

// maxIDs is the whole range of uid_t less the reserved -1, user_namespaces(7).
const maxIDs = 1<<32 - 1

// environment is what the engine gets of the caller's: everything, with the
// places that runc and BuildKit derive from it moved into the state directory.
func environment(state State) []string {
	return append(os.Environ(),
		"XDG_RUNTIME_DIR="+string(state), // runc's state
		// As root of a user namespace runc does without cgroups unless USER is root.
		"USER=mabuild",
		// archutil.check copies a probe there and runs it: a noexec /tmp would
		// make every foreign platform look unsupported.
		"TMPDIR="+string(state),
	)
}

func launchError(err error) error {
	e := &Error{Op: "starting the engine in a user namespace of its own", Err: err}
	switch {
	case errors.Is(err, unix.ENOSPC):
		e.Hint = "The limit of user namespaces is used up: raise it with `sysctl user.max_user_namespaces=10000`."
	case errors.Is(err, unix.EPERM):
		e.Hint = "This system forbids user namespaces (a container without CAP_SYS_ADMIN, or a security policy). Use a BuildKit daemon with --node, or run the container privileged."
	}
	return e
}

// peer returns the process that listens on the socket.
func (s State) peer(ctx context.Context) (int, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", s.Socket())
	if err != nil {
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
			return 0, ErrNotRunning
		}
		return 0, err
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return int(cred.Pid), nil
}

// terminate asks the engine to end: SIGTERM after the running builds, SIGINT now.
func terminate(pid int, now bool) error {
	if now {
		return unix.Kill(pid, unix.SIGINT)
	}
	return unix.Kill(pid, unix.SIGTERM)
}

func kill(pid int) error { return unix.Kill(pid, unix.SIGKILL) }
