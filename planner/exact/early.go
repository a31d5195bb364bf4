package exact

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner"
)

// runs are the operations of one RUN that execute on one platform, by job.
type runs struct {
	line, end int
	jobs      []string
	ops       []*operation
}

// distinct returns how often the command runs.
func (r *runs) distinct() int {
	ids := make(map[digest.Digest]bool)
	for _, o := range r.ops {
		ids[o.id] = true
	}
	return len(ids)
}

// differing returns the variables in which the operations differ, and whether
// the operations start from the same files.
func (r *runs) differing() (names []string, sameInputs bool) {
	first := environmentOf(r.ops[0].op)
	differ := make(map[string]bool)
	sameInputs = true
	for _, o := range r.ops[1:] {
		other := environmentOf(o.op)
		for name := range maps.Keys(first) {
			if value, ok := other[name]; !ok || value != first[name] {
				differ[name] = true
			}
		}
		for name := range maps.Keys(other) {
			if _, ok := first[name]; !ok {
				differ[name] = true
			}
		}
		sameInputs = sameInputs && slices.EqualFunc(r.ops[0].inputs, o.inputs, func(a, b *operation) bool { return a.id == b.id })
	}
	return slices.Sorted(maps.Keys(differ)), sameInputs
}

func environmentOf(op *pb.Op) map[string]string {
	env := make(map[string]string)
	for _, entry := range op.GetExec().GetMeta().GetEnv() {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return env
}

// early finds stages that could be built once for several platforms, but are
// not, because an ARG for the platform is declared before commands that do not
// use it.
func (p *plan) early() []Finding {
	var findings []Finding
	for i := range p.stages {
		for _, group := range p.runsOf(i) {
			if f, ok := p.earlyIn(i, group); ok {
				findings = append(findings, f)
			}
		}
	}
	return findings
}

// runsOf returns the RUNs of a stage, apart by the platform that they execute
// on, in order.
func (p *plan) runsOf(stage int) [][]*runs {
	from := planner.FirstLine(p.stages[stage].Location)
	byExec := make(map[string]map[int]*runs)
	for _, j := range p.jobs {
		for _, o := range j.byStage[stage] {
			place := o.places[0]
			if o.op.GetExec() == nil || place.Line == from {
				continue // what triggers run stands at the FROM
			}
			if byExec[o.exec] == nil {
				byExec[o.exec] = make(map[int]*runs)
			}
			r := byExec[o.exec][place.Line]
			if r == nil {
				r = &runs{line: place.Line, end: place.EndLine}
				byExec[o.exec][place.Line] = r
			}
			r.jobs = append(r.jobs, j.name)
			r.ops = append(r.ops, o)
		}
	}
	var groups [][]*runs
	for _, exec := range slices.Sorted(maps.Keys(byExec)) {
		var group []*runs
		for _, line := range slices.Sorted(maps.Keys(byExec[exec])) {
			group = append(group, byExec[exec][line])
		}
		groups = append(groups, group)
	}
	return groups
}

// earlyIn looks for the first command that runs more than once for the same
// platform, and for the ARG that is the reason.
func (p *plan) earlyIn(stage int, group []*runs) (Finding, bool) {
	start := slices.IndexFunc(group, func(r *runs) bool { return r.distinct() > 1 })
	if start < 0 {
		return Finding{}, false
	}
	first := group[start]
	names, sameInputs := first.differing()
	if !sameInputs || len(names) == 0 || !p.idle(stage, 0, first, names) {
		return Finding{}, false
	}
	cost, last := 0, first
	for i, r := range group[start:] {
		since := 0
		if i > 0 {
			since = last.line
		}
		if names, _ := r.differing(); !p.idle(stage, since, r, names) {
			break
		}
		cost += r.distinct() - 1
		last = r
	}
	name, line, in := p.declarationOf(stage, names, first.line)
	if line == 0 {
		return Finding{}, false
	}
	where := fmt.Sprintf("line %d does", first.line)
	move := fmt.Sprintf("move ARG %s below line %d", strings.Join(names, ", "), last.end)
	if last != first {
		where = fmt.Sprintf("lines %d to %d do", first.line, last.end)
	}
	if in != stage {
		move = fmt.Sprintf("declare ARG %s in stage %s, below line %d", strings.Join(names, ", "), stageName(p.stages[stage], stage), last.end)
	}
	return Finding{
		Rule: RuleArgEarly, Level: LevelNote, Platforms: first.jobs, Line: line, Stage: stageName(p.stages[in], in), Runs: cost,
		Message: fmt.Sprintf("ARG %s makes commands run once per platform although %s not mention it: +%d runs", name, where, cost),
		Fix:     move,
	}, true
}

// idle reports whether a RUN has no use for variables: they are arguments for
// the platform, and neither the command nor what comes between it and the one
// before mentions them.
func (p *plan) idle(stage, since int, r *runs, names []string) bool {
	known := automatic(p.jobs[0].Platform, p.opts.BuildPlatform)
	for _, name := range names {
		if _, ok := known[name]; !ok || mentions(p.source(r.line, r.end), name) {
			return false
		}
		for _, command := range p.stages[stage].Commands {
			line := planner.FirstLine(command.Location())
			if _, arg := command.(*instructions.ArgCommand); arg || line <= since || line >= r.line || since == 0 {
				continue
			}
			if mentions(p.source(line, command.Location()[len(command.Location())-1].End.Line), name) {
				return false
			}
		}
	}
	return true
}

func mentions(text, name string) bool {
	return regexp.MustCompile(`\b` + name + `\b`).MatchString(text)
}

// declarationOf finds the first ARG of the names in the stage or the stages that it
// is FROM.
func (p *plan) declarationOf(stage int, names []string, before int) (name string, line, in int) {
	j := p.jobs[0]
	for i := stage; i >= 0; {
		for _, command := range p.stages[i].Commands {
			arg, ok := command.(*instructions.ArgCommand)
			at := planner.FirstLine(command.Location())
			if !ok || i == stage && at >= before {
				continue
			}
			for _, kv := range arg.Args {
				if slices.Contains(names, kv.Key) {
					return kv.Key, at, i
				}
			}
		}
		s, ok := j.stages[i]
		if !ok {
			break
		}
		i = p.parent(i, s.Base)
	}
	return "", 0, stage
}
