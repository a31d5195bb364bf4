package show

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/history"
)

// What is shown of the programs that QEMU spent its time in.
const (
	leastTime     = 5 * time.Second // of a command, for anything to be said
	leastShare    = 0.05            // of a program beside the first one
	toolsShown    = 3               // lines about native tools
	programsNamed = 4               // in one of them
)

// programs are what QEMU ran in a step, most first; none if that is not known.
func (v *view) programs(id digest.Digest) []history.Program {
	if v.opts.Forecast == nil {
		return nil
	}
	return v.opts.Forecast.Programs[id]
}

// took is how long programs were seen on processors.
func took(programs []history.Program) time.Duration {
	var sum time.Duration
	for _, p := range programs {
		sum += p.Time
	}
	return sum
}

// foremost are the programs worth telling.
func foremost(programs []history.Program) []history.Program {
	for i, p := range programs {
		if i > 0 && p.Share < leastShare {
			return programs[:i]
		}
	}
	return programs
}

// programName is a name that came from inside a container, made to fit.
func (v *view) programName(name string) string {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || v.opts.ASCII && r > unicode.MaxASCII {
			return '?'
		}
		return r
	}, clean(name))
	return cut(name, 24, v.marks.ellipsis)
}

// programsText says where the time went: "2m08s in cc1 (78 %), 9.1s in as (6 %)".
func (v *view) programsText(programs []history.Program) string {
	var parts []string
	for _, p := range foremost(programs) {
		parts = append(parts, fmt.Sprintf("%s in %s (%.0f %%)", duration(p.Time), v.programName(p.Name), 100*p.Share))
	}
	return strings.Join(parts, ", ")
}

// hottest is the step of a command that took most time under QEMU, and its programs;
// none if it was over soon.
func (v *view) hottest(r slowRun) (exact.Step, []history.Program) {
	hot := slices.MaxFunc(r.steps, func(a, b exact.Step) int {
		return cmp.Compare(took(v.programs(a.ID)), took(v.programs(b.ID)))
	})
	programs := v.programs(hot.ID)
	if took(programs) < leastTime {
		return hot, nil
	}
	return hot, programs
}

// whereText says where a command's time went, on the platform where it was most.
func (v *view) whereText(r slowRun) string {
	step, programs := v.hottest(r)
	text := v.programsText(programs)
	if text != "" && len(r.platforms) > 1 {
		text += " on " + short(step.ExecPlatform)
	}
	return text
}

// tools says of the programs that took the time of commands whether there are native
// ones, those that took most first.
func (v *view) tools(b *strings.Builder, list []slowRun) {
	var all []history.Program
	for _, r := range list {
		_, programs := v.hottest(r)
		all = append(all, foremost(programs)...)
	}
	lines := v.toolLines(all)
	for i, line := range lines {
		if i == toolsShown && len(lines) > toolsShown+1 {
			fmt.Fprintf(b, "  and %d more about tools: --format=json\n", len(lines)-i)
			return
		}
		paragraph(b, "  tools for ", line, v.opts.Width, 4)
	}
}

// toolLines puts programs together of which the same is said: "as cc1: TEXT".
func (v *view) toolLines(programs []history.Program) []string {
	if v.opts.Tools == nil {
		return nil
	}
	var texts []string
	names := make(map[string][]string)
	for _, p := range summed(programs) {
		text := clean(v.opts.Tools(p.Name))
		if text == "" {
			continue
		}
		if names[text] == nil {
			texts = append(texts, text)
		}
		names[text] = append(names[text], v.programName(p.Name))
	}
	lines := make([]string, 0, len(texts))
	for _, text := range texts {
		named := names[text]
		if more := len(named) - programsNamed; more > 1 {
			named = append(named[:programsNamed:programsNamed], fmt.Sprintf("%d more", more))
		}
		lines = append(lines, strings.Join(named, ", ")+": "+text)
	}
	return lines
}

// summed adds up the times of equal programs, most first. Share is that of the sum.
func summed(programs []history.Program) []history.Program {
	var sums []history.Program
	all := max(took(programs), 1)
	for _, p := range programs {
		i := slices.IndexFunc(sums, func(s history.Program) bool { return s.Name == p.Name })
		if i < 0 {
			i = len(sums)
			sums = append(sums, history.Program{Name: p.Name})
		}
		sums[i].Time += p.Time
		sums[i].Share = float64(sums[i].Time) / float64(all)
	}
	slices.SortStableFunc(sums, func(a, b history.Program) int { return cmp.Compare(b.Time, a.Time) })
	return sums
}

// savedText says what QEMU need not run: "2m08s in cc1, 9.1s in as".
func (v *view) savedText(programs []history.Program) string {
	if took(programs) < leastTime {
		return ""
	}
	sums := foremost(summed(programs))
	var parts []string
	for _, p := range sums[:min(len(sums), 3)] {
		parts = append(parts, duration(p.Time)+" in "+v.programName(p.Name))
	}
	return strings.Join(parts, ", ")
}

// programs tells of the runs of a line where their time went, and what there is in
// place of that.
func (s *sheet) programs() {
	var items []string
	var all []history.Program
	for _, r := range s.e.Runs {
		programs := s.view.programs(r.ID)
		text := s.programsText(programs)
		if text == "" || r.State != exact.StateEmulated {
			continue
		}
		if len(s.e.Runs) > 1 {
			text += " on " + short(r.ExecPlatform)
		}
		items = append(items, text)
		all = append(all, foremost(programs)...)
	}
	if len(items) == 0 {
		return
	}
	s.b.WriteString("\n")
	s.list("time", items)
	s.list("tools", s.toolLines(all))
}

// list writes a word and items, whole.
func (s *sheet) list(word string, items []string) {
	for _, item := range items {
		paragraph(&s.b, "  "+pad(word, 9), item, s.opts.Width, 13)
		word = ""
	}
}
