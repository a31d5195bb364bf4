package builder

import (
	"fmt"
	"strings"
	"time"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
)

// JobError is the failure of one platform's job.
type JobError struct {
	Platform ocispec.Platform
	Err      error
}

func (e *JobError) Error() string {
	return fmt.Sprintf("%s: %v", platforms.Format(e.Platform), e.Err)
}

func (e *JobError) Unwrap() error { return e.Err }

// TimeoutError is why a job ended that took too long.
type TimeoutError struct{ Limit time.Duration }

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("the platform took longer than %s; allow more time, or build it where it needs no emulator", e.Limit)
}

// EmulationError says which stages would run on platforms that the node can
// neither run nor emulate. Nothing was pulled or run.
type EmulationError struct {
	// File is the Dockerfile, as the stages' lines count in it.
	File   string
	Stages []planner.Stage
	// Hint tells how to get the emulation; [Options.EmulationHint] makes it.
	Hint string
}

func (e *EmulationError) Error() string {
	var b strings.Builder
	for i, stage := range e.Stages {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s:%d: stage %s runs commands on %s, which cannot be run or emulated here",
			e.File, stage.RunLine, stage.Name, platforms.Format(stage.Platform))
	}
	if e.Hint != "" {
		b.WriteString("\n")
		b.WriteString(e.Hint)
	}
	return b.String()
}
