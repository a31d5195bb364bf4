package show

import (
	"fmt"
	"slices"
	"strings"
)

// foldAt is how many stages fill a screen. Beyond that, stages with nothing to
// say are left out.
const foldAt = 20

// cellStyle says how much there is in a cell.
type cellStyle int

const (
	timed cellStyle = iota // ▲ 1 RUN  3m01s
	plain                  // ▲ 1 RUN
	terse                  // ▲1
)

// table writes a row per stage and a column per platform, with as much in the
// cells as fits. If not even the least does, platforms go below each other.
func (v *view) table(b *strings.Builder) {
	rows, folded := v.rows()
	style, platforms := timed, v.plan.Platforms
	for style < terse && !v.fits(rows, platforms, style) {
		style++
	}
	for rest := platforms; len(rest) > 0; rest = rest[len(platforms):] {
		for platforms = rest; len(platforms) > 1 && !v.fits(rows, platforms, style); {
			platforms = platforms[:len(platforms)-1]
		}
		v.block(b, rows, platforms, style)
		b.WriteString("\n")
	}
	if folded > 0 {
		paragraph(b, "  ", fmt.Sprintf("%s more, native or shared and without findings: --format=json", plural(folded, "stage")), v.opts.Width, 2)
		b.WriteString("\n")
	}
	v.legend(b, style)
}

// rows are the stages to show, and how many are not.
func (v *view) rows() (rows []*stageView, folded int) {
	for i := range v.stages {
		if v.stages[i].reached() {
			rows = append(rows, &v.stages[i])
		}
	}
	all := len(rows)
	if all <= foldAt {
		return rows, 0
	}
	last := rows[all-1]
	rows = slices.DeleteFunc(rows, func(s *stageView) bool {
		if s == last || len(s.findings) > 0 {
			return false
		}
		for _, c := range s.cells {
			if c.state == stateEmulated || c.state == stateAssisted || c.state == stateImpossible {
				return false
			}
		}
		return true
	})
	return rows, all - len(rows)
}

// widths of the columns of a block.
type widths struct {
	stage, from, needs int
	cells              []int
}

const columnGap = 2

// layout divides the width of the screen. It is negative in stage if there is not
// enough of it.
func (v *view) layout(rows []*stageView, platforms []string, style cellStyle) widths {
	stage, from, needs := len("STAGE"), len("FROM"), 0
	for _, s := range rows {
		stage, from, needs = max(stage, columns(clean(s.Name))), max(from, columns(v.fromText(s))), max(needs, columns(needsText(s)))
	}
	room := v.opts.Width - columnGap
	var w widths
	for _, p := range platforms {
		width := columns(v.platformName(p))
		for _, s := range rows {
			width = max(width, columns(v.cellText(s.cells[p], style)))
		}
		w.cells = append(w.cells, width)
		room -= width + columnGap
	}
	room -= columnGap // between stage and base
	w.stage, w.from = min(stage, 10), min(from, 12)
	room -= w.stage + w.from
	grow := func(width *int, want int) {
		more := max(min(want-*width, room), 0)
		*width += more
		room -= more
	}
	fits := room >= 0
	grow(&w.from, min(from, 26))
	grow(&w.stage, min(stage, 20))
	if room >= columnGap+8 && needs > 0 {
		room -= columnGap
		grow(&w.needs, max(needs, len("NEEDS")))
	}
	grow(&w.from, from)
	grow(&w.stage, stage)
	if !fits {
		w.stage = -1
	}
	return w
}

func (v *view) fits(rows []*stageView, platforms []string, style cellStyle) bool {
	return v.layout(rows, platforms, style).stage >= 0
}

// block writes the table of some platforms.
func (v *view) block(b *strings.Builder, rows []*stageView, platforms []string, style cellStyle) {
	w := v.layout(rows, platforms, style)
	if w.stage < 0 { // one platform with an odd name
		w.stage, w.from, w.cells[0] = 10, 10, max(v.opts.Width-26, 1)
	}
	line := func(stage, from, needs string, cells []string) {
		text := "  " + pad(stage, w.stage) + "  " + pad(from, w.from)
		for i, cell := range cells {
			text += "  " + pad(head(cell, w.cells[i]), w.cells[i])
		}
		if w.needs > 0 {
			text += "  " + needs
		}
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	var names []string
	for _, p := range platforms {
		names = append(names, v.platformName(p))
	}
	line("STAGE", "FROM", "NEEDS", names)
	for _, s := range rows {
		var cells []string
		for _, p := range platforms {
			cells = append(cells, v.cellText(s.cells[p], style))
		}
		from := v.fromText(s)
		if columns(from) > w.from {
			from = v.cutFrom(s, w.from)
		}
		line(cut(s.Name, w.stage, v.marks.ellipsis), from, cut(needsText(s), w.needs, v.marks.ellipsis), cells)
	}
}

// platformName is short enough for a column.
func (v *view) platformName(platform string) string {
	return cut(short(platform), 16, v.marks.ellipsis)
}

// fromText is the base of a stage: an image, or another stage.
func (v *view) fromText(s *stageView) string {
	name, inherited := s.from()
	if inherited {
		return v.marks.inherit + " " + clean(name)
	}
	return clean(name) + v.pinText(s)
}

func (v *view) cutFrom(s *stageView, width int) string {
	name, inherited := s.from()
	if inherited {
		return cut(v.marks.inherit+" "+name, width, v.marks.ellipsis)
	}
	pin := v.pinText(s)
	if width-columns(pin) < 10 {
		pin = ""
	}
	return cutReference(name, width-columns(pin), v.marks.ellipsis) + pin
}

// pinText says that a stage runs on one platform whatever the target is.
func (v *view) pinText(s *stageView) string {
	if on := s.pinned(); on != "" {
		return " (on " + short(on) + ")"
	}
	return ""
}

// needsText lists the stages and images that files come from.
func needsText(s *stageView) string {
	var names []string
	lines := make(map[string][]string)
	for _, e := range s.sources {
		if e.Kind == "from" {
			continue
		}
		name := e.Stage + e.Image
		if lines[name] == nil {
			names = append(names, name)
		}
		if line := fmt.Sprintf("L%d", e.Line); !slices.Contains(lines[name], line) {
			lines[name] = append(lines[name], line)
		}
	}
	for i, name := range names {
		names[i] = clean(name) + " " + strings.Join(lines[name], ",")
	}
	return strings.Join(names, ", ")
}

func (v *view) cellText(c cell, style cellStyle) string {
	mark := v.mark(c.state)
	switch c.state {
	case stateUnused, stateImpossible:
		return mark
	case stateShared:
		if style == terse {
			return mark
		}
		return cut(mark+" "+c.with, 16, v.marks.ellipsis)
	case stateNative, stateEmulated, stateAssisted:
	}
	switch {
	case c.runs > 0 && style == terse:
		return fmt.Sprintf("%s%d", mark, c.runs)
	case style == terse:
		return mark
	case c.runs == 0 && c.files:
		return mark + " copy"
	case c.runs == 0:
		return mark + " base"
	case style == timed && c.time > 0:
		return fmt.Sprintf("%s %d RUN  %s", mark, c.runs, duration(c.time))
	}
	return fmt.Sprintf("%s %d RUN", mark, c.runs)
}

func (v *view) mark(s state) string {
	switch s {
	case stateNative:
		return v.marks.native
	case stateEmulated:
		return v.marks.emulated
	case stateAssisted:
		return v.marks.assisted
	case stateShared:
		return v.marks.shared
	case stateImpossible:
		return v.marks.impossible
	case stateUnused:
	}
	return v.marks.unused
}

// legend says what the marks mean, without those that are not there.
func (v *view) legend(b *strings.Builder, style cellStyle) {
	used := make(map[state]bool)
	for i := range v.stages {
		for _, c := range v.stages[i].cells {
			used[c.state] = used[c.state] || v.stages[i].reached()
		}
	}
	with := "shared with"
	if style == terse {
		with = "shared"
	}
	var parts []string
	for _, entry := range []struct {
		state state
		text  string
	}{{stateNative, "native"}, {stateShared, with}, {stateEmulated, "emulated"}, {stateAssisted, "assisted"}, {stateImpossible, "impossible"}, {stateUnused, "not needed"}} {
		if used[entry.state] {
			parts = append(parts, v.mark(entry.state)+" "+entry.text)
		}
	}
	if style == terse {
		parts = append(parts, "number: RUN steps")
	}
	v.join(b, "  ", parts, "   ")
	b.WriteString("\n")
}

// join writes parts on as many lines as they take.
func (v *view) join(b *strings.Builder, indent string, parts []string, between string) {
	line := indent
	for _, part := range parts {
		switch {
		case line == indent:
			line += part
		case columns(line+between+part) > v.opts.Width:
			b.WriteString(line + "\n")
			line = indent + part
		default:
			line += between + part
		}
	}
	b.WriteString(line + "\n")
}
