package record

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/report"
	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/exact"
)

// Options say what is built.
type Options struct {
	// ID names the build; letters and digits.
	ID string
	// The others are the fields of report.Build.
	Mabuild, File, Context, Target, Builder string
	// Platforms are those of the jobs in their order. Others follow as they are heard of.
	Platforms []string
	// LogLines is how many lines of a step's output are kept. Default: 200.
	LogLines int
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Recorder listens to a build. It is safe for concurrent use.
type Recorder struct {
	opts Options

	mu      sync.Mutex
	started time.Time
	shift   time.Duration // of the daemon's clock
	clocked bool          // shift is known
	planned map[digest.Digest]*exact.Step
	named   map[stepName]*exact.Step
	assists map[digest.Digest]assist.Step
	steps   map[string]*step // by ID
	order   []*step
	ids     map[digest.Digest]string // of vertices
	jobs    map[string]*job
	names   []string // of jobs
}

// stepName finds a step whose digest is not the plan's.
type stepName struct{ platform, stage, text string }

type job struct {
	started, ended time.Time
	open           bool
}

// New begins to record.
func New(opts Options) *Recorder {
	if opts.LogLines <= 0 {
		opts.LogLines = 200
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	r := &Recorder{
		opts: opts, started: opts.Now(), planned: make(map[digest.Digest]*exact.Step), named: make(map[stepName]*exact.Step),
		assists: make(map[digest.Digest]assist.Step), steps: make(map[string]*step), ids: make(map[digest.Digest]string), jobs: make(map[string]*job),
	}
	for _, platform := range opts.Platforms {
		r.job(platform)
	}
	return r
}

func (r *Recorder) job(platform string) *job {
	j := r.jobs[platform]
	if j == nil {
		j = &job{}
		r.jobs[platform] = j
		r.names = append(r.names, platform)
	}
	return j
}

// Expect takes the plan of what will be built, and which of its steps get native
// tools.
func (r *Recorder) Expect(plan *exact.Result, assists []assist.Step) {
	if plan == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range plan.Steps {
		planned := &plan.Steps[i]
		for _, d := range planned.Digests {
			r.planned[d], r.planned[buildkit.Uncached(d)] = planned, planned
		}
		for _, platform := range planned.Platforms {
			r.named[stepName{platform, planned.Stage, firstLine(planned.Command)}] = planned
		}
	}
	for _, a := range assists {
		r.assists[a.ID] = a
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// Observe takes a status of a platform's job. Nil is its end.
func (r *Recorder) Observe(platform string, status *client.SolveStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j := r.job(platform)
	now := r.opts.Now()
	if status == nil {
		j.ended, j.open = now, false
		return
	}
	if j.started.IsZero() {
		j.started = now
	}
	j.open = true
	for _, v := range status.Vertexes {
		r.vertex(platform, v, now)
	}
	for _, v := range status.Statuses {
		if s := r.steps[r.ids[v.Vertex]]; s != nil && strings.HasPrefix(v.ID, dispatch.StepStatus) {
			s.account(v)
		}
	}
	for _, l := range status.Logs {
		if s := r.steps[r.ids[l.Vertex]]; s != nil {
			s.log(platform, l.Data)
		}
	}
}

// apart is how far clocks may be from each other.
const apart = 5 * time.Second

func (r *Recorder) vertex(platform string, v *client.Vertex, now time.Time) {
	if !r.clocked && v.Started != nil {
		// The first step of a job reads the Dockerfile, which is no other build's.
		r.clocked = true
		if off := now.Sub(*v.Started); off > apart || off < -apart {
			r.shift = off
		}
	}
	id, known := r.ids[v.Digest]
	if !known {
		id = r.identify(platform, v)
		r.ids[v.Digest] = id
	}
	s := r.steps[id]
	if s == nil {
		s = r.newStep(id, platform, v)
		r.steps[id] = s
		r.order = append(r.order, s)
	}
	s.observe(platform, v, r.shift)
}

// identify names the step of a vertex as the plan does, if it is there.
func (r *Recorder) identify(platform string, v *client.Vertex) string {
	if planned := r.find(platform, v); planned != nil {
		return planned.ID.String()
	}
	return v.Digest.String()
}

func (r *Recorder) find(platform string, v *client.Vertex) *exact.Step {
	if planned := r.planned[v.Digest]; planned != nil {
		return planned
	}
	stage, text := split(v.Name)
	return r.named[stepName{platform, stage, firstLine(text)}]
}

// bracket matches what BuildKit puts before the text of a step: the platform if there
// are several in a build, the stage if it has a name, and a number.
var bracket = regexp.MustCompile(`^\[(?:[a-z0-9]+/[^\s\]]+(?:->[^\s\]]+)? )?(?:([^\s\]]+) )?\s*\d+/\d+\] `)

// split takes the stage from the name of a vertex. Where the Dockerfile has one stage
// it is not told.
func split(name string) (stage, text string) {
	name = assist.StepName(name)
	found := bracket.FindStringSubmatch(name)
	if found == nil {
		return "", name
	}
	stage = found[1]
	if stage == "" {
		stage = "stage-0"
	}
	return stage, strings.TrimPrefix(name[len(found[0]):], "LINK ")
}

// newStep describes a step that is heard of for the first time.
func (r *Recorder) newStep(id, platform string, v *client.Vertex) *step {
	s := &step{
		attempts: make(map[int64]*attempt), cached: make(map[string]bool), under: make(map[string]bool), lines: &tail{most: r.opts.LogLines},
	}
	s.ID = id
	if planned := r.find(platform, v); planned != nil {
		s.describe(planned, r.assists)
		return s
	}
	s.Stage, s.Command = split(v.Name)
	s.Name, s.inputs = firstLine(s.Command), v.Inputs
	if s.Stage == "" {
		s.Kind = "internal"
	}
	return s
}

func (s *step) describe(planned *exact.Step, assists map[digest.Digest]assist.Step) {
	s.Command = strings.TrimSpace(assist.StepName(planned.Command))
	s.Name, s.Kind, s.Stage, s.Line = firstLine(s.Command), planned.Kind, planned.Stage, planned.Line
	s.ExecPlatform = planned.ExecPlatform
	for _, input := range planned.Inputs {
		s.Inputs = append(s.Inputs, input.String())
	}
	if s.State = report.State(planned.State); s.State == report.Emulated {
		a := assists[planned.ID]
		if a.Recipe != "" {
			s.State = report.Assisted
		}
		s.Note = noteOf(a)
	}
}

func noteOf(a assist.Step) string {
	switch {
	case a.Recipe == "":
		return a.Reason
	case a.Note != "":
		return "native tools of " + a.Recipe + "; " + a.Note
	}
	return "native tools of " + a.Recipe
}

// Outcome is how a build ended.
type Outcome struct {
	Names  []string
	Digest string
	// Images are by platform.
	Images map[string]Image
	// Err is why the build failed, nil if it did not; Failed says it by platform, also
	// of those that the result goes without.
	Err    error
	Failed map[string]error
}

// Image is what was made for a platform.
type Image struct {
	Digest string
	Layers []report.Layer
}

// Build returns what was recorded until now.
func (r *Recorder) Build(outcome Outcome) *report.Build {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.opts.Now()
	b := &report.Build{
		ID: r.opts.ID, Mabuild: r.opts.Mabuild, File: r.opts.File, Context: r.opts.Context, Target: r.opts.Target, Builder: r.opts.Builder,
		Started: r.started, Completed: now, Names: outcome.Names, Digest: outcome.Digest, Platforms: []report.Platform{}, Steps: []report.Step{},
	}
	if outcome.Err != nil {
		b.Error = outcome.Err.Error()
	}
	for _, name := range r.names {
		b.Platforms = append(b.Platforms, r.platform(name, outcome, now))
	}
	for _, s := range r.order {
		done := s.finish(r.ids, now)
		slices.SortFunc(done.Platforms, func(x, y string) int { return slices.Index(r.names, x) - slices.Index(r.names, y) })
		b.Steps = append(b.Steps, done)
	}
	follow(b.Steps)
	slices.SortStableFunc(b.Steps, func(x, y report.Step) int {
		switch {
		case len(x.Intervals) > 0 && len(y.Intervals) > 0:
			return x.Intervals[0].Started.Compare(y.Intervals[0].Started)
		case len(x.Intervals) == len(y.Intervals):
			return 0
		}
		return len(y.Intervals) - len(x.Intervals) // what never began is last
	})
	return b
}

func (r *Recorder) platform(name string, outcome Outcome, now time.Time) report.Platform {
	j, image := r.jobs[name], outcome.Images[name]
	p := report.Platform{Name: name, Digest: image.Digest, Layers: image.Layers, Started: j.started, Completed: j.ended}
	if !j.started.IsZero() && (j.open || j.ended.IsZero()) {
		p.Completed = now
	}
	if err := outcome.Failed[name]; err != nil {
		p.Error = err.Error()
		return p
	}
	// A job that is stopped has steps that did not end.
	p.Canceled = outcome.Err != nil && image.Digest == "" && r.stopped(name)
	return p
}

// stopped reports whether a step of the job was under way when it ended.
func (r *Recorder) stopped(platform string) bool {
	for _, s := range r.order {
		if s.under[platform] {
			return true
		}
	}
	return false
}
