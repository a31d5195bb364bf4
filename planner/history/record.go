package history

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner/exact"
)

// Record is what one build, or one platform's part of it, had to do.
type Record struct {
	Time time.Time
	// Build is common to all records of one build, and random.
	Build string
	// Builder is where it ran: what is fast on one may be slow on another.
	Builder string
	// CPUs and Jobs are what the build had at its disposal: processors, and platforms
	// at a time (zero is all).
	CPUs, Jobs int
	// Runs are the commands that were executed to their end.
	Runs []Run
}

// Run is one command that was executed.
type Run struct {
	ID           digest.Digest // exact.Step.ID
	Stage        string
	Instruction  string // hash of the command line
	ExecPlatform string
	Emulated     bool
	Duration     time.Duration
	// Programs are those that QEMU spent most time in. Three are kept, most first, with
	// names of 64 bytes.
	Programs []Program
}

// RunOf describes a step that took so long, without its programs.
func RunOf(step exact.Step, took time.Duration) Run {
	return Run{
		ID: step.ID, Stage: step.Stage, Instruction: instructionOf(step),
		ExecPlatform: step.ExecPlatform, Emulated: step.State == exact.StateEmulated, Duration: took,
	}
}

// instructionOf hashes what a step executes. Values of ARG and ENV are not part of
// it, nor is what the text may hold that should stay where it is.
func instructionOf(step exact.Step) string {
	h := sha256.New()
	for _, arg := range step.Args {
		fmt.Fprintf(h, "%d:%s", len(arg), arg)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Bounds of what is written and believed.
const (
	lineVersion = 1
	maxLine     = 64 << 10
	maxRuns     = 128 // in a line
	maxName     = 128 // of stages, platforms and the like
	maxDuration = 30 * 24 * time.Hour
)

// line is the form of a record in a file.
type line struct {
	Version int        `json:"v"`
	Time    int64      `json:"time"` // Unix seconds
	Build   string     `json:"build"`
	Builder string     `json:"builder"`
	CPUs    int        `json:"cpus"`
	Jobs    int        `json:"jobs,omitempty"`
	Steps   []lineStep `json:"steps"`
}

type lineStep struct {
	ID           digest.Digest `json:"id"`
	Stage        string        `json:"stage,omitempty"`
	Instruction  string        `json:"instruction"`
	Platform     string        `json:"platform"`
	Emulated     bool          `json:"emulated,omitempty"`
	Milliseconds int64         `json:"ms"`
	Programs     []lineProgram `json:"programs,omitempty"`
}

// encode writes a record as one or more lines.
func encode(r Record) ([]byte, error) {
	var out bytes.Buffer
	for runs := r.Runs; len(runs) > 0; {
		n := min(len(runs), maxRuns)
		text, err := encodeLine(r, runs[:n])
		// Names of programs can be what JSON makes six times as long.
		for ; err == nil && len(text) > maxLine && n > 1; text, err = encodeLine(r, runs[:n]) {
			n /= 2
		}
		if err != nil {
			return nil, fmt.Errorf("writing a record: %w", err)
		}
		if len(text) > maxLine {
			return nil, fmt.Errorf("writing a record: it has %d bytes, more than %d", len(text), maxLine)
		}
		out.Write(append(text, '\n'))
		runs = runs[n:]
	}
	return out.Bytes(), nil
}

// encodeLine writes some runs of a record as one line.
func encodeLine(r Record, runs []Run) ([]byte, error) {
	l := line{Version: lineVersion, Time: r.Time.Unix(), Build: r.Build, Builder: r.Builder, CPUs: r.CPUs, Jobs: r.Jobs}
	for _, run := range runs {
		l.Steps = append(l.Steps, lineStep{
			ID: run.ID, Stage: run.Stage, Instruction: run.Instruction, Platform: run.ExecPlatform,
			Emulated: run.Emulated, Milliseconds: run.Duration.Milliseconds(), Programs: linePrograms(run.Programs),
		})
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	return json.Marshal(l)
}

// decode reads a line, and reports whether it is a record that can be believed.
func decode(text []byte) (Record, bool) {
	var l line
	if len(text) > maxLine || json.Unmarshal(text, &l) != nil || l.check() != nil {
		return Record{}, false
	}
	r := Record{Time: time.Unix(l.Time, 0), Build: l.Build, Builder: l.Builder, CPUs: l.CPUs, Jobs: l.Jobs}
	for _, s := range l.Steps {
		r.Runs = append(r.Runs, Run{
			ID: s.ID, Stage: s.Stage, Instruction: s.Instruction, ExecPlatform: s.Platform, Emulated: s.Emulated,
			Duration: time.Duration(s.Milliseconds) * time.Millisecond, Programs: programsOf(s.Programs),
		})
	}
	return r, true
}

func (l line) check() error {
	switch {
	case l.Version != lineVersion:
		return fmt.Errorf("version %d is unknown", l.Version)
	case l.Build == "" || len(l.Build) > maxName || len(l.Builder) > maxName:
		return errors.New("the build or the builder has no name, or a long one")
	case l.CPUs < 0 || l.Jobs < 0 || len(l.Steps) == 0 || len(l.Steps) > maxRuns:
		return errors.New("a number makes no sense")
	}
	for _, s := range l.Steps {
		switch {
		case s.ID.Validate() != nil:
			return fmt.Errorf("%q is no digest", s.ID)
		case s.Instruction == "" || s.Platform == "" || len(s.Instruction) > maxName || len(s.Platform) > maxName || len(s.Stage) > maxName:
			return fmt.Errorf("step %s lacks something, or has a long name", s.ID)
		case s.Milliseconds < 0 || s.Milliseconds > maxDuration.Milliseconds():
			return fmt.Errorf("step %s took %d ms", s.ID, s.Milliseconds)
		case len(s.Programs) > maxPrograms:
			return fmt.Errorf("step %s has %d programs", s.ID, len(s.Programs))
		}
		for _, p := range s.Programs {
			if err := p.check(); err != nil {
				return fmt.Errorf("step %s: %w", s.ID, err)
			}
		}
	}
	return nil
}
