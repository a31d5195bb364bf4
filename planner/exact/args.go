package exact

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
)

// maxExpansion bounds the text that variables add to a Dockerfile in all, for
// one platform. BuildKit has no bound: forty lines of `ENV A=$A$A` fill the
// memory of whoever converts them.
const maxExpansion = 64 << 20

// maxChain bounds the sum of the squares of the numbers of instructions that
// build on each other, for one platform. BuildKit's converter walks back over
// them for every instruction: 2,000 in a row take it half a second, 10,000 take
// it half a minute. Images cannot have that many layers anyway.
const maxChain = 2000 * 2000

// maxNesting bounds the sum of the squares of the depths of ${A:-${B:-…}} in all
// instructions: BuildKit's lexer takes a quarter of a microsecond for each.
const maxNesting = 2000 * 2000

// maxValue bounds one variable: Linux refuses longer ones in the environment.
const maxValue = 128 << 10

// automatic returns the arguments that depend on platforms.
func automatic(target, build ocispec.Platform) map[string]string {
	return map[string]string{
		"BUILDPLATFORM":  platforms.Format(build),
		"BUILDOS":        build.OS,
		"BUILDARCH":      build.Architecture,
		"BUILDVARIANT":   build.Variant,
		"TARGETPLATFORM": platforms.FormatAll(target),
		"TARGETOS":       target.OS,
		"TARGETARCH":     target.Architecture,
		"TARGETVARIANT":  target.Variant,
	}
}

// environment is what the instructions of a stage see, apart from what the base
// image sets. It satisfies shell.EnvGetter.
type environment map[string]string

func (e environment) Get(name string) (string, bool) {
	value, ok := e[name]
	return value, ok
}

func (e environment) Keys() []string { return slices.Sorted(maps.Keys(e)) }

func (e environment) longest() int {
	longest := 0
	for _, value := range e {
		longest = max(longest, len(value))
	}
	return longest
}

func (e environment) size() int {
	size := 0
	for name, value := range e {
		size += len(name) + len(value) + 2
	}
	return size
}

// declaration is an ARG with a default as one platform sees it.
type declaration struct {
	stage int
	line  int
	arg   instructions.KeyValuePairOptional
	value string
}

// evaluator follows ARG and ENV through the stages of one job.
type evaluator struct {
	p       *plan
	job     *job
	lex     *shell.Lex
	budget  int
	final   []environment // of every stage
	depth   []int         // instructions up to the end of every stage
	chain   int
	nesting int
	visited []declaration
}

// evaluate returns the declarations in all stages.
func (p *plan) evaluate(j *job) ([]declaration, error) {
	e := &evaluator{p: p, job: j, lex: shell.NewLex(p.escape), budget: maxExpansion, final: make([]environment, len(p.stages)), depth: make([]int, len(p.stages))}
	for i := range p.stages {
		if err := e.stage(i); err != nil {
			return nil, err
		}
	}
	return e.visited, nil
}

func (e *evaluator) stage(i int) error {
	env := make(environment)
	if s, ok := e.job.stages[i]; ok {
		if parent := e.p.parent(i, s.Base); parent >= 0 {
			env = maps.Clone(e.final[parent])
			e.budget -= env.size() / 8
			e.depth[i] = e.depth[parent]
		}
	}
	e.final[i] = env
	before := e.depth[i]
	e.depth[i] += len(e.p.stages[i].Commands)
	if e.chain += e.depth[i]*e.depth[i] - before*before; e.chain > maxChain {
		return &planner.Error{File: e.p.opts.Filename, Line: planner.FirstLine(e.p.stages[i].Location), Stage: stageName(e.p.stages[i], i), Err: fmt.Errorf(
			"%d instructions build on each other, too many to plan; join some of them", e.depth[i])}
	}
	for _, command := range e.p.stages[i].Commands {
		line := planner.FirstLine(command.Location())
		if err := e.command(i, command, line, env); err != nil {
			return err
		}
		var err error
		switch {
		case env.longest() > maxValue:
			err = fmt.Errorf("for %s: a variable is longer than %d KiB; shorten ARG and ENV", e.job.name, maxValue>>10)
		case e.nesting > maxNesting:
			err = errors.New("variables are nested too deeply to plan; give some of them a name of their own by ARG")
		case e.budget < 0:
			err = fmt.Errorf("for %s: variables add more than %d MiB to the Dockerfile; shorten ARG and ENV", e.job.name, maxExpansion>>20)
		}
		if err != nil {
			return &planner.Error{File: e.p.opts.Filename, Line: line, Stage: stageName(e.p.stages[i], i), Err: err}
		}
	}
	return nil
}

func (e *evaluator) command(i int, command instructions.Command, line int, env environment) error {
	for _, location := range command.Location() {
		depth := nesting(e.p.source(location.Start.Line, location.End.Line))
		e.nesting += depth * depth
	}
	if _, run := command.(*instructions.RunCommand); run {
		e.budget -= env.size() // every operation carries a copy
		return nil
	}
	for _, location := range command.Location() {
		e.budget -= strings.Count(e.p.source(location.Start.Line, location.End.Line), "$") * env.longest()
	}
	if e.budget < 0 {
		return nil
	}
	switch c := command.(type) {
	case *instructions.EnvCommand:
		before := maps.Clone(env)
		for _, kv := range c.Env {
			env[kv.Key] = e.expand(kv.Value, before)
		}
	case *instructions.ArgCommand:
		for _, arg := range c.Args {
			value, given := e.job.Args[arg.Key]
			switch {
			case given:
			case arg.Value != nil:
				value = e.expand(*arg.Value, env)
				e.visited = append(e.visited, declaration{stage: i, line: line, arg: arg, value: value})
			default:
				if value, given = e.job.Globals[arg.Key]; !given {
					continue
				}
			}
			env[arg.Key] = value
		}
	}
	return nil
}

// nesting returns how deeply the variables in a text are nested.
func nesting(text string) int {
	depth, deepest := 0, 0
	for i := range len(text) {
		switch {
		case text[i] == '{' && i > 0 && text[i-1] == '$':
			depth++
			deepest = max(deepest, depth)
		case text[i] == '}' && depth > 0:
			depth--
		}
	}
	return deepest
}

// expand replaces variables; a mistake is left for BuildKit to report.
func (e *evaluator) expand(word string, env environment) string {
	value, _, err := e.lex.ProcessWord(word, env)
	if err != nil {
		return word
	}
	return value
}

// checkGrowth refuses what would exhaust the memory, before BuildKit converts it.
func (p *plan) checkGrowth() error {
	for _, j := range p.jobs {
		var err error
		if j.declared, err = p.evaluate(j); err != nil {
			return err
		}
	}
	return nil
}

// builtinDefaults finds ARGs whose default takes the place of the value that
// BuildKit sets by itself, where that makes a difference.
func (p *plan) builtinDefaults() []Finding {
	var findings []Finding
	at := make(map[int]int)
	report := func(j *job, line int, stage string, arg instructions.KeyValuePairOptional, value string) {
		right, ok := automatic(j.Platform, p.opts.BuildPlatform)[arg.Key]
		if _, given := j.Args[arg.Key]; !ok || given || value == right {
			return
		}
		key := line<<8 + len(arg.Key)
		i, ok := at[key]
		if !ok {
			i = len(findings)
			at[key] = i
			findings = append(findings, Finding{
				Rule: RuleBuiltinArg, Level: LevelError, Line: line, Stage: stage,
				Fix: fmt.Sprintf("write ARG %s without a default; BuildKit sets it", arg.Key),
			})
		}
		f := &findings[i]
		f.Platforms = addName(f.Platforms, j.name)
		f.Message = fmt.Sprintf("the default replaces the value for the platform: %s is %q for %s, too", arg.Key, value, strings.Join(f.Platforms, ", "))
	}
	for _, j := range p.jobs {
		for _, command := range p.globals {
			for _, arg := range command.Args {
				if arg.Value != nil {
					report(j, planner.FirstLine(command.Location()), "", arg, j.Globals[arg.Key])
				}
			}
		}
		for _, d := range j.declared {
			if j.reach[d.stage] {
				report(j, d.line, stageName(p.stages[d.stage], d.stage), d.arg, d.value)
			}
		}
	}
	return findings
}
