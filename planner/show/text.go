package show

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mabuild/mabuild/planner/exact"
)

// Options of [Text].
type Options struct {
	// File names the Dockerfile.
	File string
	// ASCII avoids characters that some terminals do not have.
	ASCII bool
	// Width cuts commands so that lines fit; zero is 100 columns.
	Width int
}

// marks are the characters of a table.
type marks struct{ native, emulated, shared, impossible, unused, dot, ellipsis string }

func (o Options) marks() marks {
	if o.ASCII {
		return marks{"*", "^", "=", "x", "-", "|", "..."}
	}
	return marks{"●", "▲", "=", "✗", "—", "·", "…"}
}

// Text writes a plan on one screen.
func Text(w io.Writer, plan *exact.Result, opts Options) error {
	if opts.Width == 0 {
		opts.Width = 100
	}
	v := view{plan: plan, opts: opts, marks: opts.marks()}
	var b strings.Builder
	v.head(&b)
	v.table(&b)
	v.counts(&b)
	v.emulated(&b)
	v.findings(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

type view struct {
	plan  *exact.Result
	opts  Options
	marks marks
}

func (v view) head(b *strings.Builder) {
	parts := []string{v.opts.File, plural(len(v.reached()), "stage")}
	if v.plan.Target != "" {
		parts = append(parts, "target "+v.plan.Target)
	}
	parts = append(parts, "native "+v.plan.BuildPlatform)
	if list := v.emulatedPlatforms(); len(list) > 0 {
		parts = append(parts, "QEMU for "+strings.Join(list, " "))
	}
	if v.plan.Approximate {
		parts = append(parts, "approximate: "+v.plan.Syntax+" decides")
	}
	b.WriteString(strings.Join(parts, " "+v.marks.dot+" ") + "\n\n")
}

// reached are the stages that some platform needs.
func (v view) reached() []exact.Stage {
	return slices.DeleteFunc(slices.Clone(v.plan.Stages), func(s exact.Stage) bool { return len(s.ExecPlatform) == 0 })
}

func (v view) emulatedPlatforms() []string {
	var list []string
	for _, s := range v.plan.Steps {
		if s.State == exact.StateEmulated && !slices.Contains(list, s.ExecPlatform) {
			list = append(list, s.ExecPlatform)
		}
	}
	return list
}

func (v view) table(b *strings.Builder) {
	rows := [][]string{append([]string{"STAGE", "FROM"}, shortAll(v.plan.Platforms)...)}
	for _, stage := range v.reached() {
		row := []string{stage.Name, stage.Base}
		for _, p := range v.plan.Platforms {
			row = append(row, v.cell(stage, p))
		}
		rows = append(rows, row)
	}
	writeTable(b, rows)
	legend := fmt.Sprintf("%s native   %s shared with   %s emulated   %s impossible", v.marks.native, v.marks.shared, v.marks.emulated, v.marks.impossible)
	b.WriteString("\n  " + legend + "\n\n")
}

// cell tells how a stage runs for one platform.
func (v view) cell(stage exact.Stage, platform string) string {
	if _, ok := stage.ExecPlatform[platform]; !ok {
		return v.marks.unused
	}
	if v.impossible(stage, platform) {
		return v.marks.impossible
	}
	runs, emulated, sharedWith := 0, false, ""
	for _, s := range v.runs() {
		if s.Stage != stage.Name || !slices.Contains(s.Platforms, platform) {
			continue
		}
		runs++
		emulated = emulated || s.State == exact.StateEmulated
		if first := s.Platforms[0]; first != platform {
			sharedWith = first
		}
	}
	switch {
	case runs == 0:
		return v.marks.native + " copy"
	case sharedWith != "":
		return v.marks.shared + " " + short(sharedWith)
	case emulated:
		return fmt.Sprintf("%s %d RUN", v.marks.emulated, runs)
	}
	return fmt.Sprintf("%s %d RUN", v.marks.native, runs)
}

// runs are the steps that run a command.
func (v view) runs() []exact.Step {
	var list []exact.Step
	for _, s := range v.plan.Steps {
		if s.State != "" {
			list = append(list, s)
		}
	}
	return list
}

// impossible reports whether an error about the stage concerns the platform.
func (v view) impossible(stage exact.Stage, platform string) bool {
	return slices.ContainsFunc(v.plan.Findings, func(f exact.Finding) bool {
		return f.Rule == exact.RuleBasePlatform && f.Level == exact.LevelError && f.Stage == stage.Name && slices.Contains(f.Platforms, platform)
	})
}

func (v view) counts(b *strings.Builder) {
	requested, emulated := 0, 0
	for _, s := range v.runs() {
		requested += len(s.Platforms)
		if s.State == exact.StateEmulated {
			emulated++
		}
	}
	fmt.Fprintf(b, "  RUN steps  %d requested, %d distinct, %d emulated\n", requested, len(v.runs()), emulated)
	good := 0
	for _, base := range v.plan.Bases {
		if base.Err == nil && !hasMismatch(base) {
			good++
		}
	}
	fmt.Fprintf(b, "  Bases      %d of %d have all platforms\n\n", good, len(v.plan.Bases))
}

func hasMismatch(base exact.UsedBase) bool {
	for _, m := range base.Match {
		if m.Kind() != exact.MatchExact {
			return true
		}
	}
	return false
}

func (v view) emulated(b *strings.Builder) {
	some := false
	for _, s := range v.runs() {
		if s.State != exact.StateEmulated {
			continue
		}
		some = true
		line := fmt.Sprintf("  %s L%-4d %-12s emulated on %s: ", v.marks.emulated, s.Line, s.Stage, s.ExecPlatform)
		b.WriteString(line + v.cut(s.Command, v.opts.Width-utf8.RuneCountInString(line)) + "\n")
	}
	if some {
		b.WriteString("\n")
	}
}

func (v view) cut(text string, width int) string {
	text = strings.Join(strings.Fields(text), " ")
	runes := []rune(text)
	if width < 10 {
		width = 10
	}
	if len(runes) <= width {
		return text
	}
	return string(runes[:width-utf8.RuneCountInString(v.marks.ellipsis)]) + v.marks.ellipsis
}

func (v view) findings(b *strings.Builder) {
	counts := map[exact.Level]int{}
	for _, f := range v.plan.Findings {
		counts[f.Level]++
		fmt.Fprintf(b, "  %-7s %s  L%d", f.Level, f.Rule, f.Line)
		if f.Stage != "" {
			fmt.Fprintf(b, " (%s)", f.Stage)
		}
		fmt.Fprintf(b, "  %s\n", f.Message)
		if f.Fix != "" {
			fmt.Fprintf(b, "          %s\n", f.Fix)
		}
	}
	if len(v.plan.Findings) > 0 {
		b.WriteString("\n")
	}
	fmt.Fprintf(b, "%s, %s, %s\n", plural(counts[exact.LevelError], "error"), plural(counts[exact.LevelWarning], "warning"), plural(counts[exact.LevelNote], "note"))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
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

// writeTable aligns columns by characters; text/tabwriter counts bytes of none of
// the marks right on all terminals.
func writeTable(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		line := " "
		for i, cell := range row {
			line += " " + cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}
