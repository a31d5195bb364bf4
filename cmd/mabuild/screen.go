package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/ci"
	"github.com/mabuild/mabuild/builder/progress"
	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/assist"
)

// screen is where people see a build: one display of all platforms, or the log of a CI
// system with a group for each.
type screen struct {
	display *progress.Display // nil in a log

	log    *ci.Log
	mu     sync.Mutex
	groups map[string]*group // of the platforms that have not ended
}

// group is a platform in a log. Its display shows steps that other platforms share, too:
// each group is read for itself.
type group struct {
	display *progress.Display
	started time.Time
	failing map[digest.Digest]bool // steps that failed, or were cancelled
}

// slowStep is how long a step takes that a log tells at once: nobody should have to guess
// whether a build without output is alive.
const slowStep = 5 * time.Second

func (o *buildOptions) newScreen() (*screen, error) {
	if o.log != nil {
		return &screen{log: o.log, groups: make(map[string]*group)}, nil
	}
	display, err := progress.New(os.Stderr, o.progress)
	if err != nil {
		return nil, &usageError{err}
	}
	return &screen{display: display}, nil
}

// report shows a status of a job; nil is its end. Steps are named after the platform
// that they run on.
func (s *screen) report(job planner.Job, status *client.SolveStatus) {
	name := platforms.Format(job.Platform)
	display := s.display
	if display == nil {
		if display = s.inGroup(name, status); display == nil {
			return
		}
	}
	if status == nil {
		display.End(name)
		return
	}
	display.Report(name, withoutPrograms(status), func(step string) string {
		return progress.Prefix(platforms.Format(stagePlatform(job, step)), assist.StepName(step))
	})
}

// withoutPrograms leaves out what the engine tells of the programs of emulated steps,
// which is not for people.
func withoutPrograms(status *client.SolveStatus) *client.SolveStatus {
	isPrograms := func(s *client.VertexStatus) bool {
		return strings.HasPrefix(s.ID, dispatch.StepStatus) || strings.HasPrefix(s.ID, dispatch.WantStatus)
	}
	if !slices.ContainsFunc(status.Statuses, isPrograms) {
		return status
	}
	shown := *status
	shown.Statuses = slices.DeleteFunc(slices.Clone(status.Statuses), isPrograms)
	return &shown
}

// inGroup returns the display of a platform in a log, nil if it cannot have one.
func (s *screen) inGroup(name string, status *client.SolveStatus) *progress.Display {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[name]
	if g == nil {
		display, err := progress.New(s.log.Platform(name), progress.Plain)
		if err != nil {
			return nil
		}
		g = &group{display: display, started: time.Now(), failing: make(map[digest.Digest]bool)}
		s.groups[name] = g
	}
	if status == nil {
		if len(g.failing) == 0 {
			s.end(name, g, "done")
		}
		clear(g.failing) // if it is tried again, exporters are steps of another digest
		return g.display
	}
	for _, v := range status.Vertexes {
		switch {
		case v.Error != "" && !buildkit.ImportsCache(v):
			g.failing[v.Digest] = true
		case v.Completed != nil:
			delete(g.failing, v.Digest)
		}
		if v.Started != nil && v.Completed != nil && !v.Cached && v.Completed.Sub(*v.Started) >= slowStep {
			fmt.Fprintf(s.log, "%s  %s  %.0fs\n", name, assist.StepName(v.Name), v.Completed.Sub(*v.Started).Seconds())
		}
	}
	return g.display
}

// end closes a group; the caller holds the lock.
func (s *screen) end(name string, g *group, how string) {
	delete(s.groups, name)
	_ = g.display.Close() // it writes into the log, whose errors are told at its end
	note := fmt.Sprintf("%s, %.1fs", how, time.Since(g.started).Seconds())
	if how == "failed" {
		s.log.Fail(name, note)
		return
	}
	s.log.Done(name, note)
}

// close shows what is left, and who failed.
func (s *screen) close(result *builder.Result, err error) error {
	if s.display != nil {
		return s.display.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		s.end(name, s.groups[name], ending(name, result, err))
	}
	return nil
}

// ending is how a platform ended whose steps do not tell it.
func ending(name string, result *builder.Result, err error) string {
	isIt := func(platform ocispec.Platform) bool { return platforms.Format(platform) == name }
	switch {
	case slices.ContainsFunc(jobErrors(err), func(e *builder.JobError) bool { return isIt(e.Platform) }):
		return "failed"
	case result == nil:
		return "stopped"
	case slices.ContainsFunc(result.Jobs, func(r builder.JobResult) bool { return r.Err != nil && isIt(r.Platform) }):
		return "failed" // the result goes without it
	}
	return "done"
}

// hide leaves the output of failed steps out of errors that come after a screen that
// shows it.
func (s *screen) hide(failed []*builder.JobError) {
	for _, f := range failed {
		if s.display == nil || s.display.ShowsOutputOf(platforms.Format(f.Platform)) {
			f.Err = &shownError{f.Err}
		}
	}
}
