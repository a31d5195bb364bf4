package pin

import (
	"fmt"
	"slices"

	"github.com/mabuild/mabuild/planner/exact"

	"github.com/mabuild/mabuild/planner"
)

// State says whether a stage could move to the build platform.
type State string

// The states.
const (
	Pinned    State = "pinned"    // it is there
	Candidate State = "candidate" // it could, as far as the text says
	Blocked   State = "blocked"   // it would gain, but for the reasons given
	No        State = "no"        // there is nothing to gain
)

// Stage is what is known about one stage.
type Stage struct {
	Name    string
	Line    int
	State   State
	Lang    string   // go, js, java …, empty if unknown
	Pin     Pin      // for candidates
	Env     []string // that Pin sets, with variables; empty for plain
	Runs    int      // emulated RUNs that would go native
	Reasons []Reason
	// Verify says what must be checked in the result, since the text does not tell.
	Verify string
}

// Reason is why a stage cannot move, or has no need to.
type Reason struct {
	Rule string // S1 to S7 or lang, see the package's documentation; empty for No
	Line int
	Text string
}

// analysis is a plan in the view of pins.
type analysis struct {
	plan *exact.Result
	file *file
}

// Candidates says for every stage of a planned Dockerfile whether it could run on
// the build platform. The text is that of the plan.
func Candidates(plan *exact.Result, text []byte) ([]Stage, error) {
	f, err := parseFile(text)
	if err != nil {
		return nil, err
	}
	if len(f.stages) != len(plan.Stages) {
		return nil, fmt.Errorf("pinning: the plan has %d stages, the Dockerfile %d; plan the same text", len(plan.Stages), len(f.stages))
	}
	a := &analysis{plan: plan, file: f}
	stages := make([]Stage, len(f.stages))
	for i := range f.stages {
		stages[i] = a.stage(i)
	}
	return stages, nil
}

func (a *analysis) stage(i int) Stage {
	s := Stage{Name: a.plan.Stages[i].Name, Line: a.plan.Stages[i].Line}
	runs := a.runs(i)
	for _, run := range runs {
		if run.State == exact.StateEmulated {
			s.Runs++
		}
	}
	no := func(text string, args ...any) Stage {
		s.State, s.Reasons = No, []Reason{{Line: s.Line, Text: fmt.Sprintf(text, args...)}}
		return s
	}
	switch own := a.file.stages[i].Platform; {
	case pinned(a.file.stages[i]):
		s.State = Pinned
		return s
	case len(a.plan.Stages[i].ExecPlatform) == 0:
		return no("nothing that is built needs it")
	case len(runs) == 0:
		return no("it runs no commands")
	case s.Runs == 0:
		return no("its commands run natively")
	case own != "":
		s.Reasons = append(s.Reasons, Reason{"S2", s.Line, "it says --platform=" + own})
	}
	s.Reasons = append(s.Reasons, a.base(i)...)
	s.Reasons = append(s.Reasons, a.consumers(i)...)
	c := classify(runs)
	s.Lang, s.Verify = c.lang, c.verify
	s.Reasons = append(s.Reasons, c.reasons...)
	if len(s.Reasons) > 0 {
		s.State = Blocked
		return s
	}
	s.State, s.Pin = Candidate, Pin{Stage: s.Name, Mode: Plain}
	if s.Lang == "go" {
		s.Pin.Mode = Go
		s.Env = []string{"CGO_ENABLED=0", "GOOS=$TARGETOS", "GOARCH=$TARGETARCH", "GOARM=${TARGETVARIANT#v}"}
	}
	return s
}

// runs are the commands of a stage, on any platform, one per line.
func (a *analysis) runs(i int) []exact.Step {
	name := func(place exact.Place) bool { return a.stageAt(place.Line) == i }
	var runs []exact.Step
	at := make(map[int]int)
	for _, s := range a.plan.Steps {
		if s.Kind != "exec" || s.State == "" {
			continue
		}
		for _, place := range slices.Concat([]exact.Place{s.Place}, s.Also) {
			if !name(place) {
				continue
			}
			step := s
			step.Place = place
			if k, ok := at[place.Line]; !ok {
				at[place.Line] = len(runs)
				runs = append(runs, step)
			} else if step.State == exact.StateEmulated {
				runs[k] = step
			}
		}
	}
	return runs
}

func (a *analysis) stageAt(line int) int {
	at := -1
	for i, s := range a.plan.Stages {
		if s.Line <= line {
			at = i
		}
	}
	return at
}

// base checks S1: the stage is FROM an image that has the build platform.
func (a *analysis) base(i int) []Reason {
	stage := a.plan.Stages[i]
	for _, edge := range stage.Edges {
		if edge.Kind != exact.EdgeFrom {
			continue
		}
		if edge.Stage != "" {
			return []Reason{{"S1", stage.Line, fmt.Sprintf("it is built from stage %s, and runs where that one runs", edge.Stage)}}
		}
		ref := planner.CompleteReference(edge.Image)
		at := slices.IndexFunc(a.plan.Bases, func(b exact.UsedBase) bool { return b.Ref == ref })
		switch {
		case at < 0 || a.plan.Bases[at].Err != nil:
			return []Reason{{"S1", stage.Line, fmt.Sprintf("what %s has is not known", edge.Image)}}
		case !slices.Contains(a.plan.Bases[at].Platforms, a.plan.BuildPlatform):
			return []Reason{{"S1", stage.Line, fmt.Sprintf("%s has no image for %s", edge.Image, a.plan.BuildPlatform)}}
		}
		return nil
	}
	return []Reason{{"S1", stage.Line, "it is not built from an image"}}
}
