package show

import (
	"slices"
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/exact"
)

// view is a plan in the order of its stages.
type view struct {
	plan  *exact.Result
	opts  Options
	marks marks

	stages  []stageView // of the file
	runs    []exact.Step
	assists map[digest.Digest]assist.Step
	dead    map[digest.Digest]bool // steps that no platform can get to
}

// stageView is a stage with all that a picture or a row says about it.
type stageView struct {
	exact.Stage
	cells    map[string]cell // by platform
	sources  []source
	findings []exact.Finding
	steps    []*exact.Step
}

// reached reports whether any platform needs the stage.
func (s *stageView) reached() bool { return len(s.ExecPlatform) > 0 }

// source is an edge to a stage by its index in the file, or to an image if that
// is -1.
type source struct {
	exact.Edge
	stage int
}

// state says how a stage is made for a platform.
type state string

const (
	stateNative     state = "native"
	stateEmulated   state = "emulated"
	stateAssisted   state = "assisted" // emulated, with native tools for each command
	stateShared     state = "shared"
	stateImpossible state = "impossible"
	stateUnused     state = "unused"
)

// cell is one stage for one platform.
type cell struct {
	state state
	runs  int    // commands that run for this platform first
	help  int    // those of them that are assisted
	files bool   // steps on files, without commands
	with  string // platform or stage that a shared one was made for
	time  time.Duration
}

func newView(plan *exact.Result, opts Options) *view {
	opts = opts.complete()
	plan = named(plan)
	v := &view{plan: plan, opts: opts, marks: opts.marks(), assists: opts.assists(), dead: make(map[digest.Digest]bool)}
	for _, s := range plan.Stages {
		v.stages = append(v.stages, stageView{Stage: s, cells: make(map[string]cell)})
	}
	for i := range v.stages {
		s := &v.stages[i]
		for _, e := range s.Edges {
			v.connect(s, i, e)
		}
	}
	for i := range plan.Steps {
		step := &plan.Steps[i]
		if step.State != "" {
			v.runs = append(v.runs, *step)
		}
		for _, at := range v.stagesOf(step) {
			v.stages[at].steps = append(v.stages[at].steps, step)
		}
	}
	for _, f := range plan.Findings {
		if at := v.stageAt(f.Line); at >= 0 {
			v.stages[at].findings = append(v.stages[at].findings, f)
		}
	}
	for i := range v.stages {
		v.fill(i)
	}
	v.bury()
	if len(v.emulatedPlatforms()) == 0 {
		v.opts.Pins = nil
	}
	return v
}

// connect adds an edge. What would lead to the stage itself or to a later one is
// not in any plan; a picture of it could have no direction.
func (v *view) connect(s *stageView, i int, e exact.Edge) {
	if e.Stage == "" {
		s.sources = append(s.sources, source{e, -1})
		return
	}
	for k := i - 1; k >= 0; k-- {
		if v.stages[k].Name == e.Stage {
			s.sources = append(s.sources, source{e, k})
			return
		}
	}
}

// stageAt returns the index of the stage that a line is in, -1 for none. Names do
// not say it: two stages may have the same one.
func (v *view) stageAt(line int) int {
	at, _ := slices.BinarySearchFunc(v.stages, line, func(s stageView, line int) int {
		if s.Line <= line {
			return -1
		}
		return 1
	})
	return at - 1
}

// stagesOf returns the stages that a step is part of, the first one first.
func (v *view) stagesOf(step *exact.Step) []int {
	if step.Line == 0 {
		return nil
	}
	var list []int
	for _, place := range append([]exact.Place{step.Place}, step.Also...) {
		if at := v.stageAt(place.Line); at >= 0 && !slices.Contains(list, at) {
			list = append(list, at)
		}
	}
	return list
}

// fill says how a stage is made for every platform.
func (v *view) fill(i int) {
	s := &v.stages[i]
	for _, platform := range v.plan.Platforms {
		if _, ok := s.ExecPlatform[platform]; !ok {
			s.cells[platform] = cell{state: stateUnused}
			continue
		}
		if v.impossible(s, platform) {
			s.cells[platform] = cell{state: stateImpossible}
			continue
		}
		s.cells[platform] = v.cell(i, platform)
	}
}

// impossible reports whether an error about images keeps a stage from being made
// for a platform, or one that it needs.
func (v *view) impossible(s *stageView, platform string) bool {
	for _, f := range s.findings {
		about := f.Rule == exact.RuleBasePlatform || f.Rule == exact.RuleBaseUnavailable
		if about && f.Level == exact.LevelError && slices.Contains(f.Platforms, platform) {
			return true
		}
	}
	return slices.ContainsFunc(s.sources, func(e source) bool {
		return e.stage >= 0 && slices.Contains(e.Platforms, platform) && v.stages[e.stage].cells[platform].state == stateImpossible
	})
}

func (v *view) cell(i int, platform string) cell {
	made := cell{state: stateNative}
	shared, own, emulated := "", 0, 0
	for _, step := range v.stages[i].steps {
		if step.Kind == "image" || !slices.Contains(step.Platforms, platform) {
			continue
		}
		made.files = made.files || step.State == ""
		first := v.stageAt(step.Line)
		switch {
		case step.Platforms[0] != platform:
			shared = short(step.Platforms[0])
			continue
		case first != i:
			shared = v.stages[first].Name
			continue
		}
		own++
		if step.State == "" {
			continue
		}
		made.runs++
		if step.State == exact.StateEmulated {
			emulated++
			if v.assists[step.ID].Recipe != "" {
				made.help++
			}
		}
		made.time += v.estimate(step.ID)
	}
	if own == 0 && shared != "" {
		return cell{state: stateShared, with: shared}
	}
	switch {
	case emulated > made.help:
		made.state = stateEmulated
	case emulated > 0:
		made.state = stateAssisted
	}
	return made
}

// estimate is how long a step takes, zero if that is not known.
func (v *view) estimate(id digest.Digest) time.Duration {
	if v.opts.Forecast == nil {
		return 0
	}
	return v.opts.Forecast.Steps[id].Duration
}

// bury notes the commands that are part of stages that cannot be made for any of
// the platforms that want them.
func (v *view) bury() {
	for _, step := range v.runs {
		at := v.stageAt(step.Line)
		if at < 0 {
			continue
		}
		v.dead[step.ID] = !slices.ContainsFunc(step.Platforms, func(platform string) bool {
			return v.stages[at].cells[platform].state != stateImpossible
		})
	}
}

// emulatedPlatforms are those that QEMU is needed for.
func (v *view) emulatedPlatforms() []string {
	var list []string
	for _, s := range v.runs {
		if s.State == exact.StateEmulated && !v.dead[s.ID] && !slices.Contains(list, s.ExecPlatform) {
			list = append(list, s.ExecPlatform)
		}
	}
	return list
}

// from says what a stage is FROM: the image as it is for all platforms, or as the
// file has it if platforms differ.
func (s *stageView) from() (name string, stage bool) {
	name = s.Base
	for i, e := range s.sources {
		if e.Kind != exact.EdgeFrom {
			continue
		}
		if slices.ContainsFunc(s.sources[i+1:], func(other source) bool { return other.Kind == exact.EdgeFrom }) {
			return s.Base, false // FROM base-$TARGETARCH
		}
		if e.Stage != "" {
			return e.Stage, true
		}
		name = e.Image
	}
	return name, false
}

// pinned returns the platform that a stage executes on whatever is asked for, empty
// if it does what is asked.
func (s *stageView) pinned() string {
	on, differs := "", false
	for wanted, platform := range s.ExecPlatform {
		if on != "" && platform != on {
			return ""
		}
		on, differs = platform, differs || platform != wanted
	}
	if !differs {
		return ""
	}
	return on
}

// short leaves the operating system of nearly every image out.
func short(platform string) string { return strings.TrimPrefix(platform, "linux/") }

func shortAll(list []string) []string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = short(p)
	}
	return out
}
