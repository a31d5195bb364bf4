package show

import (
	"fmt"
	"strings"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/show/layered"
)

// style has the colours for light and dark viewers. A state has the same place in
// both, and a mark in its cell, so that nothing depends on telling colours apart.
const style = `<style>
text { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace; fill: #1f2328; }
.sheet { fill: #ffffff; stroke: #d1d9e0; }
.title { font-weight: 600; }
.name { font-weight: 700; }
.dim { fill: #59636e; }
.box { fill: #f6f8fa; stroke: #818b98; stroke-width: 1.2; }
.box.error { stroke: #cf222e; stroke-width: 2; }
.box.warning { stroke: #bf8700; stroke-width: 2; }
.image { fill: #ffffff; stroke: #818b98; stroke-dasharray: 2 2; }
.native { fill: #b7e4c0; }
.emulated { fill: #ffcf9a; }
.assisted { fill: #fff3a3; }
.shared { fill: #bfdcff; }
.impossible { fill: #ffbdb8; }
.unused { fill: #e3e7ec; }
.badge.error { fill: #cf222e; }
.badge.warning { fill: #bf8700; }
.badge.note { fill: #0969da; }
text.count { fill: #ffffff; font-weight: 700; }
.edge { fill: none; stroke: #59636e; stroke-width: 1.4; }
.edge.copy { stroke-dasharray: 6 4; }
.edge.mount { stroke-dasharray: 1.5 3.5; stroke-linecap: round; stroke-width: 1.8; }
.arrow { fill: #59636e; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.sheet { fill: #0d1117; stroke: #30363d; }
.dim { fill: #9da7b3; }
.box { fill: #161b22; stroke: #6e7681; }
.box.error { stroke: #f85149; }
.box.warning { stroke: #d29922; }
.image { fill: #0d1117; stroke: #6e7681; }
.native { fill: #1b4a2a; }
.emulated { fill: #6b3d0c; }
.assisted { fill: #6d6a1c; }
.shared { fill: #17406f; }
.impossible { fill: #75211d; }
.unused { fill: #2b313a; }
.edge { stroke: #9da7b3; }
.arrow { fill: #9da7b3; }
}
</style>
`

const arrows = `<defs><marker id="mabuild-arrow" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="7" markerHeight="7" orient="auto" markerUnits="userSpaceOnUse"><path class="arrow" d="M0 0.8 L8 4 L0 7.2 Z"/></marker></defs>
`

func (p *picture) node(i int, box layered.Box) {
	n := p.nodes[i]
	if n.stage < 0 {
		fmt.Fprintf(&p.b, "<g><title>%s</title>\n", escape("image "+clean(n.image)))
		fmt.Fprintf(&p.b, `<rect class="image" x="%s" y="%s" width="%s" height="%s" rx="12"/>`+"\n", number(box.X), number(box.Y), number(box.Width), number(box.Height))
		p.text("dim", box.X+box.Width/2, box.Y+box.Height/2+textSize*0.36, cutReference(n.image, imageMax, "…"), textSize, "middle")
		p.b.WriteString("</g>\n")
		return
	}
	s := &p.stages[n.stage]
	worst := exact.Level("")
	for _, f := range s.findings {
		if worst == "" || f.Level == exact.LevelError || f.Level == exact.LevelWarning && worst == exact.LevelNote {
			worst = f.Level
		}
	}
	fmt.Fprintf(&p.b, "<g><title>%s</title>\n", escape(p.stageTitle(s)))
	fmt.Fprintf(&p.b, `<rect class="box %s" x="%s" y="%s" width="%s" height="%s" rx="6"/>`+"\n", worst, number(box.X), number(box.Y), number(box.Width), number(box.Height))
	size := p.graph.Nodes[i]
	y := box.Y + (box.Height-size.Height)/2 // where a box is high for its edges
	p.text("name", box.X+padding, y+19, cut(s.Name, nameMax, "…"), nameSize, "start")
	p.text("dim", box.X+box.Width-padding, y+19, fmt.Sprintf("L%d", s.Line), textSize, "end")
	p.text("dim", box.X+padding, y+34, p.baseText(s), textSize, "start")
	p.cells(s, box.X+padding, y+headHeight, box.Width-2*padding)
	if len(s.findings) > 0 {
		p.badge(s, worst, box)
	}
	p.b.WriteString("</g>\n")
}

// cells draws the platforms of a stage, as wide as the box.
func (p *picture) cells(s *stageView, x, y, width float64) {
	inRow, _ := p.cellRows()
	w := (width - float64(inRow-1)*cellGap) / float64(inRow)
	for i, platform := range p.plan.Platforms {
		c := s.cells[platform]
		left, top := x+float64(i%inRow)*(w+cellGap), y+float64(i/inRow)*(cellHeight+cellGap)
		fmt.Fprintf(&p.b, "<g><title>%s</title>\n", escape(p.cellTitle(s, platform)))
		fmt.Fprintf(&p.b, `<rect class="%s" x="%s" y="%s" width="%s" height="%s" rx="3"/>`+"\n", c.state, number(left), number(top), number(w), number(cellHeight))
		p.text("cell", left+w/2, top+12, p.cellName(platform), smallSize, "middle")
		p.text("cell", left+w/2, top+24, p.cellWords(c), smallSize, "middle")
		p.b.WriteString("</g>\n")
	}
}

// badge counts the findings at the corner of a box.
func (p *picture) badge(s *stageView, worst exact.Level, box layered.Box) {
	x, y := box.X+box.Width-4, box.Y+2
	var lines []string
	for _, f := range s.findings {
		lines = append(lines, fmt.Sprintf("%s L%d %s: %s", f.Level, f.Line, f.Rule, clean(f.Message)))
	}
	count := fmt.Sprint(len(s.findings))
	radius := max(9, textWidth(count, textSize)/2+3)
	fmt.Fprintf(&p.b, `<g><title>%s</title><circle class="badge %s" cx="%s" cy="%s" r="%s"/>`+"\n", escape(strings.Join(lines, "\n")), worst, number(x), number(y), number(radius))
	p.text("count", x, y+textSize*0.36, count, textSize, "middle")
	p.b.WriteString("</g>\n")
}

func (p *picture) stageTitle(s *stageView) string {
	return fmt.Sprintf("stage %s, line %d, FROM %s", clean(s.Name), s.Line, clean(s.Base))
}

func (p *picture) cellTitle(s *stageView, platform string) string {
	c := s.cells[platform]
	text := clean(s.Name) + " for " + platform + ": "
	switch c.state {
	case stateUnused:
		return text + "not needed"
	case stateImpossible:
		return text + "impossible, see the findings"
	case stateShared:
		return text + "shared with " + c.with
	case stateNative, stateEmulated, stateAssisted:
	}
	text += fmt.Sprintf("%s on %s, %s%s", c.state.public(), s.ExecPlatform[platform], plural(c.runs, "command"), c.helpText())
	if c.time > 0 {
		text += ", about " + duration(c.time)
	}
	return text
}

// edge draws straight pieces with curves between them.
func (p *picture) edge(i int, path layered.Path) {
	e, ends := p.edges[i], p.graph.Edges[i]
	var d strings.Builder
	for k, s := range path {
		if k == 0 {
			fmt.Fprintf(&d, "M%s %s", number(s.From.X), number(s.From.Y))
		} else {
			before := path[k-1].To
			half := (s.From.X - before.X) / 2
			fmt.Fprintf(&d, " C%s %s %s %s %s %s", number(before.X+half), number(before.Y), number(s.From.X-half), number(s.From.Y), number(s.From.X), number(s.From.Y))
		}
		if s.From != s.To {
			fmt.Fprintf(&d, " H%s", number(s.To.X))
		}
	}
	var lines []string
	for _, line := range e.lines {
		lines = append(lines, fmt.Sprintf("L%d", line))
	}
	title := fmt.Sprintf("%s %s into %s, %s, for %s", e.kind, p.nodeName(ends.From), p.nodeName(ends.To), strings.Join(lines, " "), strings.Join(shortAll(e.platforms), " "))
	fmt.Fprintf(&p.b, `<g><title>%s</title><path class="edge %s" marker-end="url(#mabuild-arrow)" d="%s"/>`+"\n", escape(title), e.kind, d.String())
	if label := e.label(); label != "" && len(path) > 0 {
		end := path[len(path)-1].To
		p.text("dim", end.X-11, end.Y-3.5, label, smallSize, "end")
	}
	p.b.WriteString("</g>\n")
}

func (p *picture) nodeName(i int) string {
	if n := p.nodes[i]; n.stage < 0 {
		return clean(n.image)
	}
	return clean(p.stages[p.nodes[i].stage].Name)
}

// legend says what colours and lines mean, as far as they are in the picture.
type legend struct {
	entries       []legendEntry
	width, height float64
}

type legendEntry struct {
	class, text string
	line        bool
}

func (p *picture) newLegend() legend {
	states, kinds := make(map[state]bool), make(map[exact.EdgeKind]bool)
	for i := range p.stages {
		for _, c := range p.stages[i].cells {
			states[c.state] = states[c.state] || p.stages[i].reached()
		}
	}
	for _, e := range p.edges {
		kinds[e.kind] = true
	}
	var l legend
	for _, s := range []state{stateNative, stateEmulated, stateAssisted, stateShared, stateImpossible, stateUnused} {
		if states[s] {
			text := string(s)
			if s == stateUnused {
				text = "not needed"
			}
			l.entries = append(l.entries, legendEntry{string(s), p.mark(s) + " " + text, false})
		}
	}
	for _, k := range []exact.EdgeKind{exact.EdgeFrom, exact.EdgeCopy, exact.EdgeMount} {
		if kinds[k] {
			l.entries = append(l.entries, legendEntry{string(k), strings.ToUpper(string(k)), true})
		}
	}
	l.height = 16
	for _, e := range l.entries {
		l.width += e.width()
	}
	return l
}

func (e legendEntry) width() float64 {
	if e.line {
		return 38 + textWidth(e.text, textSize) + 18
	}
	return 20 + textWidth(e.text, textSize) + 18
}

func (l legend) write(p *picture, x, y float64) {
	for _, e := range l.entries {
		if e.line {
			fmt.Fprintf(&p.b, `<path class="edge %s" marker-end="url(#mabuild-arrow)" d="M%s %s h32"/>`+"\n", e.class, number(x), number(y+7))
			p.text("dim", x+38, y+11, e.text, textSize, "start")
		} else {
			fmt.Fprintf(&p.b, `<rect class="%s" x="%s" y="%s" width="14" height="14" rx="3"/>`+"\n", e.class, number(x), number(y))
			p.text("dim", x+20, y+11, e.text, textSize, "start")
		}
		x += e.width()
	}
}
