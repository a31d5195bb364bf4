package planner

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// linker resolves the names and numbers that --from may give. Neither may
// contain variables, so one pass serves every platform.
type linker struct {
	lex    *shell.Lex
	names  map[string]int // stages by name; of two with one name the last counts
	stages int
}

// link fills in the work of every stage.
func (d *dockerfile) link(stages []instructions.Stage) error {
	l := &linker{lex: shell.NewLex(d.escape), names: make(map[string]int), stages: len(stages)}
	for i, st := range d.stages {
		if st.alias != "" {
			l.names[st.alias] = i
		}
	}
	var onbuild [][]*instructions.OnbuildCommand
	for i := range d.stages {
		var triggers []*instructions.OnbuildCommand
		for _, command := range stages[i].Commands {
			if trigger, ok := command.(*instructions.OnbuildCommand); ok {
				triggers = append(triggers, trigger)
				continue
			}
			line := FirstLine(command.Location())
			if err := l.add(&d.stages[i].work, command, line); err != nil {
				return &Error{File: d.name, Line: line, Stage: d.stages[i].name, Err: err}
			}
		}
		onbuild = append(onbuild, triggers)
	}
	for i, triggers := range onbuild {
		for _, trigger := range triggers {
			d.stages[i].onbuild = append(d.stages[i].onbuild, l.trigger(trigger))
		}
	}
	return nil
}

// trigger parses the instruction in an ONBUILD. The lines noted are its own;
// whoever sets it off replaces them by the line of the FROM, as BuildKit does.
func (l *linker) trigger(onbuild *instructions.OnbuildCommand) trigger {
	command, err := parseTrigger(onbuild.Expression)
	if err != nil {
		return trigger{err: fmt.Errorf("parsing ONBUILD %s: %w", onbuild.Expression, err)}
	}
	var t trigger
	t.err = l.add(&t.work, command, FirstLine(onbuild.Location()))
	return t
}

func parseTrigger(expression string) (instructions.Command, error) {
	parsed, err := parser.Parse(strings.NewReader(expression))
	if err != nil {
		return nil, err
	}
	if len(parsed.AST.Children) != 1 {
		return nil, errors.New("a trigger is one instruction")
	}
	parsedInstruction, err := instructions.ParseInstructionWithLinter(parsed.AST.Children[0], linter.New(&linter.Config{SkipAll: true}))
	if err != nil {
		return nil, err
	}
	command, ok := parsedInstruction.(instructions.Command)
	if !ok {
		return nil, errors.New("a trigger cannot begin a stage")
	}
	return command, nil
}

// add notes what one instruction runs and reads.
func (l *linker) add(w *work, command instructions.Command, line int) error {
	switch command.(type) {
	case *instructions.AddCommand, *instructions.CopyCommand, *instructions.RunCommand, *instructions.WorkdirCommand:
		w.steps = append(w.steps, line)
	}
	switch c := command.(type) {
	case *instructions.CopyCommand:
		if c.From == "" {
			return nil
		}
		src, err := l.copySource(c.From)
		if err != nil {
			return err
		}
		src.line, src.verb = line, "copy"
		w.sources = append(w.sources, src)
	case *instructions.RunCommand:
		if w.runLine == 0 {
			w.runLine = line
		}
		// The sources are known before RunCommand.Expand, which would need the
		// environment of the base image and fail without it. BuildKit, too,
		// links the stages with what is known here.
		for _, mount := range instructions.GetMounts(c) {
			if mount.From == "" {
				continue
			}
			src := l.named(mount.From)
			src.line, src.verb = line, "mount"
			w.sources = append(w.sources, src)
		}
	}
	return nil
}

// copySource resolves COPY --from, which takes a number, too.
func (l *linker) copySource(from string) (source, error) {
	word, _, err := l.lex.ProcessWord(from, shell.EnvsFromSlice(nil))
	if err != nil {
		return source{}, fmt.Errorf("reading COPY --from=%s: %w", from, err)
	}
	if word != from {
		return source{}, fmt.Errorf(
			"COPY --from=%s: variables and quotes are not allowed here; give the image a stage of its own, FROM %s AS NAME with a global ARG, and copy from NAME",
			from, from)
	}
	number, err := strconv.Atoi(from)
	if err != nil {
		return l.named(from), nil
	}
	// BuildKit also takes higher numbers if the file has named images before.
	// That is an accident, in which it races with itself.
	if number < 0 || number >= l.stages {
		return source{}, fmt.Errorf("COPY --from=%s: there is no stage %s; stages are numbered from 0 to %d", from, from, l.stages-1)
	}
	return source{stage: number, name: from}, nil
}

// named resolves a name: a stage in any case, or else an image.
func (l *linker) named(name string) source {
	if stage, ok := l.names[strings.ToLower(name)]; ok {
		return source{stage: stage, name: name}
	}
	return source{stage: -1, name: name}
}

// checkCycles refuses stages that copy from each other. A stage that is only
// FROM another one cannot be part of a cycle: FROM looks back.
func (d *dockerfile) checkCycles() error {
	const (
		unseen = iota
		open
		done
	)
	state := make([]int, len(d.stages))
	var path []int
	var visit func(i int) error
	visit = func(i int) error {
		state[i] = open
		path = append(path, i)
		for _, src := range d.stages[i].work.sources {
			if src.stage < 0 || state[src.stage] == done {
				continue
			}
			if state[src.stage] == open {
				var names []string
				for _, j := range append(path[slices.Index(path, src.stage):], src.stage) {
					names = append(names, d.stages[j].name)
				}
				return &Error{File: d.name, Line: src.line, Stage: d.stages[i].name, Err: fmt.Errorf(
					"circular dependency %s; move what both need to a stage of its own", strings.Join(names, " -> "))}
			}
			if err := visit(src.stage); err != nil {
				return err
			}
		}
		state[i] = done
		path = path[:len(path)-1]
		return nil
	}
	for i := range d.stages {
		if state[i] == unseen {
			if err := visit(i); err != nil {
				return err
			}
		}
	}
	return nil
}
