package show

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/show/layered"
)

// Sizes in a picture. Its letters are all equally wide, so that what fits into a
// box is known without the font: glyph is the width of one at one unit of size,
// rather too much than too little.
const (
	glyph      = 0.615
	nameSize   = 13.0
	textSize   = 10.5
	smallSize  = 9.5
	padding    = 10.0
	cellHeight = 30.0
	cellGap    = 4.0
	cellsInRow = 5    // at most
	headHeight = 42.0 // name and base
	margin     = 24.0
	titleSize  = 15.0
	nameMax    = 30 // characters
	baseMax    = 36
	imageMax   = 34
)

// SVG draws the graph of the stages, from left to right: a box per stage with a
// cell per platform, and the images that the stages come from. The picture needs
// nothing beside itself and follows the viewer's light or dark scheme.
func SVG(w io.Writer, plan *exact.Result, opts Options) error {
	v := newView(plan, opts)
	p := newPicture(v)
	drawing, err := layered.Arrange(p.graph)
	if err != nil {
		return fmt.Errorf("drawing %s: %w; write it with --format=json", v.opts.File, err)
	}
	p.write(drawing)
	_, err = io.WriteString(w, p.b.String())
	return err
}

// picture is a drawing in the making.
type picture struct {
	*view
	graph layered.Graph
	nodes []pictureNode
	edges []pictureEdge
	b     strings.Builder
}

// pictureNode is a stage by its index or an image.
type pictureNode struct {
	stage int // -1: image
	image string
}

// pictureEdge joins edges of one kind between the same two.
type pictureEdge struct {
	kind      exact.EdgeKind
	lines     []int
	platforms []string
}

// label names the lines of an edge. A stage says its own line.
func (e pictureEdge) label() string {
	if e.kind == exact.EdgeFrom {
		return ""
	}
	var names []string
	for i, line := range e.lines {
		if i == 3 && len(e.lines) > 4 {
			names = append(names, fmt.Sprintf("+%d", len(e.lines)-i))
			break
		}
		names = append(names, fmt.Sprintf("L%d", line))
	}
	return strings.Join(names, " ")
}

func newPicture(v *view) *picture {
	v.marks = Options{}.marks() // a picture has its own letters
	p := &picture{view: v}
	at := make(map[pictureNode]int)
	node := func(n pictureNode, size layered.Node) int {
		i, ok := at[n]
		if !ok {
			i = len(p.nodes)
			at[n] = i
			p.nodes, p.graph.Nodes = append(p.nodes, n), append(p.graph.Nodes, size)
		}
		return i
	}
	size := p.stageSize()
	for i := range v.stages {
		if !v.stages[i].reached() {
			continue
		}
		to := node(pictureNode{stage: i}, size)
		for _, e := range v.stages[i].sources {
			if e.stage >= 0 && !v.stages[e.stage].reached() {
				continue
			}
			from := pictureNode{stage: e.stage}
			box := size
			if e.stage < 0 {
				from.image = e.Image
				text := cutReference(e.Image, imageMax, "…")
				box = layered.Node{Width: textWidth(text, textSize) + 2*padding, Height: 24}
			}
			p.connect(node(from, box), to, e)
		}
	}
	for i, e := range p.edges {
		if label := e.label(); label != "" {
			p.graph.Edges[i].Room = textWidth(label, smallSize) + 18
		}
	}
	return p
}

func (p *picture) connect(from, to int, e source) {
	i := -1
	for k := len(p.edges) - 1; k >= 0 && p.graph.Edges[k].To == to; k-- {
		if p.graph.Edges[k].From == from && p.edges[k].kind == e.Kind {
			i = k
		}
	}
	if i < 0 {
		i = len(p.edges)
		p.edges = append(p.edges, pictureEdge{kind: e.Kind})
		p.graph.Edges = append(p.graph.Edges, layered.Edge{From: from, To: to})
	}
	edge := &p.edges[i]
	if !slices.Contains(edge.lines, e.Line) {
		edge.lines = append(edge.lines, e.Line)
	}
	for _, platform := range e.Platforms {
		if !slices.Contains(edge.platforms, platform) {
			edge.platforms = append(edge.platforms, platform)
		}
	}
}

// stageSize is that of all stages: as much as the one with the longest words needs.
func (p *picture) stageSize() layered.Node {
	inRow, rows := p.cellRows()
	width := float64(inRow)*(p.cellWidth()+cellGap) - cellGap
	for i := range p.stages {
		s := &p.stages[i]
		if s.reached() {
			name := textWidth(cut(s.Name, nameMax, "…"), nameSize) + 14 + textWidth(fmt.Sprintf("L%d", s.Line), textSize)
			width = max(width, name, textWidth(p.baseText(s), textSize))
		}
	}
	return layered.Node{Width: width + 2*padding, Height: headHeight + float64(rows)*(cellHeight+cellGap) + padding - cellGap}
}

// cellRows spreads the platforms evenly over as few rows as there can be.
func (p *picture) cellRows() (inRow, rows int) {
	n := max(len(p.plan.Platforms), 1)
	rows = (n + cellsInRow - 1) / cellsInRow
	return (n + rows - 1) / rows, rows
}

func (p *picture) cellWidth() float64 {
	width := 54.0
	for _, platform := range p.plan.Platforms {
		width = max(width, textWidth(p.cellName(platform), smallSize)+10)
		for i := range p.stages {
			width = max(width, textWidth(p.cellWords(p.stages[i].cells[platform]), smallSize)+10)
		}
	}
	return width
}

func (p *picture) cellName(platform string) string { return cut(short(platform), 14, "…") }

// cellWords say in a cell what its colour does.
func (p *picture) cellWords(c cell) string {
	if c.time > 0 {
		return p.mark(c.state) + " " + duration(c.time)
	}
	return cut(p.cellText(c, plain), 12, "…")
}

func (p *picture) baseText(s *stageView) string {
	if _, inherited := s.from(); inherited {
		return p.cutFrom(s, baseMax)
	}
	return "FROM " + p.cutFrom(s, baseMax)
}

func textWidth(text string, size float64) float64 { return float64(columns(text)) * glyph * size }

// write draws all.
func (p *picture) write(d layered.Drawing) {
	legend := p.newLegend()
	title := p.pictureTitle()
	top := margin + titleSize + 18
	width := max(d.Width, legend.width, textWidth(title, titleSize)) + 2*margin
	height := top + d.Height + 28 + legend.height + margin
	fmt.Fprintf(&p.b, `<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%s" viewBox="0 0 %s %s" role="img" aria-labelledby="mabuild-title mabuild-desc">`+"\n",
		number(width), number(height), number(width), number(height))
	fmt.Fprintf(&p.b, "<title id=\"mabuild-title\">%s</title>\n<desc id=\"mabuild-desc\">%s</desc>\n", escape(title), escape(p.describe()))
	p.b.WriteString(style)
	p.b.WriteString(arrows)
	fmt.Fprintf(&p.b, `<rect class="sheet" width="%s" height="%s" rx="8"/>`+"\n", number(width), number(height))
	p.text("title", margin, margin+titleSize-3, title, titleSize, "start")
	shift := (width - 2*margin - d.Width) / 2
	fmt.Fprintf(&p.b, `<g transform="translate(%s %s)">`+"\n", number(margin+shift), number(top))
	for i, path := range d.Edges {
		p.edge(i, path)
	}
	for i, box := range d.Nodes {
		p.node(i, box)
	}
	p.b.WriteString("</g>\n")
	legend.write(p, margin, top+d.Height+28)
	p.b.WriteString("</svg>\n")
}

func (p *picture) pictureTitle() string {
	text := cut(p.opts.File, 60, "…")
	if p.plan.Target != "" {
		text += " · target " + cut(p.plan.Target, 30, "…")
	}
	return text + " · " + plural(len(p.plan.Platforms), "platform") + ", built on " + p.plan.BuildPlatform
}

// describe is the picture for those who cannot see it.
func (p *picture) describe() string {
	counts := make(map[state]int)
	stages := 0
	for i := range p.stages {
		if !p.stages[i].reached() {
			continue
		}
		stages++
		for _, c := range p.stages[i].cells {
			counts[c.state]++
		}
	}
	emulated := fmt.Sprintf("%d emulated", counts[stateEmulated]+counts[stateAssisted])
	if n := counts[stateAssisted]; n > 0 {
		emulated += fmt.Sprintf(" (%d of them assisted)", n)
	}
	return fmt.Sprintf("Graph of %s for %s: of the pairs of both, %d native, %s, %d shared, %d impossible, %d not needed.",
		plural(stages, "stage"), strings.Join(p.plan.Platforms, ", "), counts[stateNative], emulated, counts[stateShared],
		counts[stateImpossible], counts[stateUnused])
}

// text writes one line. Should a font be wider than thought, the viewer presses
// its letters together.
func (p *picture) text(class string, x, y float64, text string, size float64, anchor string) {
	if text == "" {
		return
	}
	fmt.Fprintf(&p.b, `<text class="%s" x="%s" y="%s" font-size="%s" text-anchor="%s" textLength="%s" lengthAdjust="spacingAndGlyphs">%s</text>`+"\n",
		class, number(x), number(y), number(size), anchor, number(textWidth(text, size)*0.985), escape(text))
}

// number writes coordinates short and always alike.
func number(x float64) string {
	text := strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.1f", x), "0"), ".")
	if text == "-0" {
		return "0"
	}
	return text
}

// escape makes text safe in XML; what XML cannot have becomes a question mark.
func escape(text string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(text)); err != nil {
		return "" // a Builder does not fail
	}
	return b.String()
}
