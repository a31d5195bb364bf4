package tools

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/emulation"
)

// runTimeout bounds programs that take milliseconds to say their version.
const runTimeout = 10 * time.Second

// checkProgram checks that a file can do a tool's work on this machine, and runs it
// at last to see.
func checkProgram(ctx context.Context, path string, w want, platform ocispec.Platform) error {
	if err := checkELF(path, w, platform); err != nil {
		return fmt.Errorf("%w: it %w", ErrUnusable, err)
	}
	if err := checkExecutable(path); err != nil {
		return err
	}
	if err := whileBusy(ctx, func() error { return runProgram(ctx, path, w) }); err != nil {
		if context.Cause(ctx) != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	return nil
}

func runProgram(ctx context.Context, path string, w want) error {
	if w.arch == nil {
		return checkRunc(ctx, path)
	}
	version, err := emulation.QEMUVersion(ctx, path)
	if described := (*emulation.Error)(nil); errors.As(err, &described) {
		return described.Err // its hint is about what the distribution has
	}
	if err == nil && version.Arch != w.arch.Name {
		err = fmt.Errorf("it emulates %s", version.Arch)
	}
	return err
}

// whileBusy repeats what fails because a program is open for writing: a process that
// was forked meanwhile has inherited the file and holds it until it executes its own
// program (golang.org/issue/22315).
func whileBusy(ctx context.Context, run func() error) error {
	for pause := time.Millisecond; ; pause *= 2 {
		err := run()
		if !errors.Is(err, syscall.ETXTBSY) || pause > time.Second {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// checkELF checks the kind of a program. Its errors continue "it …".
func checkELF(path string, w want, platform ocispec.Platform) error {
	host, err := emulation.Lookup(platform)
	if err != nil {
		return fmt.Errorf("can't be judged: %w", err)
	}
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("can't be read: %w", err)
	}
	defer in.Close()
	header := make([]byte, 64)
	n, err := io.ReadFull(in, header)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("can't be read: %w", err)
	}
	program, err := elf.NewFile(in)
	if err != nil {
		return fmt.Errorf("is not an ELF program: %w", err)
	}
	// The magic says more than e_machine: class, byte order, and that it is a program.
	if !host.Handler("/").Matches(header[:n]) {
		return fmt.Errorf("is %v for %v (%v, %v), not a program for %v", program.Type, program.Machine, program.Class, program.Data, host.Machine)
	}
	interpreter, err := interpreterOf(program)
	switch {
	case err != nil:
		return err
	case interpreter == "":
		return nil
	case w.arch != nil:
		return errors.New("is linked dynamically and would look for its libraries inside the container")
	}
	if _, err := os.Stat(interpreter); err != nil {
		return fmt.Errorf("is linked dynamically and this machine lacks its %s", interpreter)
	}
	return nil
}

// interpreterOf returns the dynamic linker of a program, "" for a static one.
func interpreterOf(program *elf.File) (string, error) {
	for _, segment := range program.Progs {
		if segment.Type != elf.PT_INTERP {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(segment.Open(), 4096))
		path, _, terminated := bytes.Cut(text, []byte{0})
		if err != nil || !terminated || len(path) == 0 {
			return "", errors.New("names no dynamic linker where it should")
		}
		return string(path), nil
	}
	return "", nil
}

// checkRunc runs a runc, which must have libseccomp: BuildKit hands every container
// a seccomp profile. crun doesn't serve, since BuildKit calls `run --keep`.
func checkRunc(ctx context.Context, path string) error {
	limited, cancel := context.WithTimeoutCause(ctx, runTimeout, fmt.Errorf("no answer within %s", runTimeout))
	defer cancel()
	cmd := exec.CommandContext(limited, path, "--version")
	cmd.WaitDelay = runTimeout / 2
	out, err := cmd.CombinedOutput()
	if err != nil && context.Cause(limited) != nil {
		err = context.Cause(limited)
	}
	switch {
	case err != nil:
		return fmt.Errorf("running %s --version: %w", path, err)
	case strings.HasPrefix(string(out), "crun"):
		return fmt.Errorf("%s is crun", path)
	case !strings.Contains(string(out), "libseccomp:"):
		return fmt.Errorf("%s was built without libseccomp", path)
	}
	return nil
}
