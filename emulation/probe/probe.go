package probe

import (
	"slices"

	"github.com/mabuild/mabuild/emulation"
)

// Program returns the program for the architecture, or nil for one that is not
// in [emulation.Arches].
func Program(arch emulation.Arch) []byte {
	if text := file(arch.Name); text != "" {
		return []byte(text)
	}
	return nil
}

// Outcome is how a check ended.
type Outcome string

// The outcomes.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped"
)

// The names of the checks, in their order.
const (
	CheckRun       = "run"
	CheckArgv0     = "argv0"
	CheckChild     = "child"
	CheckContainer = "container"
	CheckSetuid    = "setuid"
)

// Names returns the names of the checks, in their order.
func Names() []string {
	return []string{CheckRun, CheckArgv0, CheckChild, CheckContainer, CheckSetuid}
}

// Check is one thing that was tried with an architecture.
type Check struct {
	Name    string  `json:"name"`
	Outcome Outcome `json:"outcome"`
	// Detail says what happened if it failed, and why it was skipped.
	Detail string `json:"detail,omitempty"`
	// Meaning says what a failure means for builds.
	Meaning string `json:"meaning,omitempty"`
}

// Result is what was found out about an architecture.
type Result struct {
	// Arch is QEMU's name of the architecture, Platform the one of images.
	Arch     string `json:"arch"`
	Platform string `json:"platform"`
	// Native is set for the platforms that the machine runs without an emulator.
	Native bool `json:"native,omitempty"`
	// QEMU is the version of the QEMU that runs the programs, if one does.
	QEMU   string  `json:"qemu,omitempty"`
	Checks []Check `json:"checks"`
}

// OK reports whether no check failed.
func (r Result) OK() bool {
	return !slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Outcome == Failed })
}

// Check returns the check with the name; the zero value for an unknown one.
func (r Result) Check(name string) Check {
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	return Check{}
}

// Options say what [Run] checks.
type Options struct {
	// Arches are the architectures to check; none means all of
	// [emulation.Arches].
	Arches []emulation.Arch
	// Dir is where programs are put for the time of the checks, in a directory of
	// their own; empty is [os.TempDir].
	Dir string
}

// meaning says what the failure of a check means.
func meaning(check string) string {
	switch check {
	case CheckRun:
		return "no RUN step works for this platform"
	case CheckArgv0:
		return "programs that look at their name break, such as busybox, login shells and compilers behind links"
	case CheckChild:
		return "the first program of a RUN step runs, those that it starts do not"
	case CheckContainer:
		return "no program runs inside a container"
	case CheckSetuid:
		return "sudo, su and ping fail for users other than root"
	default:
		return ""
	}
}
