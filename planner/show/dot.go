package show

import (
	"fmt"
	"io"
	"strings"

	"github.com/mabuild/mabuild/planner/exact"
)

// dotColours are those of the light picture.
func dotColour(s state) string {
	switch s {
	case stateNative:
		return "#b7e4c0"
	case stateEmulated:
		return "#ffcf9a"
	case stateAssisted:
		return "#fff3a3"
	case stateShared:
		return "#bfdcff"
	case stateImpossible:
		return "#ffbdb8"
	case stateUnused:
	}
	return "#e3e7ec"
}

// DOT writes the graph of the stages for Graphviz.
func DOT(w io.Writer, plan *exact.Result, opts Options) error {
	p := newPicture(newView(plan, opts))
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n", quote(p.opts.File))
	b.WriteString("\tgraph [\"rankdir\"=\"LR\", \"fontname\"=\"monospace\", \"label\"=" + quote(p.pictureTitle()) + ", \"labelloc\"=\"t\", \"ranksep\"=\"0.8\"]\n")
	b.WriteString("\tnode [\"fontname\"=\"monospace\", \"fontsize\"=\"11\", \"shape\"=\"plain\"]\n")
	b.WriteString("\tedge [\"fontname\"=\"monospace\", \"fontsize\"=\"9\", \"color\"=\"#59636e\"]\n")
	for _, n := range p.nodes {
		if n.stage < 0 {
			fmt.Fprintf(&b, "\t%s [\"shape\"=\"box\", \"style\"=\"rounded,dashed\", \"label\"=%s]\n", p.dotID(n), quote(cutReference(n.image, imageMax, "…")))
			continue
		}
		fmt.Fprintf(&b, "\t%s [\"tooltip\"=%s, \"label\"=<%s>]\n", p.dotID(n), quote(p.stageTitle(&p.stages[n.stage])), p.dotLabel(n.stage))
	}
	for i, e := range p.edges {
		style := map[exact.EdgeKind]string{exact.EdgeFrom: "solid", exact.EdgeCopy: "dashed", exact.EdgeMount: "dotted"}[e.kind]
		ends := p.graph.Edges[i]
		fmt.Fprintf(&b, "\t%s -> %s [\"style\"=%s, \"label\"=%s]\n", p.dotID(p.nodes[ends.From]), p.dotID(p.nodes[ends.To]), quote(style), quote(e.label()))
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// dotID tells stages apart by line, since two may have one name.
func (p *picture) dotID(n pictureNode) string {
	if n.stage < 0 {
		return quote("image " + n.image)
	}
	return quote(fmt.Sprintf("stage %s, line %d", p.stages[n.stage].Name, p.stages[n.stage].Line))
}

// dotLabel is a table with the same as a box of the picture.
func (p *picture) dotLabel(i int) string {
	s := &p.stages[i]
	span := max(len(p.plan.Platforms), 1)
	border := "#818b98"
	for _, f := range s.findings {
		if f.Level == exact.LevelError {
			border = "#cf222e"
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<TABLE BORDER="1" CELLBORDER="0" CELLSPACING="4" CELLPADDING="3" STYLE="ROUNDED" COLOR="%s" BGCOLOR="#f6f8fa">`, border)
	fmt.Fprintf(&b, `<TR><TD ALIGN="LEFT" COLSPAN="%d"><B>%s</B> L%d</TD></TR>`, span, escape(cut(s.Name, nameMax, "…")+" "), s.Line)
	fmt.Fprintf(&b, `<TR><TD ALIGN="LEFT" COLSPAN="%d"><FONT COLOR="#59636e">%s</FONT></TD></TR><TR>`, span, escape(p.baseText(s)))
	for _, platform := range p.plan.Platforms {
		c := s.cells[platform]
		fmt.Fprintf(&b, `<TD BGCOLOR="%s">%s<BR/>%s</TD>`, dotColour(c.state), escape(p.cellName(platform)), escape(p.cellWords(c)))
	}
	b.WriteString("</TR></TABLE>")
	return b.String()
}

// quote writes a string of the language: only quotation marks are special, but for
// a backslash that would hide the closing one or start an escape in a label.
func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(clean(text)) + `"`
}
