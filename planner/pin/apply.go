package pin

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner/assist/script"

	"github.com/mabuild/mabuild/planner"
)

// Apply returns the Dockerfile with pinned stages for the job of one platform. No
// line moves. Commands that run go build get the environment of a cross build in
// front of them, on the same line; other commands stay as they are, so that all
// platforms share them.
//
// Whether pins are safe is not Apply's business, see Candidates.
func Apply(text []byte, pins []Pin, platform ocispec.Platform) ([]byte, error) {
	f, err := parseFile(text)
	if err != nil {
		return nil, err
	}
	wanted := make(map[int]string) // line of a FROM or RUN: what it gets
	done := make(map[int]bool)
	for _, pin := range pins {
		i, err := f.stage(pin)
		if err != nil {
			return nil, err
		}
		if done[i] {
			continue
		}
		done[i] = true
		builds := goBuilds(f.stages[i])
		if pin.Mode == Auto && len(builds) == 0 || pin.Mode == Plain {
			builds = nil
		} else if len(builds) == 0 {
			return nil, fmt.Errorf("pinning stage %s: no RUN of it calls go build by itself; use %s:plain if it makes the same for all platforms", pin.Stage, pin.Stage)
		}
		if !pinned(f.stages[i]) {
			wanted[planner.FirstLine(f.stages[i].Location)] = buildPlatform
		}
		if err := f.pinFrom(i); err != nil {
			return nil, err
		}
		prefix := "export " + strings.Join(Environment(platform), " ") + "; "
		for _, run := range builds {
			if err := f.prefixRun(run, prefix, f.shellOf(i, run)); err != nil {
				return nil, fmt.Errorf("pinning stage %s: line %d %w", pin.Stage, planner.FirstLine(run.Location()), err)
			}
			wanted[planner.FirstLine(run.Location())] = prefix
		}
	}
	edited := bytes.Join(f.lines, nil)
	parsed, err := parser.Parse(bytes.NewReader(edited))
	if err != nil {
		return nil, fmt.Errorf("pinning: %w", err)
	}
	return edited, f.compare(parsed.AST.Children, wanted)
}

// goBuilds lists the RUNs that call go build or go install.
func goBuilds(s instructions.Stage) []*instructions.RunCommand {
	var runs []*instructions.RunCommand
	for _, command := range s.Commands {
		run, ok := command.(*instructions.RunCommand)
		if !ok {
			continue
		}
		commands, _ := script.Read(argsOf(run))
		if slices.ContainsFunc(commands, func(c script.Command) bool { return c.Calls("go") && goVerb(c) == "build" }) {
			runs = append(runs, run)
		}
	}
	return runs
}

// argsOf is the process that a RUN starts, with the usual shell.
func argsOf(run *instructions.RunCommand) []string {
	if !run.PrependShell {
		return run.CmdLine
	}
	text := strings.Join(run.CmdLine, " ")
	if len(run.Files) == 1 && strings.HasPrefix(text, "<<") {
		text = run.Files[0].Data
	}
	return []string{"/bin/sh", "-c", text}
}

// goVerb is what the go command is told to do.
func goVerb(c script.Command) string {
	for i, word := range c.Words {
		if word == "go" || strings.HasSuffix(word, "/go") {
			if i+1 < len(c.Words) {
				return c.Words[i+1]
			}
			return ""
		}
	}
	return ""
}

// shellOf reports which shell an earlier SHELL sets, empty for the usual one.
func (f *file) shellOf(i int, run *instructions.RunCommand) string {
	shell := ""
	for _, command := range f.stages[i].Commands {
		if planner.FirstLine(command.Location()) >= planner.FirstLine(run.Location()) {
			break
		}
		if s, ok := command.(*instructions.ShellCommand); ok && len(s.Shell) > 0 {
			shell = s.Shell[0]
		}
	}
	return shell
}

// prefixRun puts text in front of a command. The caller compares the result with
// what was intended.
func (f *file) prefixRun(run *instructions.RunCommand, prefix, shell string) error {
	name := shell[strings.LastIndex(shell, "/")+1:]
	switch {
	case !run.PrependShell:
		return fmt.Errorf("has no shell that could set variables; write RUN go build … without brackets")
	case shell != "" && !slices.Contains([]string{"sh", "bash", "ash", "dash", "zsh", "ksh"}, name):
		return fmt.Errorf("has the shell %s, whose language is not known; use sh, or ENV GOARCH=…", shell)
	case strings.Contains(prefix, "\n"):
		return fmt.Errorf("cannot get %q", prefix)
	}
	start := planner.FirstLine(run.Location()) - 1
	if len(run.Files) > 0 {
		return f.prefixHeredoc(run, start, prefix)
	}
	line, at, ok := f.commandStart(start)
	if !ok {
		return fmt.Errorf("has no command that could be found; write it behind RUN")
	}
	old := f.lines[line]
	f.lines[line] = slices.Concat(old[:at], []byte(prefix), old[at:])
	return nil
}

// prefixHeredoc puts text in front of the first line of a script.
func (f *file) prefixHeredoc(run *instructions.RunCommand, start int, prefix string) error {
	text := strings.TrimSpace(strings.Join(run.CmdLine, " "))
	switch {
	case len(run.Files) != 1 || !strings.HasPrefix(text, "<<") || strings.ContainsAny(text, " \t"):
		return fmt.Errorf("gives a here-document to a command; write RUN <<EOF alone")
	case strings.HasPrefix(run.Files[0].Data, "#!"):
		return fmt.Errorf("has an interpreter of its own; use sh, or ENV GOARCH=…")
	}
	end := planner.FirstLine(run.Location())
	for _, r := range run.Location() {
		end = max(end, r.End.Line)
	}
	// The body ends with its name; the number of its lines says where it begins.
	body := end - 1 - strings.Count(run.Files[0].Data, "\n")
	if body <= start || body >= end-1 {
		return fmt.Errorf("has a here-document that could not be found; write RUN <<EOF alone")
	}
	f.lines[body] = append([]byte(prefix), f.lines[body]...)
	return nil
}

// commandStart finds the first word of a command behind RUN and its flags.
func (f *file) commandStart(line int) (int, int, bool) {
	at := keywordEnd(f.lines[line], "RUN", f.escape)
	if at < 0 {
		return 0, 0, false
	}
	for {
		text := f.lines[line]
		rest := bytes.TrimLeft(text[at:], " \t")
		at = len(text) - len(rest)
		switch trimmed := bytes.TrimRight(rest, " \t\r\n"); {
		case len(trimmed) == 0 || len(trimmed) == 1 && rune(trimmed[0]) == f.escape:
			// The command goes on at the next line that is no comment.
			for line++; line < len(f.lines); line++ {
				if next := bytes.TrimSpace(f.lines[line]); len(next) > 0 && next[0] != '#' {
					break
				}
			}
			if line >= len(f.lines) {
				return 0, 0, false
			}
			at = 0
		case bytes.HasPrefix(rest, []byte("--")):
			word := bytes.IndexAny(rest, " \t\r\n")
			if word < 0 || bytes.ContainsAny(rest[:word], "\"'") || bytes.ContainsRune(rest[:word], f.escape) {
				return 0, 0, false
			}
			at += word
		default:
			return line, at, true
		}
	}
}

// compare makes sure that nothing but what was wanted has changed.
func (f *file) compare(after []*parser.Node, wanted map[int]string) error {
	if len(after) != len(f.nodes) {
		return fmt.Errorf("pinning: the file would have %d instructions instead of %d; write them on lines of their own", len(after), len(f.nodes))
	}
	for i, old := range f.nodes {
		changed := *after[i]
		change := wanted[old.StartLine]
		ok := changed.StartLine == old.StartLine && changed.EndLine == old.EndLine && strings.EqualFold(changed.Value, old.Value) &&
			maps.Equal(changed.Attributes, old.Attributes)
		switch {
		case !ok:
		case change == "":
			ok = slices.Equal(changed.Flags, old.Flags) && slices.Equal(operands(&changed), operands(old)) && slices.Equal(changed.Heredocs, old.Heredocs)
		case change == buildPlatform:
			ok = slices.Equal(changed.Flags, append([]string{buildPlatform}, old.Flags...)) && slices.Equal(operands(&changed), operands(old))
		default:
			ok = slices.Equal(changed.Flags, old.Flags) && prefixed(&changed, old, change)
		}
		if !ok {
			return fmt.Errorf("pinning: line %d would change its meaning; write it in a simpler way", old.StartLine)
		}
	}
	return nil
}

// prefixed reports whether a command, or its script, has got the prefix.
func prefixed(changed, old *parser.Node, prefix string) bool {
	a, b := operands(changed), operands(old)
	if len(a) != len(b) || len(a) == 0 || len(changed.Heredocs) != len(old.Heredocs) {
		return false
	}
	if len(old.Heredocs) == 0 {
		return a[0] == prefix+b[0] && slices.Equal(a[1:], b[1:])
	}
	x, y := changed.Heredocs[0], old.Heredocs[0]
	return slices.Equal(a, b) && len(old.Heredocs) == 1 && x.Name == y.Name && x.Content == prefix+y.Content
}

func operands(n *parser.Node) []string {
	var words []string
	for n = n.Next; n != nil; n = n.Next {
		words = append(words, n.Value)
	}
	return words
}
