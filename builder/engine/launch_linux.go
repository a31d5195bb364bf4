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
	"slices"
	"strings"
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
	if err := checkPlace(opts.State); err != nil {
		return err
	}
	mode, ids, reason := planIDs()
	if mode == singleID {
		opts.Logger.WarnContext(ctx, "the engine has no range of user ids: base images and steps may have files of root alone, so debian and most others fail to unpack. "+singleIDHint(), "reason", reason)
	}
	cmd, err := opts.process(want, mode, ids)
	if err != nil {
		return err
	}
	stderr, err := os.OpenFile(opts.State.stderr(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return &Error{Op: "starting the engine", Err: err}
	}
	defer stderr.Close()
	cmd.Stdout, cmd.Stderr = stderr, stderr
	ready, err := start(cmd, mode, ids)
	if err != nil {
		return err
	}
	defer ready.Close()
	return awaitReady(ctx, ready, opts.State)
}

// process is the supervisor, not started yet.
func (o Options) process(want Settings, mode idMode, ids mapping) (*exec.Cmd, error) {
	settings, err := json.Marshal(want)
	if err != nil {
		return nil, err
	}
	args := append(o.Command[1:len(o.Command):len(o.Command)],
		superviseFlag, "--state", string(o.State), "--config", o.ConfigFile,
		"--idle", o.Idle.String(), "--settings", string(settings), "--ids", string(mode))
	if mode == subordinateIDs {
		args = append(args, awaitMapFlag)
	}
	cmd := exec.Command(o.Command[0], args...) //nolint:noctx // the engine outlives the build that starts it
	cmd.Args[0] = "mabuild"
	cmd.Dir = "/"
	cmd.SysProcAttr = attributes(mode, ids)
	cmd.Env = environment(o.State)
	return cmd, nil
}

// start starts the supervisor, maps its ids, and returns the pipe on which the
// engine's [report] comes.
func start(cmd *exec.Cmd, mode idMode, ids mapping) (*os.File, error) {
	ready, readyChild, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	mappedChild, mapped, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, ready.Close(), readyChild.Close())
	}
	cmd.ExtraFiles = []*os.File{readyChild, mappedChild}
	err = cmd.Start()
	if err != nil {
		err = launchError(err)
	} else {
		// Nothing but Wait tells a dead child from a living one; the pipe closes at
		// the same time, so the result is not needed.
		go func() { _ = cmd.Wait() }()
		if mode == subordinateIDs {
			err = ids.write(cmd.Process.Pid)
		}
	}
	if err == nil {
		_, err = mapped.WriteString(mappedWord)
	}
	err = errors.Join(err, readyChild.Close(), mappedChild.Close(), mapped.Close())
	if err != nil {
		return nil, errors.Join(err, ready.Close())
	}
	return ready, nil
}

// checkPlace explains a state directory in which nothing can be run: BuildKit
// copies its platform probes there and the containers' files are below it.
func checkPlace(state State) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(string(state), &stat); err != nil {
		return fmt.Errorf("looking at the state directory: %w", err)
	}
	if stat.Flags&unix.ST_NOEXEC != 0 {
		return &Error{
			Op:   fmt.Sprintf("using state directory %q", string(state)),
			Err:  errors.New("its file system is mounted noexec"),
			Hint: "Set MABUILD_STATE_DIR to a directory from which programs can be run.",
		}
	}
	return nil
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

// environment is what the engine gets of the caller's: everything but the secrets of
// one build, with the places that runc and BuildKit derive from it moved into the
// state directory.
func environment(state State) []string {
	inherited := slices.DeleteFunc(os.Environ(), func(item string) bool { return strings.HasPrefix(item, "MABUILD_SECRET_") })
	return append(inherited,
		"XDG_RUNTIME_DIR="+string(state), // runc's state
		// As root of a user namespace runc does without cgroups unless USER is root.
		"USER=mabuild",
		// archutil.check copies a probe there and runs it: a noexec /tmp would
		// make every foreign platform look unsupported.
		"TMPDIR="+string(state),
	)
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
		return sendSignal(pid, unix.SIGINT)
	}
	return sendSignal(pid, unix.SIGTERM)
}

func kill(pid int) error { return sendSignal(pid, unix.SIGKILL) }

// sendSignal is content with an engine that has ended meanwhile.
func sendSignal(pid int, s unix.Signal) error {
	if err := unix.Kill(pid, s); !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}
