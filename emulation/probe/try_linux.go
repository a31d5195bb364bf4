package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/mabuild/mabuild/emulation"
)

const (
	// alias is an argv[0] that is no file: a QEMU that takes it for an argument
	// makes the program execute it, and that has to fail.
	alias = "mabuild probe"
	// notStarted is how the program exits when it cannot execute its arguments.
	notStarted = 125
	idBits     = 0x7f
)

// try does one check.
func (b *bench) try(ctx context.Context, arch emulation.Arch, name string) (Outcome, string) {
	program, root := b.path(arch, "program"), b.path(arch, "")
	switch name {
	case CheckRun, CheckArgv0:
		got := execute(ctx, program, nil, alias)
		if name == CheckRun {
			return got.ran()
		}
		return got.named(program)
	case CheckChild:
		got := execute(ctx, program, nil, alias, program)
		if got.code == notStarted {
			return Failed, "it could not execute another program of its kind"
		}
		return got.ended(os.Geteuid(), program)
	case CheckContainer:
		got := execute(ctx, "/program", &syscall.SysProcAttr{Chroot: root}, alias)
		if got.code == notStarted {
			return Passed, "" // argv[0] was taken for an argument: another check says so
		}
		outcome, detail := got.ended(os.Geteuid(), "")
		if outcome == Failed {
			detail += ": the handler lacks the flag F, or its QEMU needs other files"
		}
		return outcome, detail
	default:
		user := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: b.other, Gid: b.other}}
		got := execute(ctx, b.path(arch, "setuid"), user, alias)
		switch {
		case got.err == nil && got.code == int(b.other)&idBits && noNewPrivileges():
			return Failed, "no_new_privs is set for this process"
		case got.err == nil && got.code == int(b.other)&idBits:
			return Failed, "a program that belongs to root, with the setuid bit, ran as the user who started it: the handler lacks the flag C, or the file system is mounted nosuid"
		case got.code == notStarted:
			return Skipped, "the program takes its name for an argument"
		}
		return got.ended(0, "")
	}
}

// execution is how a program ended.
type execution struct {
	err    error // why it did not start, or the signal that ended it
	code   int
	lines  []string // what it wrote
	stderr string
}

func execute(ctx context.Context, path string, attributes *syscall.SysProcAttr, args ...string) execution {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it did not end within %s", timeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, path)
	cmd.Args = args
	cmd.SysProcAttr = attributes
	cmd.Dir = "/"
	cmd.Env = []string{"LC_ALL=C"} // no QEMU_* variables
	cmd.WaitDelay = timeout / 2
	var output, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &complaint
	err := cmd.Run()
	result := execution{stderr: strings.TrimSpace(complaint.String()), lines: strings.Split(strings.TrimSuffix(output.String(), "\n"), "\n")}
	var exit *exec.ExitError
	switch cause := context.Cause(ctx); {
	case err != nil && cause != nil:
		result.err = cause
	case errors.As(err, &exit) && exit.Exited():
		result.code = exit.ExitCode()
	case err != nil:
		result.err = explain(err)
	}
	return result
}

// explain says what the kernel's answer means for a foreign program.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.ENOEXEC):
		return fmt.Errorf("%w: no handler takes it", unix.ENOEXEC)
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w: its handler's interpreter is not there", unix.ENOENT)
	case errors.Is(err, unix.ELOOP):
		return fmt.Errorf("%w: its handler takes its own interpreter", unix.ELOOP)
	}
	return err
}

// ran judges whether the program ran at all.
func (e execution) ran() (Outcome, string) {
	outcome, detail := e.ended(os.Geteuid(), "")
	if outcome == Passed || e.err == nil && e.code == notStarted && len(e.lines) == 1 {
		return Passed, ""
	}
	return outcome, detail
}

// named judges whether the program got its name.
func (e execution) named(program string) (Outcome, string) {
	switch {
	case e.code == notStarted:
		return Failed, "it got its name as an argument: the handler has the flag P, which its QEMU or the kernel is too old for"
	case e.lines[0] == program:
		return Failed, "it got its path for its name: the handler lacks the flag P"
	case e.lines[0] != alias:
		return Failed, fmt.Sprintf("it got %q for its name", e.lines[0])
	}
	return Passed, ""
}

// ended judges whether the program wrote what it should and exited as the user.
// last is its last line; empty means any.
func (e execution) ended(user int, last string) (Outcome, string) {
	got := e.lines[len(e.lines)-1]
	switch {
	case e.err != nil:
		return Failed, e.with(e.err.Error())
	case e.code != user&idBits:
		return Failed, e.with(fmt.Sprintf("it exited with %d instead of %d", e.code, user&idBits))
	case got == "" || last != "" && got != last:
		return Failed, e.with(fmt.Sprintf("it wrote %q", got))
	}
	return Passed, ""
}

// with adds what was written to standard error, which is QEMU's.
func (e execution) with(detail string) string {
	if e.stderr != "" {
		detail += ": " + e.stderr
	}
	return detail
}

func noNewPrivileges() bool {
	set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	return err == nil && set == 1
}

// otherID returns the number of a user and group that nobody else is likely to
// be: a random one from the upper half of the ids that exist here.
func otherID() (id uint32, reason string) {
	if os.Geteuid() != 0 {
		return 0, "it takes root to make a program that belongs to root"
	}
	first, last := uint32(0), uint32(math.MaxUint32-1)
	for _, file := range []string{"/proc/self/uid_map", "/proc/self/gid_map"} {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err.Error()
		}
		from, to, ok := largestRange(string(text))
		if !ok {
			return 0, "this user namespace has no other users"
		}
		first, last = max(first, from), min(last, to)
	}
	const enough = 1000 // numbers to pick one from
	if first >= last || last-first < enough {
		return 0, "this user namespace has no other users"
	}
	return last - rand.Uint32N((last-first)/2), ""
}

// largestRange returns the largest range of an id map, user_namespaces(7).
func largestRange(text string) (first, last uint32, ok bool) {
	var size uint64
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return 0, 0, false
		}
		from, err := strconv.ParseUint(fields[0], 10, 32)
		count, err2 := strconv.ParseUint(fields[2], 10, 32)
		if err != nil || err2 != nil || count <= size || from+count > math.MaxUint32 {
			continue
		}
		size, first, last = count, uint32(from), uint32(from+count-1)
	}
	return first, last, size > 0
}
