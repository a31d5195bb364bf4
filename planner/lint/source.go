package lint

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	buildkit "github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	csvvalue "github.com/tonistiigi/go-csvvalue"
)

// source is the text of a Dockerfile.
type source struct {
	lines        []string
	stages       int
	instructions []*instruction // by line
	byLine       map[int]*instruction
	comments     []comment
}

// instruction is one of the Dockerfile.
type instruction struct {
	stage      int // -1 in front of the first FROM
	kind       string
	start, end int
	node       *parser.Node
	command    instructions.Command // nil for FROM and what is in front of it
	ignored    map[string]bool      // rules that the comments above ignore, in lower case
}

// parseSource reads a Dockerfile. What cannot be read has no plan either.
func parseSource(text []byte) (*source, error) {
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("parsing the Dockerfile: %w", err)
	}
	stages, _, err := instructions.Parse(parsed.AST, buildkit.New(&buildkit.Config{SkipAll: true}))
	if err != nil {
		return nil, fmt.Errorf("parsing the Dockerfile: %w", err)
	}
	s := &source{lines: strings.Split(string(text), "\n"), byLine: make(map[int]*instruction)}
	s.stages = len(stages)
	stage := -1
	for _, node := range parsed.AST.Children {
		in := &instruction{kind: strings.ToUpper(node.Value), start: node.StartLine, end: node.EndLine, node: node}
		if in.kind == "FROM" {
			stage++
		}
		in.stage = stage
		s.instructions = append(s.instructions, in)
		s.byLine[in.start] = in
	}
	for _, st := range stages {
		for _, command := range st.Commands {
			if ranges := command.Location(); len(ranges) > 0 {
				if in := s.byLine[ranges[0].Start.Line]; in != nil {
					in.command = command
				}
			}
		}
	}
	s.readComments()
	return s, nil
}

// text returns the lines of an instruction without comments in between.
func (s *source) text(in *instruction) string {
	var b strings.Builder
	for i := in.start; i <= in.end && i <= len(s.lines); i++ {
		if line := s.lines[i-1]; !strings.HasPrefix(strings.TrimSpace(line), "#") {
			b.WriteString(line)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// lineOf returns the line of an instruction that has a text, the first if none
// has it as a whole.
func (s *source) lineOf(in *instruction, text string) int {
	if text != "" {
		for i := in.start; i <= in.end && i <= len(s.lines); i++ {
			line := s.lines[i-1]
			if strings.Contains(line, text) && !strings.HasPrefix(strings.TrimSpace(line), "#") {
				return i
			}
		}
	}
	return in.start
}

// mountFlag is a --mount as it is written.
type mountFlag map[string]string

// mounts reads the --mount flags of a RUN.
func (in *instruction) mounts() []mountFlag {
	var mounts []mountFlag
	for _, flag := range in.node.Flags {
		value, ok := strings.CutPrefix(flag, "--mount=")
		if !ok {
			continue
		}
		fields, err := csvvalue.Fields(value, nil)
		if err != nil {
			continue
		}
		m := make(mountFlag)
		for _, field := range fields {
			key, value, _ := strings.Cut(field, "=")
			m[strings.ToLower(key)] = value
		}
		mounts = append(mounts, m)
	}
	return mounts
}
