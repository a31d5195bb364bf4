package planner

import (
	"bytes"
	"fmt"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// dockerfile is a parsed Dockerfile reduced to what a plan needs. It is the
// same for every platform and is not changed once it is parsed.
type dockerfile struct {
	name   string
	escape rune
	args   []arg // before the first FROM
	stages []stage
}

type arg struct {
	name  string
	value *string // nil if there is no default
	line  int
}

type stage struct {
	alias    string // after AS, lower case, empty if there is none
	name     string // alias or stage-N
	base     string // variables not expanded
	platform string // variables not expanded
	line     int
	work     work
	onbuild  []trigger // for stages that are built FROM this one
}

// work is what a list of instructions does as far as a plan is concerned.
type work struct {
	runLine int   // of the first RUN
	steps   []int // lines of what BuildKit numbers
	sources []source
}

// source is something that COPY --from or RUN --mount=from reads.
type source struct {
	stage int    // number of the stage, -1 for an image
	name  string // as written
	verb  string // what the instruction does, for errors
	line  int
}

// trigger is an ONBUILD instruction. A bad one is an error only where it is
// used.
type trigger struct {
	work work
	err  error
}

// parse reads a Dockerfile with BuildKit's parser and links its stages.
func parse(text []byte, name string) (*dockerfile, error) {
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, located(name, err)
	}
	// A nil linter is dereferenced by instructions with a "# check=" comment.
	stages, args, err := instructions.Parse(parsed.AST, linter.New(&linter.Config{SkipAll: true}))
	if err != nil {
		return nil, located(name, err)
	}
	if len(stages) == 0 {
		return nil, &Error{File: name, Err: fmt.Errorf("no stage to build; add a FROM instruction")}
	}
	d := &dockerfile{name: name, escape: parsed.EscapeToken, stages: make([]stage, len(stages))}
	for _, command := range args {
		for _, kv := range command.Args {
			d.args = append(d.args, arg{name: kv.Key, value: kv.Value, line: FirstLine(command.Location())})
		}
	}
	for i, st := range stages {
		s := stage{alias: st.Name, name: st.Name, base: st.BaseName, platform: st.Platform, line: FirstLine(st.Location)}
		if s.alias == "" {
			s.name = fmt.Sprintf("stage-%d", i)
		}
		d.stages[i] = s
	}
	if err := d.link(stages); err != nil {
		return nil, err
	}
	if err := d.checkCycles(); err != nil {
		return nil, err
	}
	return d, nil
}
