//go:build unix

package contexts

import (
	"os/exec"
	"syscall"
)

// isolate gives a command a session of its own. Nothing in it has a terminal that it
// could ask on, and all of it ends with the context: git has helpers do the work.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
