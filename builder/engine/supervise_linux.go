package engine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/mabuild/mabuild/emulation"
)

// superviseFlag marks the arguments of the process that [launch] starts: the first
// process of a PID namespace, whose only child of its own is the engine.
const superviseFlag = "--supervise"

// supervise starts the engine and reaps what the containers leave behind. When the
// engine ends, however it ends, so does this process, and with it the kernel ends
// every process of the namespace: a killed engine leaves no RUN step running.
func supervise(ready *os.File) error {
	if err := separateMounts(); err != nil {
		return err
	}
	if err := mountProc(); err != nil {
		return &Error{
			Op: "mounting /proc for the engine's processes", Err: err,
			Hint: namespaceHint(err, sysctl),
		}
	}
	cmd := exec.Command("/proc/self/exe", without(os.Args, superviseFlag)[1:]...) //nolint:noctx // lives as long as this process
	cmd.Args[0] = os.Args[0]
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{ready}
	signals := make(chan os.Signal, 2)
	signal.Reset(syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the engine below its supervisor: %w", err)
	}
	if err := ready.Close(); err != nil {
		return err
	}
	go func() {
		for sig := range signals {
			_ = cmd.Process.Signal(sig)
		}
	}()
	return reap(cmd.Process.Pid)
}

// mountProc gives the PID namespace its own /proc. The table of handlers stays where
// it was below it, for an engine that uses the host's.
func mountProc() error {
	var stat unix.Statfs_t
	table, err := unix.Open(emulation.DefaultDir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(table)
		err = unix.Fstatfs(table, &stat)
	}
	mounted := err == nil && stat.Type == unix.BINFMTFS_MAGIC
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	if !mounted {
		return nil
	}
	return unix.Mount(fmt.Sprintf("/proc/self/fd/%d", table), emulation.DefaultDir, "", unix.MS_BIND, "")
}

// without returns the arguments less one flag.
func without(args []string, flag string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return arg == flag })
}

// reap waits for children until the engine has ended.
func reap(engine int) error {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("waiting for the engine: %w", err)
		case pid == engine && status.Exited() && status.ExitStatus() == 0:
			return nil
		case pid == engine:
			return fmt.Errorf("the engine ended with status %#x", uint32(status))
		}
	}
}

// separateMounts keeps mounts made here from leaking out; ones made outside come in.
func separateMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return &Error{
			Op: "separating the engine's mounts from the host's", Err: err,
			Hint: namespaceHint(err, sysctl),
		}
	}
	return nil
}
