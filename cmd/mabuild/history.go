package main

import (
	"crypto/rand"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/report"
	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/history"
)

// recorder keeps how long a build's commands took for the forecasts of later ones. It
// knows them by the digests of the plan, so without one nothing is kept.
type recorder struct {
	project string
	session string // of the build's source
	record  history.Record
	logger  *slog.Logger
	// told is what the engine says of a vertex; nil if nobody tells.
	told func(vertex digest.Digest) *dispatch.Step

	mu       sync.Mutex
	steps    map[digest.Digest]exact.Step // commands, by what the daemon calls them
	jobs     map[string]*buildkit.Vertices
	kept     map[digest.Digest]bool // IDs
	forecast *history.Forecast
	warned   bool
}

func newRecorder(o buildOptions, session string, logger *slog.Logger) *recorder {
	return &recorder{
		project: history.Project(o.context, o.dockerfile), session: session, logger: logger,
		record: history.Record{Build: rand.Text(), Builder: o.builder(), CPUs: runtime.NumCPU(), Jobs: o.jobs.atOnce},
		steps:  make(map[digest.Digest]exact.Step), jobs: make(map[string]*buildkit.Vertices), kept: make(map[digest.Digest]bool),
	}
}

// builder names a BuildKit without telling what may be secret in its address.
func (c connection) builder() string {
	if c.node == "" {
		return "engine"
	}
	return "node-" + digest.FromString(c.node).Encoded()[:12]
}

// sessionID is the one that a plan needs to have the build's digests, empty if nothing
// is built.
func (r *recorder) sessionID() string {
	if r == nil {
		return ""
	}
	return r.session
}

// expect takes the plan of what will be built, before it is.
func (r *recorder) expect(plan *exact.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, step := range plan.Steps {
		if step.Kind != "exec" {
			continue
		}
		for _, d := range step.Digests {
			r.steps[d] = step
			r.steps[buildkit.Uncached(d)] = step
		}
	}
	if r.record.Jobs > 0 && r.record.Jobs < len(plan.Platforms) {
		r.forecast = forecast(plan, r.project, r.record.Builder, r.logger)
	}
}

// weight says how long a job will take, zero if that is unknown.
func (r *recorder) weight(job planner.Job) time.Duration {
	if r.forecast == nil {
		return 0
	}
	return r.forecast.Platforms[platforms.FormatAll(job.Platform)].Duration
}

// report listens to what next hears, and keeps what a job did at its end.
func (r *recorder) report(next func(planner.Job, *client.SolveStatus)) func(planner.Job, *client.SolveStatus) {
	return func(job planner.Job, status *client.SolveStatus) {
		next(job, status)
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.steps) == 0 {
			return
		}
		name := platforms.FormatAll(job.Platform)
		if r.jobs[name] == nil {
			r.jobs[name] = &buildkit.Vertices{}
		}
		if status != nil {
			r.jobs[name].Observe(status)
			return
		}
		r.keep(r.jobs[name].All())
	}
}

// cached counts the steps of a platform that did not have to run.
func (r *recorder) cached(platform string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	count := 0
	if vertices := r.jobs[platform]; vertices != nil {
		for _, v := range vertices.All() {
			if v.Cached {
				count++
			}
		}
	}
	return count
}

// keep writes down which commands ran to their end. One that several jobs share is
// kept once.
func (r *recorder) keep(vertices []buildkit.Vertex) {
	record := r.record
	record.Time = time.Now()
	for _, v := range vertices {
		step, planned := r.steps[v.Digest]
		if took, ran := v.Ran(); planned && ran && !r.kept[step.ID] {
			r.kept[step.ID] = true
			record.Runs = append(record.Runs, r.runOf(step, v.Digest, took))
		}
	}
	if len(record.Runs) == 0 {
		return
	}
	if err := (history.Store{}).Append(r.project, record); err != nil && !r.warned {
		r.warned = true
		r.logger.Warn("how long the steps took is not kept", "error", err)
	}
}

// runOf is what is kept of a command: its own time, not that of another run without
// native tools that it was compared with.
func (r *recorder) runOf(step exact.Step, vertex digest.Digest, took time.Duration) history.Run {
	var told report.Step
	if r.told != nil {
		told.Programs = r.told(vertex)
	}
	if told.Programs != nil && told.Programs.Verification != nil {
		took -= time.Duration(told.Programs.Verification.Seconds * float64(time.Second))
	}
	run := history.RunOf(step, max(took, 0))
	for _, p := range told.Emulation() {
		run.Programs = append(run.Programs, history.Program(p))
	}
	return run
}

// forecast is what earlier builds say about a plan, nil if they say nothing.
func forecast(plan *exact.Result, project, builder string, logger *slog.Logger) *history.Forecast {
	past, err := history.Store{}.Load(project)
	if err != nil {
		logger.Warn("there is no forecast", "error", err)
		return nil
	}
	return past.Forecast(plan, history.ForecastOptions{Builder: builder})
}
