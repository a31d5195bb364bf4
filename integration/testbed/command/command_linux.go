package command

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
)

// Run runs cmd and returns the end of its output with its error. The command
// has a process group of its own, which ends with the context; the command itself
// ends with this process, even if that is killed.
func Run(ctx context.Context, cmd *exec.Cmd) error {
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	// The signal is sent when the thread ends that started the command.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Run(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("running %v: %w%s", cmd.Args, err, Tail(output.Bytes()))
	}
	return nil
}

// Sandbox makes cmd run in namespaces of its own: mounts, processes and, with all
// ids mapped to themselves, users. What it mounts and what it registers with
// binfmt_misc is unseen outside and gone when it ends; killing it kills all it started.
func Sandbox(cmd *exec.Cmd) {
	all := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1<<32 - 1}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:                 syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		UidMappings:                all,
		GidMappings:                all,
		GidMappingsEnableSetgroups: true,
	}
}
