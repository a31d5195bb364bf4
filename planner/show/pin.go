package show

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/history"
	"github.com/mabuild/mabuild/planner/pin"
)

// pinAt is what is known about the stage at a line, nil if nothing is.
func (v *view) pinAt(line int) *pin.Stage {
	i := slices.IndexFunc(v.opts.Pins, func(s pin.Stage) bool { return s.Line == line })
	if i < 0 {
		return nil
	}
	return &v.opts.Pins[i]
}

// candidate is a stage that could run on the build platform.
type candidate struct {
	*pin.Stage
	runs, assisted int               // commands that are emulated
	programs       []history.Program // of them, by QEMU
}

// pinsShown is how many candidates are shown.
const pinsShown = 3

// pins writes the candidates, those that would save most first.
func (v *view) pins(b *strings.Builder) {
	var list []candidate
	for i := range v.stages {
		p := v.pinAt(v.stages[i].Line)
		if p == nil || p.State != pin.Candidate {
			continue
		}
		c := candidate{Stage: p}
		for _, step := range v.stages[i].steps {
			if step.State != exact.StateEmulated || v.dead[step.ID] {
				continue
			}
			c.runs++
			c.programs = append(c.programs, v.programs(step.ID)...)
			if v.assists[step.ID].Recipe != "" {
				c.assisted++
			}
		}
		if c.runs > 0 {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return
	}
	// What is known to take time is first. What is assisted is nearly as fast already.
	slices.SortStableFunc(list, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(took(b.programs), took(a.programs)), cmp.Compare(b.runs-b.assisted, a.runs-a.assisted), cmp.Compare(b.runs, a.runs))
	})
	for _, c := range list[:min(len(list), pinsShown)] {
		saves := plural(c.runs, "emulated run")
		switch {
		case c.assisted == c.runs:
			saves += ", assisted now"
		case c.assisted > 0:
			saves += fmt.Sprintf(", %d of them assisted now", c.assisted)
		}
		if text := v.savedText(c.programs); text != "" {
			saves += "; " + text
		}
		paragraph(b, "  ", fmt.Sprintf("stage %s can run on $BUILDPLATFORM: --pin-native=%s (saves %s)", c.Name, c.Pin, saves), v.opts.Width, 4)
	}
	if more := len(list) - pinsShown; more > 0 {
		paragraph(b, "  ", fmt.Sprintf("and %s more: --format=json", plural(more, "stage")), v.opts.Width, 4)
	}
	b.WriteString("\n")
}

// pin tells at a FROM or a command whether its stage could run on the build
// platform, and what is against it.
func (s *sheet) pin() {
	command := s.e.Instruction == "FROM" || len(s.e.Runs) > 0 && s.e.Runs[0].State != ""
	if !command || len(s.e.Exec) == 0 || !slices.ContainsFunc(s.opts.Pins, func(p pin.Stage) bool { return p.Runs > 0 }) {
		return
	}
	at := -1
	for i, p := range s.opts.Pins {
		if p.Line <= s.e.Line && (at < 0 || p.Line > s.opts.Pins[at].Line) {
			at = i
		}
	}
	if at < 0 {
		return
	}
	p := s.opts.Pins[at]
	lang := ""
	if p.Lang != "" {
		lang = " (" + p.Lang + ")"
	}
	var items []string
	switch p.State {
	case pin.Pinned:
		items = append(items, "the stage runs on $BUILDPLATFORM")
	case pin.Candidate:
		items = append(items, "the stage"+lang+" can run on $BUILDPLATFORM: --pin-native="+p.Pin.String())
	case pin.Blocked:
		items = append(items, "the stage"+lang+" cannot run on $BUILDPLATFORM as it is:")
	case pin.No:
		items = append(items, "the stage gains nothing on $BUILDPLATFORM:")
	}
	for _, r := range p.Reasons {
		items = append(items, strings.TrimSpace(fmt.Sprintf("%s L%d %s", r.Rule, r.Line, r.Text)))
	}
	if len(p.Env) > 0 {
		items = append(items, "sets "+strings.Join(p.Env, " "))
	}
	if p.Verify != "" {
		items = append(items, "to be verified: "+p.Verify)
	}
	s.b.WriteString("\n")
	s.list("pin", items)
}
