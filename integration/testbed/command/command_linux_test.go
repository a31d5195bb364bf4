package command_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/integration/testbed/command"
)

func TestNeed(t *testing.T) {
	if err := command.Need("sh"); err != nil {
		t.Error(err)
	}
	t.Setenv("PATH", t.TempDir())
	err := command.Need("debootstrap")
	if !errors.Is(err, exec.ErrNotFound) || !strings.HasSuffix(err.Error(), "run apt-get install debootstrap") {
		t.Errorf("got the error %v, want one that says what to install", err)
	}
}

func TestRun(t *testing.T) {
	err := command.Run(t.Context(), exec.CommandContext(t.Context(), "sh", "-c", "echo what went wrong >&2; exit 3"))
	exit := (*exec.ExitError)(nil)
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.HasSuffix(err.Error(), "\nwhat went wrong") {
		t.Errorf("got the error %v, want the status and the output", err)
	}
}

func TestRunEndsWithTheContext(t *testing.T) {
	stop := errors.New("the user had enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	// The shell says that it runs by opening the pipe; its child would hold Run up for an hour.
	fifo := t.TempDir() + "/started"
	if err := exec.CommandContext(t.Context(), "mkfifo", fifo).Run(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- command.Run(ctx, exec.CommandContext(ctx, "sh", "-c", `sleep 3600 & echo running >"$1"; wait`, "sh", fifo))
	}()
	if _, err := os.ReadFile(fifo); err != nil {
		t.Fatal(err)
	}
	cancel(stop)
	if err := <-done; !errors.Is(err, stop) {
		t.Errorf("got the error %v, want the cause of the cancellation", err)
	}
}

// What a sandbox mounts must be unseen outside.
func TestSandbox(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mapping all ids takes root: run the tests as root")
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `mount --make-rslave / && mount -t tmpfs tmpfs "$1" && echo inside >"$1/file"`, "sh", dir)
	command.Sandbox(cmd)
	if err := command.Run(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	found, err := os.ReadDir(dir)
	if err != nil || len(found) > 0 {
		t.Errorf("outside, the folder has %v (%v)", found, err)
	}
}
