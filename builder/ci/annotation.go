package ci

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mabuild/mabuild/builder/report"
)

// Level is how bad what an annotation says is.
type Level string

// The levels. GitHub's names are used, since it has all of them.
const (
	Error   Level = "error"
	Warning Level = "warning"
	Notice  Level = "notice"
)

// Annotation is something about a line of a file.
type Annotation struct {
	Level Level
	File  string // relative to the repository
	Line  int    // zero if it is about the file, or no file
	// Title says which platforms it concerns.
	Title   string
	Message string // may have several lines
}

// lastLines is how much of a step's output an annotation has.
const lastLines = 3

// Annotations are those of a build: what failed and the findings of the plan, errors
// first. File is the Dockerfile as the repository has it, and may be empty. What is the
// same on several platforms is told once.
func Annotations(b *report.Build, file string) []Annotation {
	if file != "" {
		file = path.Clean(file)
	}
	var all merged
	foretold := make(map[int]bool) // findings about what failed then
	for i := range b.Steps {
		s := &b.Steps[i]
		if found := lookup(b, s); found >= 0 && s.Error != "" {
			foretold[found] = true
			f := &b.Findings[found]
			all.add(s.Platforms, Annotation{Level: Error, File: file, Line: f.Line, Message: Cause(s.Error) + "\n" + OneLine(f.Fix)}, nil)
		} else if s.Error != "" {
			all.add(s.Platforms, Annotation{Level: Error, File: file, Line: s.Line, Message: OneLine(s.Name) + ": " + Cause(s.Error)}, tail(s.Log, lastLines))
		}
	}
	for i := range b.Platforms {
		p := &b.Platforms[i]
		if p.Error != "" && !slices.ContainsFunc(b.Steps, func(s report.Step) bool { return s.Error != "" && slices.Contains(s.Platforms, p.Name) }) {
			all.add([]string{p.Name}, Annotation{Level: Error, Message: Visible(p.Error)}, nil)
		}
	}
	refused := slices.ContainsFunc(b.Findings, func(f report.Finding) bool { return f.Level == "error" && strings.Contains(b.Error, f.Message) })
	if len(all) == 0 && b.Error != "" && !refused { // or the findings say it at their lines
		all.add(nil, Annotation{Level: Error, Message: Visible(b.Error)}, nil)
	}
	for i, f := range b.Findings {
		if foretold[i] {
			continue
		}
		a := Annotation{Level: Warning, File: file, Line: f.Line, Message: OneLine(f.Message)}
		switch f.Level {
		case "error":
			if b.Error != "" { // or it went well all the same
				a.Level = Error
			}
		case "note":
			a.Level = Notice
		}
		if f.Fix != "" {
			a.Message += "\n" + OneLine(f.Fix)
		}
		a.Message += "\n" + strings.TrimSpace(OneLine(f.Rule)+" "+OneLine(f.URL))
		all.add(f.Platforms, a, nil)
	}
	return all.list(len(b.Platforms))
}

// baseUnavailable is the rule of the plan for bases that it could not look up.
const baseUnavailable = "base-unavailable"

// lookup finds the finding about the base image that a step looks for, which knows the
// line and what to do; -1 is none. BuildKit ties such a step to no line, and its name has
// the whole reference where the Dockerfile may leave out the registry and the tag.
func lookup(b *report.Build, s *report.Step) int {
	_, name, found := strings.Cut(s.Name, "load metadata for ")
	if !found || s.Line > 0 {
		return -1
	}
	return slices.IndexFunc(b.Findings, func(f report.Finding) bool {
		reference, _, _ := strings.Cut(f.Message, " ")
		at := strings.Index("/"+name, "/"+reference)
		if f.Rule != baseUnavailable || at < 0 {
			return false
		}
		rest := name[at+len(reference):]
		return rest == "" || rest[0] == ':' || rest[0] == '@'
	})
}

// merged are annotations with the platforms that they concern.
type merged []*concerned

type concerned struct {
	Annotation
	platforms []string
	output    []string // not compared: it tells the platform's name, times and the like
}

func (m *merged) add(platforms []string, a Annotation, output []string) {
	for _, known := range *m {
		if known.Annotation == a {
			for _, p := range platforms {
				if !slices.Contains(known.platforms, p) {
					known.platforms = append(known.platforms, p)
				}
			}
			return
		}
	}
	*m = append(*m, &concerned{a, slices.Clone(platforms), output})
}

func (m merged) list(platforms int) []Annotation {
	var list []Annotation
	for _, c := range m {
		a := c.Annotation
		a.Title = strings.Join(c.platforms, ", ")
		if len(c.platforms) > 2 && len(c.platforms) == platforms {
			a.Title = "all platforms"
		}
		for _, line := range c.output {
			a.Message += "\n" + plain(line)
		}
		list = append(list, a)
	}
	order := []Level{Error, Warning, Notice}
	slices.SortStableFunc(list, func(x, y Annotation) int {
		return cmp.Or(slices.Index(order, x.Level)-slices.Index(order, y.Level), x.Line-y.Line)
	})
	return list
}

// failedProcess is how BuildKit tells of a command that failed. It repeats all of the
// command, which the name of the step has already said.
var failedProcess = regexp.MustCompile(`process ".*" did not complete successfully: `)

// Cause is an error on one line, without the command that failed.
func Cause(text string) string { return failedProcess.ReplaceAllString(OneLine(text), "") }

func tail(lines []string, n int) []string { return lines[max(len(lines)-n, 0):] }

// MaxAnnotations is how many of a level GitHub shows of a step.
const MaxAnnotations = 10

// limit replaces those of a level that are too many by one that counts them.
func limit(list []Annotation) []Annotation {
	total, kept := make(map[Level]int), make(map[Level]int)
	for _, a := range list {
		total[a.Level]++
	}
	var out []Annotation
	for _, a := range list {
		kept[a.Level]++
		switch {
		case total[a.Level] <= MaxAnnotations || kept[a.Level] < MaxAnnotations:
			out = append(out, a)
		case kept[a.Level] == MaxAnnotations:
			left := total[a.Level] - MaxAnnotations + 1
			out = append(out, Annotation{Level: a.Level, Message: fmt.Sprintf("and %d more; all are in the summary of the job", left)})
		}
	}
	return out
}

// Annotate writes annotations: as commands of GitHub, Azure and TeamCity, as lines for
// the others.
func (l *Log) Annotate(list []Annotation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if l.system == GitHub {
		list = limit(list)
	}
	if len(list) > 0 {
		l.resume()
	}
	for _, a := range list {
		a.File, a.Title, a.Message = l.text(a.File), l.text(a.Title), l.paragraph(a.Message)
		if command := l.system.annotation(a); command != "" {
			l.put(command)
			continue
		}
		for i, line := range strings.Split(a.String(), "\n") {
			if i > 0 {
				line = "  " + line
			}
			l.put(l.system.defuse(line))
		}
	}
}

// paragraph is what text is for several lines. The runner writes them into the log,
// where each of them begins a line.
func (l *Log) paragraph(text string) string {
	lines := strings.Split(l.secrets.Mask(Visible(l.secrets.Mask(text))), "\n")
	for i, line := range lines {
		lines[i] = l.system.defuse(line)
	}
	return strings.Join(lines, "\n")
}

// String is the annotation as compilers write it.
func (a Annotation) String() string {
	var b strings.Builder
	if a.File != "" {
		b.WriteString(a.File)
		if a.Line > 0 {
			fmt.Fprintf(&b, ":%d", a.Line)
		}
		b.WriteString(": ")
	}
	fmt.Fprintf(&b, "%s: ", a.Level)
	if a.Title != "" {
		fmt.Fprintf(&b, "%s: ", a.Title)
	}
	return b.String() + a.Message
}

// annotation is the command for one, empty where there is none.
func (s System) annotation(a Annotation) string {
	line := ""
	if a.Line > 0 && a.File != "" {
		line = strconv.Itoa(a.Line)
	}
	text := a.Message
	if a.Title != "" {
		text = a.Title + ": " + text
	}
	switch s {
	case GitHub:
		return githubCommand(string(a.Level), a.Message, "file", a.File, "line", line, "title", a.Title)
	case Azure:
		if a.Level != Notice { // it knows errors and warnings
			return azureCommand("task.logissue", text, "type", string(a.Level), "sourcepath", a.File, "linenumber", line)
		}
	case TeamCity:
		status := map[Level]string{Error: "ERROR", Warning: "WARNING", Notice: "NORMAL"}[a.Level]
		return teamcityMessage("message", "text", a.String(), "status", status)
	}
	return ""
}
