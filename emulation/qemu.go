package emulation

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/platforms"
)

// FindQEMU returns the absolute path of the QEMU that runs the architecture's
// programs: qemu-NAME-static, or else qemu-NAME, in the first of the
// directories that has it. Without directories it looks on PATH, whose
// relative entries it passes over.
//
// A QEMU that needs a dynamic linker or libraries is passed over as well, since
// it would look for them inside the container. The error is [ErrNoQEMU], and
// [fs.ErrNotExist] too if there is none of either kind.
func (a Arch) FindQEMU(dirs ...string) (string, error) {
	path, unusable := a.findQEMU(dirs)
	if path == "" {
		return "", a.noQEMU(unusable)
	}
	return path, nil
}

// findQEMU returns "" and the reasons why those that are there are unusable.
func (a Arch) findQEMU(dirs []string) (path string, unusable error) {
	if len(dirs) == 0 {
		dirs = filepath.SplitList(os.Getenv("PATH"))
	}
	for _, name := range a.qemuNames() {
		for _, dir := range dirs {
			if !filepath.IsAbs(dir) {
				continue
			}
			path, err := exec.LookPath(filepath.Join(dir, name))
			if err != nil {
				continue
			}
			if err := checkStatic(path); err != nil {
				unusable = errors.Join(unusable, fmt.Errorf("%q %w", path, err))
				continue
			}
			return path, nil
		}
	}
	return "", unusable
}

func (a Arch) qemuNames() []string {
	return []string{"qemu-" + a.Name + "-static", "qemu-" + a.Name}
}

func (a Arch) noQEMU(unusable error) error {
	platform := platforms.Format(a.Platform)
	e := &Error{
		Op:   "finding QEMU for " + platform,
		Err:  &notFoundError{names: a.qemuNames()},
		Hint: "run `apt-get install qemu-user-static`, the package with QEMU for " + platform,
	}
	if unusable != nil {
		e.Err = fmt.Errorf("%w: %w", ErrNoQEMU, unusable)
	}
	return e
}

// notFoundError is both ErrNoQEMU and fs.ErrNotExist.
type notFoundError struct{ names []string }

func (e *notFoundError) Error() string {
	return fmt.Sprintf("%v: %s not found", ErrNoQEMU, strings.Join(e.names, " and "))
}

func (e *notFoundError) Is(target error) bool {
	return target == ErrNoQEMU || target == fs.ErrNotExist
}

// FindHandler returns the handler that [Table.RegisterFound] would register for
// the architecture: with the QEMU that [Arch.FindQEMU] finds, after asking it for
// its version, and without the flag P where it or the kernel is too old for it.
// The error is [ErrNoQEMU].
func (a Arch) FindHandler(ctx context.Context, dirs ...string) (Handler, Version, error) {
	path, err := a.FindQEMU(dirs...)
	if err != nil {
		return Handler{}, Version{}, err
	}
	return a.handlerFor(ctx, path)
}

// checkStatic returns an error for a file that cannot be an interpreter in a
// container without files of its own.
func checkStatic(path string) error {
	file, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("is not an ELF program: %w", err)
	}
	defer file.Close()
	if slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return errors.New("is linked dynamically and would look for its libraries inside the container")
	}
	return nil
}

// Version is what a QEMU says about itself.
type Version struct {
	Arch                string // which architecture it emulates, as QEMU spells it
	Major, Minor, Micro int
	Vendor              string // such as "Debian 1:7.2+dfsg-7+deb12u18"; may be empty
}

// String returns the version alone: "7.2.22".
func (v Version) String() string {
	return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Micro)
}

// versionTimeout bounds a program that takes milliseconds.
const versionTimeout = 10 * time.Second

// QEMUVersion runs the QEMU at path, which also proves that this machine can
// run it. A program that does not run, or does not answer as a QEMU does, is
// [ErrNoQEMU]. When ctx ends first, the error is its cause.
func QEMUVersion(ctx context.Context, path string) (Version, error) {
	limited, cancel := context.WithTimeoutCause(ctx, versionTimeout,
		fmt.Errorf("no answer within %s", versionTimeout))
	defer cancel()
	cmd := exec.CommandContext(limited, path)
	// Debian's links to QEMU, whose names end in -binfmt-P, are told by argv[0] to
	// expect a handler's arguments.
	cmd.Args = []string{"qemu", "--version"}
	// QEMU takes options from QEMU_* variables, which are meant for programs
	// that the user runs, not for this question.
	cmd.Env = []string{"LC_ALL=C"}
	cmd.WaitDelay = versionTimeout / 2
	var output bytes.Buffer
	cmd.Stdout = &output
	err := cmd.Run()
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return Version{}, &Error{Op: fmt.Sprintf("running %q", path), Err: cause}
	}
	if cause := context.Cause(limited); err != nil && cause != nil {
		err = cause
	}
	var version Version
	if err == nil {
		version, err = ParseVersion(output.String())
	}
	if err != nil {
		return Version{}, &Error{
			Op:   fmt.Sprintf("running %q", path),
			Err:  fmt.Errorf("%w: %w", ErrNoQEMU, err),
			Hint: "reinstall it: run `apt-get install --reinstall qemu-user-static`",
		}
	}
	return version, nil
}

// ParseVersion parses what QEMU prints when it is asked for its version, which
// begins with "qemu-aarch64 version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)".
func ParseVersion(output string) (Version, error) {
	line, _, _ := strings.Cut(output, "\n")
	line = strings.TrimSuffix(line, "\r")
	program, rest, found := strings.Cut(line, " version ")
	arch, isQEMU := strings.CutPrefix(program, "qemu-")
	if !found || !isQEMU || arch == "" {
		return Version{}, fmt.Errorf("%q is not how QEMU answers", line)
	}
	number, vendor, _ := strings.Cut(rest, " ")
	v := Version{Arch: arch}
	v.Vendor = strings.TrimSuffix(strings.TrimPrefix(vendor, "("), ")")
	parts := strings.Split(number, ".")
	if len(parts) < 2 {
		return Version{}, fmt.Errorf("version %q in %q is not dotted numbers", number, line)
	}
	for i, field := range []*int{&v.Major, &v.Minor, &v.Micro} {
		if i == len(parts) {
			break
		}
		n, err := strconv.ParseUint(parts[i], 10, 31)
		if err != nil {
			return Version{}, fmt.Errorf("version %q in %q is not dotted numbers", number, line)
		}
		*field = int(n)
	}
	return v, nil
}
