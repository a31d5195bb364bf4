package report

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// Version is that of the JSON of a [Build]. It changes when a reader must.
const Version = 1

// Build is what became of a build. Platforms are written as platforms.FormatAll
// writes them: linux/arm/v7.
type Build struct {
	ID      string `json:"id"`
	Mabuild string `json:"mabuild,omitempty"` // the version that built

	File    string `json:"file,omitempty"` // the Dockerfile
	Context string `json:"context,omitempty"`
	Target  string `json:"target,omitempty"`
	Builder string `json:"builder,omitempty"` // engine, or a name of the node

	Started   time.Time `json:"started"`
	Completed time.Time `json:"completed"`

	// Names and Digest are those of the result, empty if there is none.
	Names  []string `json:"names,omitempty"`
	Digest string   `json:"digest,omitempty"`

	// Platforms are in the order of the plan, Steps in the order in which they began. A
	// step that several platforms share is listed once.
	Platforms []Platform `json:"platforms"`
	Steps     []Step     `json:"steps"`
	Findings  []Finding  `json:"findings,omitempty"`

	// Error is why the build failed, empty if it did not.
	Error string `json:"error,omitempty"`
}

// Duration is how long the build took.
func (b *Build) Duration() time.Duration { return max(b.Completed.Sub(b.Started), 0) }

// Platform is what a build made for one platform.
type Platform struct {
	Name   string  `json:"name"`
	Digest string  `json:"digest,omitempty"`
	Layers []Layer `json:"layers,omitempty"` // from the base up

	// Started and Completed are those of the job, zero if it never ran.
	Started   time.Time `json:"started,omitzero"`
	Completed time.Time `json:"completed,omitzero"`

	Error string `json:"error,omitempty"`
	// Canceled is set if the job was stopped because another one failed, or by the user.
	Canceled bool `json:"canceled,omitempty"`
}

// Size is what a client pulls: the sum of the layers.
func (p *Platform) Size() int64 {
	var sum int64
	for _, l := range p.Layers {
		sum += l.Size
	}
	return sum
}

// Layer is one of an image.
type Layer struct {
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`                // as it is sent, compressed
	CreatedBy string `json:"createdBy,omitempty"` // from the image's history
}

// State says how a command executed.
type State string

// The states of steps that run a command. Others have none: BuildKit works on files
// itself.
const (
	Native   State = "native"
	Emulated State = "emulated"
	Assisted State = "assisted" // emulated, with native tools
)

// Step is an operation of the build.
type Step struct {
	// ID is unique in the build.
	ID string `json:"id"`
	// Name is short, Command is all of it.
	Name    string `json:"name"`
	Command string `json:"command,omitempty"`
	// Kind is exact.Step's (image, local, exec, file …), or internal for what BuildKit
	// does beside the Dockerfile, such as exporting.
	Kind string `json:"kind,omitempty"`

	// Stage is empty for what belongs to none, Line zero.
	Stage string `json:"stage,omitempty"`
	Line  int    `json:"line,omitempty"`

	Platforms    []string `json:"platforms"` // that need it, the first one first
	ExecPlatform string   `json:"execPlatform,omitempty"`
	State        State    `json:"state,omitempty"`
	Note         string   `json:"note,omitempty"` // why it is assisted, or not

	Inputs []string `json:"inputs,omitempty"` // IDs

	// Intervals are the times that the builder spent on it, by their beginning. That
	// of a step from the cache is when it was found there.
	Intervals []Interval `json:"intervals,omitempty"`
	Cached    bool       `json:"cached,omitempty"`
	// Canceled is set if it was under way when the build ended.
	Canceled bool `json:"canceled,omitempty"`
	// Error is how the last attempt failed, empty if it did not.
	Error string `json:"error,omitempty"`

	// Programs is what an emulated command executed and where its time went, as far as
	// the engine knows; nil from a builder that does not tell. It is what the last run
	// did.
	Programs *dispatch.Step `json:"programs,omitempty"`

	// Log is the end of the output, of which LogOmitted lines before are left out.
	Log        []string `json:"log,omitempty"`
	LogOmitted int      `json:"logOmitted,omitempty"`
}

// Interval is a time that the builder spent on a step. It failed, if another one
// follows, because the step was tried again.
type Interval struct {
	Started   time.Time `json:"started"`
	Completed time.Time `json:"completed"`
}

// Duration is how long the builder was busy with the step. Intervals that overlap
// count once; finding a step in the cache is no work.
func (s *Step) Duration() time.Duration {
	return s.workAfter(time.Time{})
}

// workAfter is how long the builder was busy with the step after a time.
func (s *Step) workAfter(until time.Time) time.Duration {
	if s.Cached {
		return 0
	}
	var total time.Duration
	for _, i := range s.Intervals {
		from := i.Started
		if from.Before(until) {
			from = until
		}
		if i.Completed.After(from) {
			total += i.Completed.Sub(from)
			until = i.Completed
		}
	}
	return total
}

// span is the time from the first beginning to the last end, zero if it never began.
func (s *Step) span() (started, completed time.Time) {
	for i, v := range s.Intervals {
		if i == 0 || v.Started.Before(started) {
			started = v.Started
		}
		completed = later(completed, v.Completed)
	}
	return started, completed
}

// class is the one word for a step that decides its colour.
func (s *Step) class() string {
	switch {
	case s.Error != "":
		return "failed"
	case s.Canceled:
		return "canceled"
	case s.Cached:
		return "cached"
	}
	return s.work()
}

// work is the kind of what the step does: one of the states, or files.
func (s *Step) work() string {
	switch s.State {
	case Native, Emulated, Assisted:
		return string(s.State)
	}
	return "files"
}

// Finding is something that was known before building, as exact.Finding.
type Finding struct {
	Rule      string   `json:"rule"`
	Level     string   `json:"level"` // error, warning or note
	Line      int      `json:"line,omitempty"`
	Stage     string   `json:"stage,omitempty"`
	Platforms []string `json:"platforms,omitempty"`
	Message   string   `json:"message"`
	Fix       string   `json:"fix,omitempty"`
	URL       string   `json:"url,omitempty"`
}

// document is the JSON of a build: what is in it, and what follows from it.
type document struct {
	Version  int     `json:"version"`
	Seconds  float64 `json:"seconds"`
	Critical Path    `json:"criticalPath"`
	*Build
}

// JSON writes a build for programs: the fields of [Build], version, seconds and
// criticalPath.
func JSON(w io.Writer, b *Build) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	doc := document{Version: Version, Seconds: b.Duration().Round(time.Millisecond).Seconds(), Critical: b.CriticalPath(), Build: b}
	if err := out.Encode(doc); err != nil {
		return fmt.Errorf("writing the build as JSON: %w", err)
	}
	return nil
}
