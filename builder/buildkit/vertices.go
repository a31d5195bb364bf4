package buildkit

import (
	"fmt"
	"slices"
	"time"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
)

// Interval is a time that the daemon spent on a step.
type Interval struct{ Started, Completed time.Time }

// Vertex is what became of one step of a job.
type Vertex struct {
	// Digest is the one in exact.Step.Digests, or Uncached of it.
	Digest digest.Digest
	// Name is for people. A step that several builds share has the name that one of
	// them gave it.
	Name string
	// Intervals are those that the daemon worked in, by their beginning: executing,
	// and of a source computing the cache key. Loading from the cache is no work, and
	// what is under way or failed is not in it.
	Intervals []Interval
	// Cached is set if the job took the result from the cache, at least when it was
	// tried again.
	Cached bool
	// Error is how the last attempt failed, empty if it did not.
	Error string
	// Source is set if the step depends on no other one.
	Source bool
}

// Ran returns how long the step took, and whether it was executed to its end.
// Intervals that overlap count once.
func (v Vertex) Ran() (time.Duration, bool) {
	if v.Error != "" || len(v.Intervals) == 0 {
		return 0, false
	}
	// Only a source does something before it is looked for in the cache
	// (solver/jobs.go, CacheMap). What else has worked and is cached is a step that had
	// succeeded when the job was tried again.
	if v.Cached && v.Source {
		return 0, false
	}
	var total time.Duration
	var until time.Time
	for _, i := range v.Intervals {
		from := i.Started
		if from.Before(until) {
			from = until
		}
		if i.Completed.After(from) {
			total += i.Completed.Sub(from)
			until = i.Completed
		}
	}
	return total, true
}

// Uncached is the digest that the daemon gives to a step that must run again
// (Options.NoCache) while another build uses the same step with the cache
// (solver/jobs.go, loadUnlocked).
func Uncached(step digest.Digest) digest.Digest {
	return digest.FromString(fmt.Sprintf("%s-ignorecache", step))
}

// Vertices gathers what a job's statuses say about its steps: those of its
// Dockerfile, and those of BuildKit itself such as exporting. The zero value is
// ready. It is for one job, since a step that one job executed is in the cache for
// the next one.
type Vertices struct {
	known map[digest.Digest]*Vertex
	order []*Vertex
}

// Observe takes a status, as Options.Report hears them, in their order. Nil is
// ignored.
func (v *Vertices) Observe(status *client.SolveStatus) {
	if status == nil {
		return
	}
	for _, told := range status.Vertexes {
		step := v.known[told.Digest]
		if step == nil {
			step = &Vertex{Digest: told.Digest, Name: told.Name, Source: len(told.Inputs) == 0}
			if v.known == nil {
				v.known = make(map[digest.Digest]*Vertex)
			}
			v.known[told.Digest] = step
			v.order = append(v.order, step)
		}
		step.observe(told)
	}
}

// observe takes what is told about the step. The same is told several times, and
// the beginning of an interval before its end.
func (v *Vertex) observe(told *client.Vertex) {
	if told.Cached {
		v.Cached = true
	}
	if told.Started == nil || told.Completed == nil {
		return
	}
	v.Error = told.Error
	if told.Cached || told.Error != "" {
		return
	}
	interval := Interval{Started: *told.Started, Completed: *told.Completed}
	i, found := slices.BinarySearchFunc(v.Intervals, interval, func(a, b Interval) int { return a.Started.Compare(b.Started) })
	if found {
		v.Intervals[i] = interval
		return
	}
	v.Intervals = slices.Insert(v.Intervals, i, interval)
}

// All returns the steps in the order in which they were first heard of.
func (v *Vertices) All() []Vertex {
	all := make([]Vertex, len(v.order))
	for i, step := range v.order {
		all[i] = *step
		all[i].Intervals = slices.Clone(step.Intervals)
	}
	return all
}
