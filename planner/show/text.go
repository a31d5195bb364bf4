package show

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mabuild/mabuild/planner/exact"
)

// Text writes a plan on one screen.
func Text(w io.Writer, plan *exact.Result, opts Options) error {
	v := newView(plan, opts)
	var b strings.Builder
	v.head(&b)
	v.table(&b)
	v.counts(&b)
	v.slow(&b)
	v.pins(&b)
	v.findings(&b)
	v.last(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (v *view) head(b *strings.Builder) {
	reached := 0
	for i := range v.stages {
		if v.stages[i].reached() {
			reached++
		}
	}
	dot := v.marks.dot
	text := clean(v.opts.File) + " " + dot + " " + plural(reached, "stage")
	if v.plan.Target != "" {
		text += " " + dot + " target " + v.plan.Target
	}
	text += " " + dot + " native " + v.plan.BuildPlatform
	if list := v.emulatedPlatforms(); len(list) > 0 {
		text += " " + dot + " QEMU for " + strings.Join(shortAll(list), " ")
	}
	if v.plan.Approximate {
		text += " " + dot + " approximate: " + v.plan.Syntax + " decides"
	}
	paragraph(b, "", text, v.opts.Width, 2)
	b.WriteString("\n")
}

func (v *view) counts(b *strings.Builder) {
	requested, emulated, assisted, impossible := 0, 0, 0, 0
	for _, s := range v.runs {
		requested += len(s.Platforms)
		switch {
		case v.dead[s.ID]:
			impossible++
		case s.State == exact.StateEmulated:
			emulated++
			if v.assists[s.ID].Recipe != "" {
				assisted++
			}
		}
	}
	text := fmt.Sprintf("%d requested, %d distinct, %d emulated", requested, len(v.runs), emulated)
	if assisted > 0 {
		text += fmt.Sprintf(" (%d of them assisted)", assisted)
	}
	if impossible > 0 {
		text += fmt.Sprintf(", %d impossible", impossible)
	}
	paragraph(b, "  RUN steps  ", text, v.opts.Width, 13)
	good := 0
	for _, base := range v.plan.Bases {
		if base.Err == nil && !hasMismatch(base) {
			good++
		}
	}
	paragraph(b, "  Bases      ", fmt.Sprintf("%d of %d have all platforms", good, len(v.plan.Bases)), v.opts.Width, 13)
	if text := v.forecast(); text != "" {
		paragraph(b, "  Forecast   ", text, v.opts.Width, 13)
	}
	b.WriteString("\n")
}

// forecast sums up how long it will take, nothing if that is not known.
func (v *view) forecast() string {
	f := v.opts.Forecast
	if f == nil || f.Known == 0 {
		return ""
	}
	text := duration(f.Total)
	if f.Spread > 0 {
		text += " " + v.marks.spread + duration(f.Spread)
	}
	if f.Slowest != "" {
		text += "; slowest " + f.Slowest + " " + duration(f.Platforms[f.Slowest].Duration)
		if f.Dominant.Line > 0 {
			text += fmt.Sprintf(", %.0f%% of it L%d", 100*f.Dominant.Share, f.Dominant.Line)
		}
	}
	if f.Unknown > 0 {
		text += fmt.Sprintf("; without %s never measured", plural(f.Unknown, "RUN step"))
	}
	return text + " (" + plural(f.Builds, "earlier build") + ")"
}

func hasMismatch(base exact.UsedBase) bool {
	for _, m := range base.Match {
		if m.Kind() != exact.MatchExact {
			return true
		}
	}
	return false
}

// slowRun is a line whose command is emulated, for one platform or several.
type slowRun struct {
	line      int
	stage     string
	command   string
	platforms []string
	steps     []exact.Step
	time      time.Duration // of the slowest
}

// slowShown is how many emulated commands are shown.
const slowShown = 6

// emulatedRuns returns the commands that are emulated, the slowest first if that is known.
func (v *view) emulatedRuns() []slowRun {
	var list []slowRun
	at := make(map[int]int) // by line
	for _, s := range v.runs {
		if s.State != exact.StateEmulated || v.dead[s.ID] {
			continue
		}
		i, ok := at[s.Line]
		if !ok {
			i = len(list)
			at[s.Line] = i
			list = append(list, slowRun{line: s.Line, stage: s.Stage, command: commandText(s.Command)})
		}
		list[i].steps = append(list[i].steps, s)
		if !slices.Contains(list[i].platforms, short(s.ExecPlatform)) {
			list[i].platforms = append(list[i].platforms, short(s.ExecPlatform))
		}
		list[i].time = max(list[i].time, v.estimate(s.ID))
	}
	slices.SortStableFunc(list, func(a, b slowRun) int { return cmp.Compare(b.time, a.time) })
	return list
}

var runFlags = regexp.MustCompile(`^RUN\s+(--[a-z]+(=\S+)?\s+)*`)

// commandText leaves out what is the same in front of most commands.
func commandText(command string) string {
	if text := runFlags.ReplaceAllString(command, ""); text != "" {
		return text
	}
	return command
}

func (v *view) slow(b *strings.Builder) {
	list := v.emulatedRuns()
	if len(list) == 0 {
		return
	}
	shown := list[:min(len(list), slowShown)]
	line, stage, on, help, times := 0, 0, 0, 0, 0
	for _, r := range shown {
		line = max(line, len(fmt.Sprint(r.line)))
		stage = max(stage, columns(clean(r.stage)))
		on = max(on, columns(strings.Join(r.platforms, " ")))
		help = max(help, columns(v.helpText(r)))
		if r.time > 0 {
			times = max(times, len(duration(r.time))+2)
		}
	}
	stage, on = min(stage, v.opts.Width/6), min(on, v.opts.Width/4)
	if room := v.opts.Width - (len("  ^ L") + line + 2 + stage + 2 + on + 2 + help + 2 + times); room < 8 {
		help = 0 // the mark has to do
	}
	for _, r := range shown {
		text := fmt.Sprintf("  %s L%s  %s  %s  ", v.runMark(r), pad(fmt.Sprint(r.line), line),
			pad(cut(r.stage, stage, v.marks.ellipsis), stage), pad(cut(strings.Join(r.platforms, " "), on, v.marks.ellipsis), on))
		if help > 0 {
			text += pad(v.helpText(r), help) + "  "
		}
		if times > 0 {
			known := "?"
			if r.time > 0 {
				known = duration(r.time)
			}
			text += pad(known, times)
		}
		b.WriteString(text + cut(r.command, v.opts.Width-columns(text), v.marks.ellipsis) + "\n")
		paragraph(b, "        ", v.whereText(r), v.opts.Width, 8)
	}
	if more := len(list) - len(shown); more > 0 {
		fmt.Fprintf(b, "  and %d more: --format=json\n", more)
	}
	v.unassisted(b, list)
	v.tools(b, list)
	b.WriteString("\n")
}

func (v *view) findings(b *strings.Builder) {
	for _, f := range v.plan.Findings {
		v.finding(b, f)
	}
	if len(v.plan.Findings) > 0 {
		b.WriteString("\n")
	}
}

// finding writes one finding. Its words go below each other if they do not fit.
func (v *view) finding(b *strings.Builder, f exact.Finding) {
	const indent = 10
	text := clean(f.Rule)
	if f.Line > 0 {
		text += fmt.Sprintf("  L%d", f.Line)
	}
	if f.Stage != "" {
		text += " (" + cut(f.Stage, 24, v.marks.ellipsis) + ")"
	}
	prefix := fmt.Sprintf("  %-7s %s  ", f.Level, text)
	if columns(prefix) > v.opts.Width/2 {
		b.WriteString("  " + pad(string(f.Level), 7) + " " + cut(text, v.opts.Width-indent, v.marks.ellipsis) + "\n")
		prefix = strings.Repeat(" ", indent)
	}
	paragraph(b, prefix, f.Message, v.opts.Width, indent)
	if f.Fix != "" {
		paragraph(b, strings.Repeat(" ", indent), f.Fix, v.opts.Width, indent)
	}
}

// last counts the findings and says where there is more.
func (v *view) last(b *strings.Builder) {
	counts := make(map[exact.Level]int)
	for _, f := range v.plan.Findings {
		counts[f.Level]++
	}
	text := fmt.Sprintf("%s, %s, %s", plural(counts[exact.LevelError], "error"), plural(counts[exact.LevelWarning], "warning"), plural(counts[exact.LevelNote], "note"))
	more := "more:"
	if line := v.puzzling(); line > 0 {
		more += fmt.Sprintf(" --explain L%d", line)
	}
	more += " --format=json|svg"
	if len(v.plan.Findings) > 0 {
		more += "|sarif"
	}
	if columns(text)+5+columns(more) <= v.opts.Width {
		b.WriteString(text + "     " + more + "\n")
		return
	}
	paragraph(b, "", text, v.opts.Width, 2)
	paragraph(b, "", more, v.opts.Width, 2)
}

// puzzling is the line that is most worth explaining: a command that a finding
// is about, or one that is emulated, or one that runs several times.
func (v *view) puzzling() int {
	for _, f := range v.plan.Findings {
		for _, s := range v.runs {
			if s.Line <= f.Line && f.Line <= s.EndLine {
				return s.Line
			}
		}
		if f.Rule == exact.RuleArgEarly {
			return v.repeated(f.Line, func(s exact.Step) string { return s.ExecPlatform })
		}
	}
	if list := v.emulatedRuns(); len(list) > 0 {
		return list[0].line
	}
	return v.repeated(0, func(exact.Step) string { return "" })
}

// repeated is the first line after another one whose command runs more than once,
// where only runs with the same key count.
func (v *view) repeated(after int, key func(exact.Step) string) int {
	seen := make(map[string]bool)
	for _, s := range v.runs {
		k := fmt.Sprintf("%d %s", s.Line, key(s))
		if s.Line > after && seen[k] {
			return s.Line
		}
		seen[k] = true
	}
	return 0
}
