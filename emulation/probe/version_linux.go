package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mabuild/mabuild/emulation"
)

// timeout bounds a program that takes milliseconds.
const timeout = 10 * time.Second

// Version returns the version of the QEMU that runs programs of the architecture
// for the calling process. It executes such a program, with QEMU's variable
// QEMU_VERSION set, which QEMU answers instead of running anything. The error is
// [emulation.ErrNoQEMU] if there is no handler or its interpreter is no QEMU.
func Version(ctx context.Context, arch emulation.Arch) (emulation.Version, error) {
	version, err := version(ctx, arch)
	if err != nil {
		return emulation.Version{}, &emulation.Error{
			Op:  "asking the emulator of " + arch.Name + " for its version",
			Err: fmt.Errorf("%w: %w", emulation.ErrNoQEMU, err),
		}
	}
	return version, nil
}

func version(ctx context.Context, arch emulation.Arch) (emulation.Version, error) {
	program := Program(arch)
	if program == nil {
		return emulation.Version{}, errors.New("there is no program for that architecture")
	}
	// In memory: there may be no directory that programs can be executed in.
	fd, err := unix.MemfdCreate("mabuild-probe", unix.MFD_CLOEXEC)
	if err != nil {
		return emulation.Version{}, err
	}
	file := os.NewFile(uintptr(fd), "mabuild-probe")
	defer file.Close()
	if _, err := file.Write(program); err != nil {
		return emulation.Version{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/fd/3")
	cmd.ExtraFiles = []*os.File{file}
	cmd.Env = []string{"QEMU_VERSION=1", "LC_ALL=C"}
	cmd.WaitDelay = timeout / 2
	var output bytes.Buffer
	cmd.Stdout = &output
	err = cmd.Run()
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return emulation.Version{}, cause
	}
	if err != nil {
		return emulation.Version{}, err
	}
	return emulation.ParseVersion(output.String())
}
