package summary

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/mabuild/mabuild/builder/ci"
	"github.com/mabuild/mabuild/builder/report"
)

// timeline is a Gantt chart in Mermaid, which GitHub and GitLab draw. It begins at
// midnight of a day without a change of clocks anywhere, since Mermaid reads and writes
// times in the time zone of whoever looks at it.
func (s *page) timeline() string {
	steps := s.longest(mostTasks)
	if len(steps) < 2 {
		return ""
	}
	axis := "%M:%S"
	switch took := s.Duration(); {
	case took >= time.Hour:
		axis = "%H:%M:%S"
	case took < 12*time.Second: // its marks are parts of a second
		axis = "%S.%L"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n### Timeline\n\n```mermaid\n%%%%{init: {\"gantt\": {\"leftPadding\": 120}}}%%%%\ngantt\n    dateFormat YYYY-MM-DD HH:mm:ss.SSS\n    axisFormat %s\n", axis)
	sections := []string{"shared"}
	for _, p := range s.Platforms {
		sections = append(sections, p.Name)
	}
	for i, name := range sections {
		var tasks []task
		for _, step := range steps {
			if (i == 0) == (len(step.Platforms) != 1) && (i == 0 || step.Platforms[0] == name) {
				tasks = append(tasks, s.task(step))
			}
		}
		tasks = oneExport(tasks)
		if len(tasks) == 0 {
			continue
		}
		slices.SortStableFunc(tasks, func(x, y task) int { return cmp.Compare(x.from, y.from) })
		fmt.Fprintf(&b, "    section %s\n", mermaid(name))
		for _, t := range tasks {
			b.WriteString("    " + t.String() + "\n")
		}
	}
	return b.String() + "```\n\nRed failed; what is set off ran under emulation, with native tools or without.\n"
}

type task struct {
	name, tag  string
	from, took time.Duration
}

func (s *page) task(step *report.Step) task {
	t := task{name: "step " + mermaid(step.Name)}
	if step.Line > 0 {
		t.name = fmt.Sprintf("L%d %s", step.Line, mermaid(step.Name))
	}
	switch {
	case step.Error != "":
		t.tag = "crit, "
	case step.State == report.Emulated, step.State == report.Assisted:
		t.tag = "active, "
	}
	var from, to time.Time
	for _, i := range step.Intervals {
		if from.IsZero() || i.Started.Before(from) {
			from = i.Started
		}
		if i.Completed.After(to) {
			to = i.Completed
		}
	}
	t.from, t.took = max(from.Sub(s.Started), 0), max(to.Sub(from), time.Millisecond)
	return t
}

// exporting is how the names of BuildKit's exports begin.
const exporting = "step exporting to "

// oneExport makes one task of a platform's exports, which come in turns and would be drawn
// over each other.
func oneExport(tasks []task) []task {
	var list []task
	first := -1
	for _, t := range tasks {
		what, export := strings.CutPrefix(t.name, exporting)
		switch {
		case !export:
		case first < 0:
			first = len(list)
		default:
			known := &list[first]
			if !slices.Contains(strings.Split(strings.TrimPrefix(known.name, exporting), ", "), what) {
				known.name += ", " + what
			}
			end := max(known.from+known.took, t.from+t.took)
			known.from = min(known.from, t.from)
			known.took = end - known.from
			known.tag = max(known.tag, t.tag) // that it failed, if one did
			continue
		}
		list = append(list, t)
	}
	return list
}

func (t task) String() string {
	from := time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC).Add(t.from)
	return fmt.Sprintf("%s :%s%s, %dms", t.name, t.tag, from.Format("2006-01-02 15:04:05.000"), t.took.Milliseconds())
}

// mermaid keeps letters, digits and what has no meaning in Mermaid's language. A name
// is only safe behind another word: alone it might be a keyword.
func mermaid(text string) string {
	text = strings.Map(func(c rune) rune {
		if unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune("./-_=+,()", c) {
			return c
		}
		return ' '
	}, ci.OneLine(text))
	return cut(strings.Join(strings.Fields(text), " "), 50)
}
