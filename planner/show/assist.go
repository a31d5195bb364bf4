package show

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/exact"
)

// assists are the decisions about commands by their step.
func (o Options) assists() map[digest.Digest]assist.Step {
	by := make(map[digest.Digest]assist.Step, len(o.Assists))
	for _, a := range o.Assists {
		by[a.ID] = a
	}
	return by
}

// named is a plan whose commands are those of the Dockerfile as it was written,
// also if it was made of the one with mounts of native tools.
func named(plan *exact.Result) *exact.Result {
	copied := *plan
	copied.Steps = slices.Clone(plan.Steps)
	for i := range copied.Steps {
		copied.Steps[i].Command = assist.StepName(copied.Steps[i].Command)
	}
	return &copied
}

// public is what programs are told: an assisted command is emulated, too.
func (s state) public() state {
	if s == stateAssisted {
		return stateEmulated
	}
	return s
}

// helpText says how many commands of a cell are assisted, if any.
func (c cell) helpText() string {
	switch {
	case c.help == 0:
		return ""
	case c.help < c.runs:
		return fmt.Sprintf(", %d of them assisted", c.help)
	}
	return ", assisted"
}

// helpText names the recipe that assists a command: "go", "go 1/2" if it does for
// one platform of two, "-" if none does, nothing if it is not known.
func (v *view) helpText(r slowRun) string {
	if len(v.assists) == 0 {
		return ""
	}
	var recipes []string
	assisted := 0
	for _, s := range r.steps {
		recipe := v.assists[s.ID].Recipe
		if recipe == "" {
			continue
		}
		assisted++
		if !slices.Contains(recipes, recipe) {
			recipes = append(recipes, recipe)
		}
	}
	if assisted == 0 {
		return "-"
	}
	text := cut(strings.Join(recipes, " "), 10, v.marks.ellipsis)
	if assisted < len(r.steps) {
		text += fmt.Sprintf(" %d/%d", assisted, len(r.steps))
	}
	return text
}

// runMark is that of a command on all its platforms.
func (v *view) runMark(r slowRun) string {
	if slices.ContainsFunc(r.steps, func(s exact.Step) bool { return v.assists[s.ID].Recipe == "" }) {
		return v.marks.emulated
	}
	return v.marks.assisted
}

// toolboxesText goes with what has no native tools by a recipe, of an engine that can
// have others.
const toolboxesText = "toolboxes of the engine need no mount (mabuild toolbox ls)"

// How many reasons against assistance are shown, and how many lines for each.
const (
	reasonsShown = 3
	placesShown  = 6
)

// unassisted says why no native tools are mounted for commands, each reason once, that
// of the slowest command first.
func (v *view) unassisted(b *strings.Builder, list []slowRun) {
	var reasons []string
	places := make(map[string][]string)
	for _, r := range list { // the slowest first
		for _, against := range v.against(r) {
			if !slices.Contains(reasons, against.text) {
				reasons = append(reasons, against.text)
			}
		}
	}
	byLine := func(a, b slowRun) int { return cmp.Compare(a.line, b.line) }
	for _, r := range slices.SortedStableFunc(slices.Values(list), byLine) {
		for _, against := range v.against(r) {
			place := fmt.Sprintf("L%d", r.line)
			if len(against.platforms) < len(r.steps) {
				place += " for " + strings.Join(against.platforms, " ")
			}
			places[against.text] = append(places[against.text], place)
		}
	}
	for i, reason := range reasons {
		if i == reasonsShown && len(reasons) > reasonsShown+1 {
			fmt.Fprintf(b, "  and %d other reasons: --format=json\n", len(reasons)-i)
			break
		}
		at := places[reason]
		if more := len(at) - placesShown; more > 1 {
			at = append(at[:placesShown:placesShown], fmt.Sprintf("%d more", more))
		}
		paragraph(b, "  no tools mounted: ", strings.Join(at, ", ")+": "+reason, v.opts.Width, 4)
	}
	if len(reasons) > 0 && v.opts.Tools != nil {
		paragraph(b, "  ", toolboxesText, v.opts.Width, 4)
	}
}

// verdict is what is said about the same command on some platforms.
type verdict struct {
	text, note string
	platforms  []string
}

// add puts the same verdicts together.
func add(list []verdict, text, note, platform string) []verdict {
	i := slices.IndexFunc(list, func(v verdict) bool { return v.text == text && v.note == note })
	if i < 0 {
		i = len(list)
		list = append(list, verdict{text: text, note: note})
	}
	list[i].platforms = append(list[i].platforms, short(platform))
	return list
}

// against lists the reasons why no native tools are mounted for a command.
func (v *view) against(r slowRun) []verdict {
	var list []verdict
	for _, s := range r.steps {
		if reason := v.assists[s.ID].Reason; reason != "" {
			list = add(list, reason, "", s.ExecPlatform)
		}
	}
	return list
}

// assist tells how the runs of a line are assisted, or why not; once if that is
// the same for all.
func (s *sheet) assist() {
	var list []verdict
	for _, r := range s.e.Runs {
		a, ok := s.assists[r.ID]
		if !ok || r.State != exact.StateEmulated {
			continue
		}
		text := "no native tools are mounted: " + a.Reason
		if s.opts.Tools != nil {
			text += "; " + toolboxesText
		}
		if a.Recipe != "" {
			text = "assisted by recipe " + a.Recipe + ": native tools are mounted over the emulated ones, for this command only"
		}
		list = add(list, text, a.Note, r.ExecPlatform)
	}
	for i, v := range list {
		if i == 0 {
			s.b.WriteString("\n")
		}
		if len(list) > 1 {
			v.text = strings.Join(v.platforms, " ") + ": " + v.text
		}
		paragraph(&s.b, "  ", v.text, s.opts.Width, 4)
		if v.note != "" {
			paragraph(&s.b, "    ", "note: "+v.note, s.opts.Width, 6)
		}
	}
}
