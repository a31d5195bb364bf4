package summary

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mabuild/mabuild/builder/ci"
	"github.com/mabuild/mabuild/builder/report"
)

// Max is how many bytes GitHub takes of a step's summary. A longer one is
// refused, and the step gets an error.
const Max = 1 << 20

// Options say what is in a summary.
type Options struct {
	// Secrets are hidden.
	Secrets *ci.Secrets
	// File is the Dockerfile as the repository has it. Default: that of the build.
	File string
	// LogLines is how many lines a failed step has. Default: 40.
	LogLines int
	// Slowest is the length of the list of steps that took longest. Default: 5.
	Slowest int
	// MaxBytes is the longest that the summary may be. Default: Max less a
	// reserve of 4 KiB for what others write in the same step.
	MaxBytes int
}

// What a list is cut to. What is left out is counted.
const (
	mostFailures = 20
	mostFindings = 50
	mostNames    = 20
	mostTasks    = 40
	mostLine     = 500 // characters of a line of output
	mostText     = 160 // characters of a command
	mostStep     = 80  // and of one in a table, which has to fit on the page
)

// Write writes what became of a build as Markdown for a page of the CI system.
func Write(w io.Writer, b *report.Build, opts Options) error {
	if opts.LogLines <= 0 {
		opts.LogLines = 40
	}
	if opts.Slowest <= 0 {
		opts.Slowest = 5
	}
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = Max - 4<<10
	}
	s := page{Build: opts.Secrets.Redact(b), opts: opts}
	s.opts.File = cmp.Or(opts.File, s.File, "Dockerfile")
	sections := []part{
		{"", s.heading() + s.platforms()},
		{"failures", s.failures()},
		{"findings", s.findings()},
		{"the slowest steps", s.slowest()},
		{"the timeline", s.timeline()},
	}
	if _, err := io.WriteString(w, fit(sections, opts.MaxBytes)); err != nil {
		return fmt.Errorf("writing the summary: %w", err)
	}
	return nil
}

type page struct {
	*report.Build
	opts Options
}

// part is a part of a summary; those that come later are less important.
type part struct{ name, text string }

// fit leaves out the last sections of those that are too much.
func fit(sections []part, most int) string {
	const note = "\n> Too long for a summary, and left out: "
	size, missing := 0, 0
	for _, s := range sections {
		size += len(s.text)
		missing += len(s.name) + len(", ")
	}
	var left []string
	for i := len(sections) - 1; i > 0 && size > most-missing-len(note); i-- {
		if sections[i].text != "" {
			size -= len(sections[i].text)
			left = append(left, sections[i].name)
			sections[i].text = ""
		}
	}
	var b strings.Builder
	for _, s := range sections {
		b.WriteString(s.text)
	}
	if len(left) > 0 {
		slices.Reverse(left)
		b.WriteString(note + strings.Join(left, ", ") + "\n")
	}
	text := b.String()
	for len(text) > most { // the last lines of the table
		text = text[:strings.LastIndexByte(text[:len(text)-1], '\n')+1]
	}
	return text
}

func (s *page) heading() string {
	var b strings.Builder
	var failed []string
	for i := range s.Platforms {
		if p := &s.Platforms[i]; s.failed(p) {
			failed = append(failed, markdown(p.Name))
		}
	}
	switch {
	case s.Error != "" && len(failed) > 0:
		fmt.Fprintf(&b, "## ❌ %s failed after %s\n\n", strings.Join(failed, ", "), report.FormatDuration(s.Duration()))
	case s.Error == "interrupted", s.Error == "terminated":
		fmt.Fprintf(&b, "## ⏹️ The build was %s after %s\n\n", s.Error, report.FormatDuration(s.Duration()))
	case s.Error != "":
		fmt.Fprintf(&b, "## ❌ The build failed after %s\n\n", report.FormatDuration(s.Duration()))
	case len(failed) > 0:
		fmt.Fprintf(&b, "## ⚠️ Built without %s in %s\n\n", strings.Join(failed, ", "), report.FormatDuration(s.Duration()))
	default:
		fmt.Fprintf(&b, "## ✅ %s in %s\n\n", report.Amount(len(s.Platforms), "platform"), report.FormatDuration(s.Duration()))
	}
	for i, name := range s.Names {
		if i == mostNames {
			fmt.Fprintf(&b, "and %d more names  \n", len(s.Names)-i)
			break
		}
		fmt.Fprintf(&b, "%s  \n", code(cut(name, mostText)))
	}
	if s.Digest != "" {
		fmt.Fprintf(&b, "%s\n", code(s.Digest))
	}
	return strings.TrimRight(b.String(), " \n") + "\n\n"
}

// failed reports whether a platform has no result because of itself. In a build that was
// interrupted only its step says so.
func (s *page) failed(p *report.Platform) bool {
	return p.Error != "" || p.Digest == "" && slices.ContainsFunc(s.Steps, func(step report.Step) bool {
		return step.Error != "" && slices.Contains(step.Platforms, p.Name)
	})
}

func (s *page) platforms() string {
	t := table{head: []string{"Platform", "Commands", "Time:", "Cached:", "Size:", "Digest"}}
	for i := range s.Platforms {
		p := &s.Platforms[i]
		mark, size := "✅", ""
		switch {
		case s.failed(p):
			mark = "❌"
		case p.Canceled:
			mark = "⏹️"
		case p.Started.IsZero():
			mark = "➖"
		}
		if len(p.Layers) > 0 {
			size = report.FormatSize(p.Size())
		}
		commands, cached := s.commands(p.Name)
		t.rows = append(t.rows, []string{mark + " " + markdown(p.Name), commands, report.FormatDuration(p.Completed.Sub(p.Started)), cached, size, code(shortDigest(p.Digest))})
	}
	return t.String()
}

// commands says how a platform's commands ran, and how many of its steps did not.
func (s *page) commands(platform string) (how, cached string) {
	states := []report.State{report.Native, report.Assisted, report.Emulated}
	count, took := make([]int, len(states)), make([]time.Duration, len(states))
	steps, found := 0, 0
	for i := range s.Steps {
		step := &s.Steps[i]
		if step.Kind == "internal" || !slices.Contains(step.Platforms, platform) {
			continue
		}
		steps++
		if step.Cached {
			found++
		}
		if state := slices.Index(states, step.State); state >= 0 {
			count[state]++
			took[state] += step.Duration()
		}
	}
	var list []string
	for i, state := range states {
		if count[i] == 0 {
			continue
		}
		text := fmt.Sprintf("%d %s", count[i], state)
		if took[i] > 0 {
			text += fmt.Sprintf(" (%s)", report.FormatDuration(took[i]))
		}
		list = append(list, text)
	}
	return cmp.Or(strings.Join(list, ", "), "none"), fmt.Sprintf("%d of %d", found, steps)
}

func (s *page) failures() string {
	var b strings.Builder
	if s.Error != "" {
		lines := strings.Split(strings.TrimSpace(s.Error), "\n")
		for i, line := range lines {
			lines[i] = ci.Cause(line)
		}
		b.WriteString("\n### Why\n\n" + fence(shorten(lines[:min(len(lines), s.opts.LogLines)])))
	}
	told := 0
	for _, step := range s.failedSteps() {
		if told++; told > mostFailures {
			continue
		}
		fmt.Fprintf(&b, "\n%s %s on %s: %s\n", code(s.place(step.Line)), code(cut(ci.OneLine(step.Name), mostText)), s.concerned(step.Platforms), markdown(cut(ci.Cause(step.Error), mostLine)))
		if lines := step.Log[max(len(step.Log)-s.opts.LogLines, 0):]; len(lines) > 0 {
			if left := step.LogOmitted + len(step.Log) - len(lines); left > 0 {
				fmt.Fprintf(&b, "\nThe last %s of its output, of %d:\n", report.Amount(len(lines), "line"), left+len(lines))
			}
			b.WriteString("\n" + fence(shorten(lines)))
		}
	}
	if told > mostFailures {
		fmt.Fprintf(&b, "\nand %d more\n", told-mostFailures)
	}
	return b.String()
}

// failedSteps are the steps that failed. Of those that have the same to say, with no output
// of their own, the first stands for all platforms.
func (s *page) failedSteps() []*report.Step {
	var steps []*report.Step
	for i := range s.Steps {
		step := s.Steps[i]
		if step.Error == "" {
			continue
		}
		same := slices.IndexFunc(steps, func(known *report.Step) bool {
			return len(step.Log)+len(known.Log) == 0 && known.Line == step.Line && known.Name == step.Name && known.Error == step.Error
		})
		if same < 0 {
			step.Platforms = slices.Clone(step.Platforms)
			steps = append(steps, &step)
			continue
		}
		steps[same].Platforms = append(steps[same].Platforms, step.Platforms...)
	}
	return steps
}

// place is where a step stands.
func (s *page) place(line int) string {
	if line == 0 {
		return s.opts.File
	}
	return fmt.Sprintf("%s:%d", s.opts.File, line)
}

func shorten(lines []string) []string {
	short := make([]string, len(lines))
	for i, line := range lines {
		short[i] = cut(ci.Visible(line), mostLine)
	}
	return short
}

func (s *page) slowest() string {
	steps := s.longest(s.opts.Slowest)
	if len(steps) == 0 {
		return ""
	}
	t := table{head: []string{"Time:", "Platforms", "How", "Line:", "Step"}} // the widest last
	for _, step := range steps {
		line := ""
		if step.Line > 0 {
			line = fmt.Sprint(step.Line)
		}
		t.rows = append(t.rows, []string{report.FormatDuration(step.Duration()), s.concerned(step.Platforms), markdown(string(step.State)), line, code(cut(ci.OneLine(step.Name), mostStep))})
	}
	return "\n### Slowest steps\n\n" + t.String()
}

// concerned are platforms, in one word if they are many and all there are.
func (s *page) concerned(platforms []string) string {
	if len(platforms) > 2 && len(platforms) == len(s.Platforms) {
		return "all"
	}
	return markdown(strings.Join(platforms, ", "))
}

// longest are the steps that took longest, those first. What BuildKit does beside the
// Dockerfile is only worth a line if it is a good part of the build, or failed.
func (s *page) longest(n int) []*report.Step {
	const part = 20
	var steps []*report.Step
	for i := range s.Steps {
		step := &s.Steps[i]
		if took := step.Duration(); took > 0 && (step.Kind != "internal" || step.Error != "" || took*part > s.Duration()) {
			steps = append(steps, step)
		}
	}
	slices.SortStableFunc(steps, func(x, y *report.Step) int { return cmp.Compare(y.Duration(), x.Duration()) })
	return steps[:min(len(steps), n)]
}

// distinctFindings has what is found on several platforms once.
func (s *page) distinctFindings() []report.Finding {
	var list []report.Finding
	for _, f := range s.Findings {
		same := slices.IndexFunc(list, func(known report.Finding) bool {
			return known.Rule == f.Rule && known.Level == f.Level && known.Line == f.Line && known.Message == f.Message && known.Fix == f.Fix
		})
		if same < 0 {
			f.Platforms = slices.Clone(f.Platforms)
			list = append(list, f)
			continue
		}
		for _, platform := range f.Platforms {
			if !slices.Contains(list[same].Platforms, platform) {
				list[same].Platforms = append(list[same].Platforms, platform)
			}
		}
	}
	return list
}

// link matches the addresses that are made links: those of pages about rules.
var link = regexp.MustCompile(`^https://[A-Za-z0-9.-]+(?:/[A-Za-z0-9./_-]*)?(?:#[A-Za-z0-9_-]*)?$`)

func (s *page) findings() string {
	findings := s.distinctFindings()
	if len(findings) == 0 {
		return ""
	}
	marks := map[string]string{"error": "❌", "warning": "⚠️"}
	t := table{head: []string{"", "Line:", "Rule", "Platforms", "Finding"}}
	for i, f := range findings {
		if i == mostFindings {
			break
		}
		rule, line, text := code(f.Rule), "", markdown(cut(f.Message, mostLine))
		if link.MatchString(f.URL) {
			rule = "[" + rule + "](" + f.URL + ")"
		}
		if f.Line > 0 {
			line = fmt.Sprint(f.Line)
		}
		if f.Fix != "" {
			text += "<br>" + markdown(cut(f.Fix, mostLine))
		}
		t.rows = append(t.rows, []string{cmp.Or(marks[f.Level], "ℹ️"), line, rule, s.concerned(f.Platforms), text})
	}
	text := "\n### Findings\n\n" + t.String()
	if more := len(findings) - mostFindings; more > 0 {
		text += fmt.Sprintf("\nand %d more\n", more)
	}
	return text
}
