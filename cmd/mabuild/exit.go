package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/engine"
	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/shard"
	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/assist"
)

// The documented exit codes.
const (
	exitFailed    = 1
	exitUsage     = 2
	exitEmulation = 3
	exitPlan      = 4
	exitNode      = 5
	exitRegistry  = 6
)

// usageError is a mistake in the command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}

// interruptError is why a context ended: the user or the system asked for it.
type interruptError struct {
	signal os.Signal
	again  <-chan struct{} // closed when somebody insists
}

func (e *interruptError) Error() string {
	if e.signal == syscall.SIGTERM {
		return "terminated"
	}
	return "interrupted"
}

func (e *interruptError) code() int {
	if e.signal == syscall.SIGTERM {
		return 128 + int(syscall.SIGTERM)
	}
	return 128 + int(syscall.SIGINT)
}

func isUsage(err error) bool {
	var usage *usageError
	return errors.As(err, &usage)
}

func exitCode(err error) int {
	var (
		interrupt *interruptError
		usage     *usageError
		platform  *planner.PlatformError
		emulate   *builder.EmulationError
		emulator  *emulationError
		plan      *planError
		job       *buildkit.Error
		remote    *registry.Error
		program   *runError
		other     *shard.PlanError
	)
	switch {
	case errors.As(err, &program):
		return program.code
	case errors.As(err, &interrupt):
		return interrupt.code()
	case errors.As(err, &usage), errors.As(err, &platform), errors.Is(err, output.ErrSpec), errors.Is(err, engine.ErrConfig):
		return exitUsage
	case errors.Is(err, engine.ErrNoRuntime):
		return exitNode // whatever kept us from getting one
	case errors.As(err, &plan), errors.As(err, &other):
		return exitPlan // even if emulation is missing, too: it would not help
	case errors.As(err, &emulate), errors.As(err, &emulator):
		return exitEmulation
	case errors.As(err, &remote):
		return exitRegistry
	case errors.As(err, &job):
		switch job.Kind {
		case buildkit.NodeLost:
			return exitNode
		case buildkit.RegistryFailed:
			return exitRegistry
		case buildkit.EmulationMissing:
			return exitEmulation
		}
	case isEngineError(err):
		return exitNode
	}
	return exitFailed
}

func isEngineError(err error) bool {
	var e *engine.Error
	return errors.As(err, &e)
}

// shownError is an error whose step's output the user has already seen.
type shownError struct{ error }

func (e *shownError) Unwrap() error { return e.error }

// describe is what the user reads last: the end of the failed step's output, then
// the error.
func describe(err error) string {
	return assist.StepName(describeAll(err))
}

// jobErrors are the failures of platforms in an error that may join several.
func jobErrors(err error) []*builder.JobError {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*builder.JobError
		for _, e := range joined.Unwrap() {
			all = append(all, jobErrors(e)...)
		}
		return all
	}
	var failed *builder.JobError
	if errors.As(err, &failed) {
		return []*builder.JobError{failed}
	}
	return nil
}

func describeAll(err error) string {
	var b strings.Builder
	for _, failed := range jobErrors(err) {
		var job *buildkit.Error
		var shown *shownError
		if !errors.As(failed, &job) || len(job.Log) == 0 || errors.As(failed, &shown) {
			continue
		}
		fmt.Fprintf(&b, "------ %s\n", job.Step)
		for _, line := range job.Log {
			b.WriteString("  | ")
			b.WriteString(line)
			b.WriteByte('\n')
		}
		b.WriteString("------\n")
	}
	fmt.Fprintf(&b, "mabuild: %v", err)
	var remote *registry.Error
	if errors.As(err, &remote) && remote.Hint != "" {
		b.WriteByte('\n')
		b.WriteString(remote.Hint)
	}
	return b.String()
}
