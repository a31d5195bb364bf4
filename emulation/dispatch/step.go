package dispatch

import (
	"cmp"
	"math"
	"slices"
)

// StepStatus starts the id of a progress status that carries a [Step] as its name. The
// rest is no other's: of the statuses with the same id that BuildKit has not sent yet,
// it keeps the last, whatever steps they are of.
const StepStatus = "mabuild.step/"

// Step is what the engine tells the client of an emulated step that it ran, as
// JSON. Counts and times come from inside the container or from samples: they
// explain a build, nothing may depend on them.
type Step struct {
	// Wall is how long the step ran, in seconds.
	Wall float64 `json:"wall"`
	// CPU is where the time went, most first. A row without a name is the sum of
	// those that were left out.
	CPU []CPU `json:"cpu,omitempty"`
	// Execs are the programs, most first. A row without a path is the sum, by
	// kind, of those that were left out.
	Execs []Exec `json:"execs,omitempty"`
	// Hits is how many programs ran natively.
	Hits int `json:"hits,omitempty"`
	// Misses is how many programs QEMU ran, by the reason; without [Native].
	Misses map[Kind]int `json:"misses,omitempty"`
	// Toolboxes are the digests of the toolboxes that the step had.
	Toolboxes []string `json:"toolboxes,omitempty"`
	// Leaks are the native tools that the step left in the root file system or in cache
	// mounts, and archives with one in them: "/x.tar: dev/.mabuild/…".
	Leaks []string `json:"leaks,omitempty"`
	// NativeFiles is how many other native programs it left there: ones that it
	// built or downloaded.
	NativeFiles int `json:"native_files,omitempty"`
	// Failed is set if the step failed, or leaked, with native programs: it is
	// not run with tools again.
	Failed bool `json:"failed,omitempty"`
	// Partial is set if the log was longer than what the engine reads of it.
	Partial bool `json:"partial,omitempty"`
	// Verification is what came of a run without native tools that was compared with
	// this one; nil if there was none.
	Verification *Verification `json:"verification,omitempty"`
}

// Verification compares what a step left with what it leaves without native tools.
type Verification struct {
	// Seconds is what it took.
	Seconds float64 `json:"seconds"`
	// Skipped says why nothing was compared.
	Skipped string `json:"skipped,omitempty"`
	// Differing are the paths that differ, or the first of them, each with what does.
	Differing []string `json:"differing,omitempty"`
	// Forgotten is how many paths differ between runs without native tools, too.
	Forgotten int `json:"forgotten,omitempty"`
	// Failed is set if the run without native tools failed.
	Failed bool `json:"failed,omitempty"`
}

// Same reports whether the step was compared and left the same.
func (v *Verification) Same() bool {
	return v != nil && v.Skipped == "" && len(v.Differing) == 0 && !v.Failed
}

// CPU is the sampled processor time of one program.
type CPU struct {
	// Name is the program's path, or only its name.
	Name    string `json:"name,omitempty"`
	BuildID string `json:"id,omitempty"`
	// Emulated is set if QEMU ran it.
	Emulated bool    `json:"emulated,omitempty"`
	Seconds  float64 `json:"seconds"`
}

// Exec counts how often a program was executed in one way.
type Exec struct {
	Path    string `json:"path,omitempty"`
	BuildID string `json:"id,omitempty"`
	Kind    Kind   `json:"kind"`
	Count   int    `json:"count"`
}

// Count sets Execs, Hits, Misses and Partial from the log.
func (s *Step) Count(log Log) {
	s.Execs, s.Hits, s.Misses, s.Partial = log.Execs(), 0, nil, log.Cut
	for _, exec := range s.Execs {
		switch {
		case exec.Kind == Native:
			s.Hits += exec.Count
		case s.Misses == nil:
			s.Misses = map[Kind]int{exec.Kind: exec.Count}
		default:
			s.Misses[exec.Kind] += exec.Count
		}
	}
}

// Shorten makes the record fit to be sent: it sorts CPU and Execs, sums what is
// behind the first rows of each, and rounds times to milliseconds.
func (s *Step) Shorten(rows int) {
	s.Wall = milliseconds(s.Wall)
	slices.SortStableFunc(s.CPU, func(a, b CPU) int { return cmp.Compare(b.Seconds, a.Seconds) })
	slices.SortStableFunc(s.Execs, func(a, b Exec) int { return cmp.Compare(b.Count, a.Count) })
	if len(s.CPU) > rows {
		rest := make(map[bool]float64)
		for _, row := range s.CPU[rows:] {
			rest[row.Emulated] += row.Seconds
		}
		s.CPU = slices.Clone(s.CPU[:rows])
		for _, emulated := range []bool{true, false} {
			if seconds := rest[emulated]; seconds > 0 {
				s.CPU = append(s.CPU, CPU{Emulated: emulated, Seconds: seconds})
			}
		}
	}
	for i := range s.CPU {
		s.CPU[i].Seconds = milliseconds(s.CPU[i].Seconds)
	}
	if len(s.Execs) > rows {
		rest := make(map[Kind]int)
		for _, row := range s.Execs[rows:] {
			rest[row.Kind] += row.Count
		}
		s.Execs = slices.Clone(s.Execs[:rows])
		for _, kind := range Kinds() {
			if count := rest[kind]; count > 0 {
				s.Execs = append(s.Execs, Exec{Kind: kind, Count: count})
			}
		}
	}
}

// milliseconds rounds to them: times are samples, more digits would say nothing.
func milliseconds(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }
