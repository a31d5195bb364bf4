package show

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/exact"
)

// Explain writes all that is known about a line of the Dockerfile.
func Explain(w io.Writer, e *exact.Explanation, opts Options) error {
	opts = opts.complete()
	s := &sheet{view: &view{plan: &exact.Result{}, opts: opts, marks: opts.marks(), assists: opts.assists()}, e: e}
	s.headline()
	s.table()
	s.programs()
	s.assist()
	s.needs()
	s.stage()
	s.pin()
	s.why()
	s.bases()
	s.b.WriteString("\n")
	for _, f := range e.Findings {
		s.finding(&s.b, f)
	}
	// Parts end or start with an empty line, whether or not there is another one.
	text := emptyLines.ReplaceAllString(strings.TrimRight(s.b.String(), "\n")+"\n", "\n\n")
	_, err := io.WriteString(w, text)
	return err
}

var emptyLines = regexp.MustCompile(`\n{3,}`)

// sheet is the explanation in the making.
type sheet struct {
	*view
	e *exact.Explanation
	b strings.Builder
}

// lines writes a place: L14, or L14-16.
func lines(place exact.Place) string {
	if place.EndLine > place.Line {
		return fmt.Sprintf("L%d-%d", place.Line, place.EndLine)
	}
	return fmt.Sprintf("L%d", place.Line)
}

func (s *sheet) headline() {
	text := clean(s.opts.File) + " " + lines(s.e.Place)
	if s.e.Instruction != "" {
		text += " " + s.marks.dot + " " + s.e.Instruction
	}
	if s.e.Stage != "" {
		text += " " + s.marks.dot + " stage " + s.e.Stage
	}
	if s.e.From != "" && s.e.Instruction != "FROM" {
		text += ", FROM " + s.e.From
	}
	if len(s.e.Exec) == 0 {
		text += " " + s.marks.dot + " not needed by the target"
	}
	paragraph(&s.b, "", text, s.opts.Width, 2)
	s.b.WriteString("\n")
	if s.e.Command == "" {
		return
	}
	shown := wrap(clean(assist.StepName(s.e.Command)), s.opts.Width, 4, 4)
	if len(s.e.Runs) > 0 && strings.Contains(s.e.Command, "<<") {
		shown = append(shown, s.script(s.e.Runs[0].Args)...)
	}
	const most = 8
	for i, line := range shown {
		if i == most && len(shown) > most+1 {
			fmt.Fprintf(&s.b, "    %s %d more lines\n", s.marks.ellipsis, len(shown)-most)
			break
		}
		s.b.WriteString("    " + line + "\n")
	}
	s.b.WriteString("\n")
}

// script is the text of a heredoc, which is not in the command but in its words.
func (s *sheet) script(args []string) []string {
	if len(args) < 2 {
		return nil
	}
	var list []string
	for line := range strings.Lines(args[len(args)-1]) {
		if line = cut(line, s.opts.Width-6, s.marks.ellipsis); line != "" {
			list = append(list, "  "+line)
		}
	}
	return list
}

// table has a row per run.
func (s *sheet) table() {
	if len(s.e.Runs) == 0 {
		return
	}
	platforms := 0
	for _, r := range s.e.Runs {
		platforms += len(r.Platforms)
	}
	what := "run"
	if s.e.Runs[0].Kind != "exec" {
		what = "step"
	}
	fmt.Fprintf(&s.b, "  %s for %s\n", plural(len(s.e.Runs), what), plural(platforms, "platform"))
	on, times := 0, 0
	for _, r := range s.e.Runs {
		on = max(on, columns(s.executes(r)))
		times = max(times, columns(s.time(r)))
	}
	for _, r := range s.e.Runs {
		mark := s.marks.native
		switch {
		case s.assists[r.ID].Recipe != "":
			mark = s.marks.assisted
		case r.State == exact.StateEmulated:
			mark = s.marks.emulated
		}
		text := "  " + mark + " " + pad(s.executes(r), on) + "  "
		if times > 0 {
			text += pad(s.time(r), times) + "  "
		}
		paragraph(&s.b, text, "for "+strings.Join(r.Platforms, " "), s.opts.Width, columns(text))
	}
}

// executes says where a run takes place.
func (s *sheet) executes(r exact.Run) string {
	switch {
	case r.State != "":
		return string(r.State) + " on " + r.ExecPlatform
	case r.ExecPlatform != "":
		return r.ExecPlatform + " image"
	}
	return "by BuildKit itself"
}

func (s *sheet) time(r exact.Run) string {
	if t := s.estimate(r.ID); t > 0 {
		return duration(t)
	}
	return ""
}

// needs lists what the runs build on, once if it is the same.
func (s *sheet) needs() {
	var needs, mounts []string
	for _, r := range s.e.Runs {
		for _, n := range r.Needs {
			if text := s.needText(n); !slices.Contains(needs, text) {
				needs = append(needs, text)
			}
		}
		for _, m := range r.Mounts {
			if text := mountText(m); !slices.Contains(mounts, text) {
				mounts = append(mounts, text)
			}
		}
	}
	if len(needs)+len(mounts) == 0 {
		return
	}
	s.b.WriteString("\n")
	s.group("needs", needs)
	s.group("mounts", mounts)
}

// group writes a word and a list, a line for each.
func (s *sheet) group(word string, items []string) {
	const most = 8
	for i, item := range items {
		if i > 0 {
			word = ""
		}
		if i == most && len(items) > most+1 {
			fmt.Fprintf(&s.b, "%11s%d more: --format=json\n", "", len(items)-most)
			return
		}
		s.b.WriteString("  " + pad(word, 9) + cut(item, s.opts.Width-11, s.marks.ellipsis) + "\n")
	}
}

func (s *sheet) needText(n exact.Step) string {
	switch {
	case n.Line == 0 && n.Kind == "local":
		return "the build context"
	case n.Line == 0:
		return clean(n.Command)
	case n.Place == s.e.Place:
		return imageName(n.Command)
	}
	return lines(n.Place) + " " + clean(assist.StepName(n.Command))
}

// imageName finds the reference in FROM --platform=… NAME AS …
func imageName(command string) string {
	for _, word := range strings.Fields(command) {
		if word != "FROM" && !strings.HasPrefix(word, "--") {
			name, _, _ := strings.Cut(word, "@")
			return clean(name)
		}
	}
	return clean(command)
}

func mountText(m exact.Mount) string {
	text := string(m.Type) + " " + m.Target
	if m.ID != "" {
		text += ", id " + strings.TrimPrefix(m.ID, "/") // which BuildKit puts before
	}
	if m.Sharing != "" {
		text += ", " + m.Sharing
	}
	return clean(text)
}

// stage tells of a FROM what it starts from and who needs it.
func (s *sheet) stage() {
	if s.e.Instruction != "FROM" {
		return
	}
	var from, exec, users []string
	for _, e := range s.e.Edges {
		if e.Kind == exact.EdgeFrom && e.Stage != "" {
			from = append(from, "stage "+clean(e.Stage)+" for "+strings.Join(e.Platforms, " "))
		}
	}
	for _, platform := range s.e.Platforms {
		if on, ok := s.e.Exec[platform]; ok {
			exec = append(exec, on+" for "+platform)
		}
	}
	for _, u := range s.e.Users {
		users = append(users, strings.TrimSpace(fmt.Sprintf("L%d %s in stage %s", u.Line, strings.ToUpper(string(u.Kind)), clean(u.Stage))))
	}
	if len(s.e.Runs) > 0 {
		s.b.WriteString("\n")
	}
	s.group("from", from)
	s.group("runs on", exec)
	s.group("used by", users)
}

// bases tells what images offer.
func (s *sheet) bases() {
	for _, base := range s.e.Bases {
		s.b.WriteString("\n  " + cutReference(base.Ref, s.opts.Width-2, s.marks.ellipsis) + "\n")
		if base.Err != nil {
			paragraph(&s.b, "    ", base.Err.Error(), s.opts.Width, 4)
			continue
		}
		if base.Digest != "" {
			s.b.WriteString("    " + cut(base.Digest.String(), s.opts.Width-4, s.marks.ellipsis) + "\n")
		}
		paragraph(&s.b, "    ", "has "+strings.Join(base.Platforms, " "), s.opts.Width, 8)
		for _, platform := range s.e.Platforms {
			if _, ok := base.Match[platform]; !ok {
				continue
			}
			mark := s.marks.native
			if base.Match[platform].Kind() != exact.MatchExact {
				mark = s.marks.impossible
			}
			paragraph(&s.b, "    "+mark+" "+platform+"  ", string(base.Match[platform]), s.opts.Width, 8)
		}
	}
}
