package buildkit

import (
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/platforms"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
)

// crashCodes are what a shell says of a process that died of a signal that an
// emulator's fault raises: 128 and SIGILL, SIGABRT, SIGBUS, SIGSEGV.
var crashCodes = map[uint32]string{132: "SIGILL", 134: "SIGABRT", 135: "SIGBUS", 139: "SIGSEGV"}

// uncaughtSignal is what QEMU's user mode prints before it dies of a signal of the
// program that it runs.
const uncaughtSignal = "qemu: uncaught target signal"

// tooLarge is what EOVERFLOW of readdir looks like in a 32-bit program (case 28,
// https://gitlab.com/qemu-project/qemu/-/issues/263).
const tooLarge = "Value too large for defined data type"

// Texts of a program that the kernel cannot run. The second is what execvp makes of
// it in an image without /bin/sh (case 17).
const (
	wrongFormat = "exec format error"
	noSuchFile  = "no such file or directory"
)

// blameEmulator looks whether a failed step failed because it was emulated, or
// because it should have been and was not.
func (s *Solver) blameEmulator(e *Error, err error, job planner.Job) {
	if e.Kind != BuildFailed {
		return
	}
	platform, emulated := s.emulated(job, e.Line)
	name := platforms.Format(platform)
	text := commandText.ReplaceAllString(e.Err.Error(), "")
	badFormat := strings.Contains(strings.ToLower(text+"\n"+strings.Join(e.Log, "\n")), wrongFormat)
	if !emulated {
		if badFormat {
			e.Hint = "The program is not made for " + name + ": the base image or a copied file is of another platform."
		}
		return
	}
	crash := crashOf(err, e.Log)
	switch {
	case crash != "":
		e.Kind = EmulatorCrashed
		e.Err = fmt.Errorf("the emulator crashed (%s, %s): %w", s.emulator(platform), crash, e.Err)
		e.Hint = "This is a fault of QEMU more often than of the program. What helps: --retry-emulated 2 if it comes and goes; another version of QEMU; " +
			"doing the work in a stage FROM --platform=$BUILDPLATFORM; a node of " + name + " with --node."
	case strings.Contains(strings.Join(e.Log, "\n"), tooLarge):
		e.Hint = "A 32-bit program under QEMU sees 64-bit directory offsets, which programs without large file support refuse (cargo, b2). " +
			"What helps: a tmpfs or cache mount for the directory that it reads (RUN --mount=type=tmpfs,target=DIR); a node of " + name + " with --node."
	case badFormat, !s.listed(platform) && strings.Contains(text, noSuchFile):
		e.Kind = EmulationMissing
		e.Err = fmt.Errorf("programs of %s cannot be run here: %w", name, e.Err)
		e.Hint = "Its handler is missing or was removed while the build ran: see `mabuild emulation status`. " +
			"If the image has programs of another platform than it says, choose another image."
	}
}

// crashOf tells by which signal an emulated program ended, empty if by none.
func crashOf(err error, log []string) string {
	for _, line := range log {
		if i := strings.Index(line, uncaughtSignal); i >= 0 {
			return line[i:]
		}
	}
	var exit *gatewaypb.ExitError
	if errors.As(err, &exit) {
		if signal, ok := crashCodes[exit.ExitCode]; ok {
			return fmt.Sprintf("exit code %d is %s", exit.ExitCode, signal)
		}
	}
	return ""
}

// emulated returns the platform of the stage at a line of the Dockerfile, and
// whether the node's processor cannot run it.
func (s *Solver) emulated(job planner.Job, line int) (ocispec.Platform, bool) {
	platform := job.Platform
	if stage, ok := stageAt(job, line); ok {
		platform = stage.Platform
	}
	return platform, !platforms.Only(s.opts.Node.Native()).Match(platform)
}

// listed reports whether the node says that it runs the platform.
func (s *Solver) listed(platform ocispec.Platform) bool {
	for _, p := range s.opts.Node.Platforms() {
		if platforms.Only(p).Match(platform) {
			return true
		}
	}
	return false
}

func (s *Solver) emulator(platform ocispec.Platform) string {
	if s.opts.Emulator != nil {
		if name := s.opts.Emulator(platform); name != "" {
			return name
		}
	}
	return "QEMU of unknown version"
}
