package exact

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner"
)

// Explanation is all that a result knows about a line of the Dockerfile.
type Explanation struct {
	// Place is the whole instruction, which may have several lines.
	Place
	Instruction string
	Command     string

	// Platforms are those of all jobs, From is what the stage is FROM, as written,
	// and Exec is the platform that its commands execute on, by that of the job.
	// Jobs that do not need the stage are missing.
	Platforms []string
	From      string
	Exec      map[string]string

	// Runs are the distinct operations of the instruction: those that run a
	// command if it has any, or else those on files, or else its images.
	Runs []Run

	// Causes say why there are several, the earliest first.
	Causes []Cause

	// Differs are the variables that are not the same for all runs, whether or
	// not they are the cause.
	Differs []Difference

	Edges    []Edge     // that the line makes
	Users    []User     // of the stage, if the line is its FROM
	Bases    []UsedBase // that it names
	Findings []Finding  // at the line, and about the variables in Causes
}

// Run is one operation and what it directly builds on.
type Run struct {
	Step
	Needs []Step
}

// User is a stage that uses another one.
type User struct {
	Stage string
	Kind  EdgeKind
	Line  int
}

// CauseKind says what makes work differ between jobs.
type CauseKind string

// The kinds of causes.
const (
	CauseBase     CauseKind = "base"     // another image, as is natural for another platform
	CauseVariable CauseKind = "variable" // an ARG or ENV has another value
	CauseMount    CauseKind = "mount"    // --mount means another cache, secret or path
	CauseCommand  CauseKind = "command"  // the instruction itself is another one when expanded
	CauseInputs   CauseKind = "inputs"   // other files, through another choice of stages
)

// Cause is the first operation that differs between jobs, and how.
type Cause struct {
	Kind CauseKind
	Place
	Command string
	Differs []Difference
}

// Difference is something with several values.
type Difference struct {
	Name      string
	Values    map[string]string // by platform of the job; jobs without it are missing
	Variable  bool              // of a command
	Mentioned bool              // by the words of that command
}

// Explain tells all about one line: which steps are there, what they need, and why
// there are several. An error names the lines that there is something to tell of.
func Explain(result *Result, line int) (*Explanation, error) {
	x := &explainer{result: result, steps: make(map[digest.Digest]*Step)}
	for i := range result.Steps {
		x.steps[result.Steps[i].ID] = &result.Steps[i]
	}
	e := &Explanation{Place: x.placeOf(line), Platforms: result.Platforms}
	if e.Line == 0 {
		e.Line, e.EndLine = line, line
		if len(x.findingsAt(e.Place)) == 0 {
			return nil, x.nothingAt(line)
		}
	}
	e.Findings = x.findingsAt(e.Place)
	x.describe(e)
	runs := x.runsAt(e.Place)
	for _, s := range runs {
		run := Run{Step: *s}
		for _, id := range s.Inputs {
			if input := x.steps[id]; input != nil {
				run.Needs = append(run.Needs, *input)
			}
		}
		e.Runs = append(e.Runs, run)
	}
	if len(runs) > 0 {
		e.Instruction, e.Command = runs[0].Instruction, runs[0].Command
		e.Differs = variables(runs)
		e.Causes = x.causes(runs)
		e.Findings = append(e.Findings, x.related(e)...)
	}
	return e, nil
}

type explainer struct {
	result *Result
	steps  map[digest.Digest]*Step
}

// placeOf returns the instruction that a line is part of, with Line 0 if the plan
// has none.
func (x *explainer) placeOf(line int) Place {
	for _, s := range x.result.Steps {
		for _, place := range append([]Place{s.Place}, s.Also...) {
			if place.Line > 0 && place.Line <= line && line <= place.EndLine {
				return place
			}
		}
	}
	for _, s := range x.result.Stages {
		if s.Line == line {
			return Place{Stage: s.Name, Line: line, EndLine: line}
		}
	}
	return Place{}
}

func (x *explainer) findingsAt(place Place) []Finding {
	return slices.DeleteFunc(slices.Clone(x.result.Findings), func(f Finding) bool {
		return f.Line < place.Line || f.Line > place.EndLine || f.Line == 0
	})
}

// describe fills in what is known without any step.
func (x *explainer) describe(e *Explanation) {
	for _, s := range x.result.Stages {
		if s.Line > e.Line {
			break
		}
		e.Stage, e.From, e.Exec, e.Edges = s.Name, s.Base, s.ExecPlatform, nil
		for _, edge := range s.Edges {
			if edge.Line >= e.Line && edge.Line <= e.EndLine {
				e.Edges = append(e.Edges, edge)
			}
		}
		if s.Line == e.Line {
			e.Instruction, e.Command = "FROM", "FROM "+s.Base
		}
	}
	if e.Instruction == "FROM" {
		e.Users = x.users(e.Stage)
	}
	for _, edge := range e.Edges {
		for _, base := range x.result.Bases {
			if edge.Image != "" && (base.Ref == edge.Image || planner.CompleteReference(base.Ref) == planner.CompleteReference(edge.Image)) {
				e.Bases = append(e.Bases, base)
			}
		}
	}
}

func (x *explainer) users(stage string) []User {
	var users []User
	for _, s := range x.result.Stages {
		for _, edge := range s.Edges {
			if u := (User{Stage: s.Name, Kind: edge.Kind, Line: edge.Line}); edge.Stage == stage && !slices.Contains(users, u) {
				users = append(users, u)
			}
		}
	}
	return users
}

// runsAt returns the operations that an instruction is about, leaving out what
// only serves them.
func (x *explainer) runsAt(place Place) []*Step {
	at := make(map[string][]*Step)
	for i := range x.result.Steps {
		s := &x.result.Steps[i]
		if s.Place == place || slices.Contains(s.Also, place) {
			at[s.Kind] = append(at[s.Kind], s)
		}
	}
	for _, kind := range []string{"exec", "merge", "file", "image"} {
		if len(at[kind]) > 0 {
			return at[kind]
		}
	}
	var others []*Step
	for _, kind := range slices.Sorted(maps.Keys(at)) {
		others = append(others, at[kind]...)
	}
	return others
}

// related returns findings elsewhere that are about the same variables.
func (x *explainer) related(e *Explanation) []Finding {
	var list []Finding
	for _, f := range x.result.Findings {
		if f.Rule != RuleArgEarly || f.Line >= e.Line && f.Line <= e.EndLine {
			continue
		}
		for _, c := range e.Causes {
			if c.Kind == CauseVariable && slices.ContainsFunc(c.Differs, func(d Difference) bool { return mentions(f.Message, regexp.QuoteMeta(d.Name)) }) {
				list = append(list, f)
				break
			}
		}
	}
	return list
}

// nothingAt says where there is something.
func (x *explainer) nothingAt(line int) error {
	var before, after Place
	word := make(map[Place]string)
	for _, s := range x.result.Steps {
		for _, place := range append([]Place{s.Place}, s.Also...) {
			if word[place] == "" {
				word[place] = s.Instruction
			}
		}
	}
	stage, reached := "", true
	for _, s := range x.result.Stages {
		place := Place{Stage: s.Name, Line: s.Line, EndLine: s.Line}
		word[place] = cmp.Or(word[place], "FROM")
		if s.Line <= line {
			stage, reached = s.Name, len(s.ExecPlatform) > 0
		}
	}
	for place := range word {
		if place.Line > 0 && place.EndLine < line && place.EndLine > before.EndLine {
			before = place
		}
		if place.Line > line && (after.Line == 0 || place.Line < after.Line) {
			after = place
		}
	}
	var near []string
	for _, place := range []Place{before, after} {
		if place.Line == 0 {
			continue
		}
		text := fmt.Sprintf("L%d", place.Line)
		if place.EndLine > place.Line {
			text += fmt.Sprintf("-%d", place.EndLine)
		}
		near = append(near, strings.TrimSpace(text+" "+word[place]))
	}
	hint := "try " + strings.Join(near, " or ")
	switch {
	case len(near) == 0:
		return fmt.Errorf("explaining line %d: the plan has no step at all", line)
	case !reached:
		return fmt.Errorf("explaining line %d: nothing needs stage %s that it is in; choose another target, or %s", line, stage, hint)
	}
	return fmt.Errorf("explaining line %d: no step and no finding is there, since ARG, ENV, CMD and the like only change what others do; %s", line, hint)
}
