package lint

import (
	"fmt"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// undeclared finds uses of the arguments that BuildKit sets where their stage
// does not declare them, so that the shell replaces them by nothing.
func (l *linter) undeclared() {
	for _, r := range l.runs {
		if !strings.Contains(r.text, "TARGET") && !strings.Contains(r.text, "BUILD") {
			continue
		}
		s := r.script()
		if s == nil || s.dynamic {
			continue
		}
		var found, platforms []string
		secrets := r.secrets()
		for _, p := range s.params {
			name := p.Param.Value
			jobs := l.jobsWith(name, r.jobs())
			if len(jobs) == 0 || slices.Contains(found, name) || s.assigned[name] > 0 || secrets[name] || r.declared(name) || prepared(p) {
				continue
			}
			found = append(found, name)
			for _, job := range jobs {
				platforms = addName(platforms, job)
			}
		}
		if len(found) == 0 {
			continue
		}
		names, verb := strings.Join(found, ", "), "is"
		if len(found) > 1 {
			verb = "are"
		}
		l.report(RuleArgUndeclared, r.at, found[0], platforms,
			fmt.Sprintf("%s %s used in stage %s without ARG there, so the shell finds nothing", names, verb, l.stageName(r.at.stage)),
			fmt.Sprintf("insert above line %d: ARG %s", r.at.start, strings.Join(found, " ")))
	}
}

// jobsWith returns the jobs for which BuildKit has a value of an argument.
func (l *linter) jobsWith(name string, jobs []string) []string {
	var found []string
	for _, j := range l.jobs {
		if j.automatic[name] != "" && slices.Contains(jobs, j.name) {
			found = append(found, j.name)
		}
	}
	return found
}

// prepared reports whether an expansion has another way to find out, as in
// ${TARGETARCH:-$(uname -m)}.
func prepared(p *syntax.ParamExp) bool {
	if p.IsSet || p.Exp == nil {
		return false
	}
	switch p.Exp.Op {
	case syntax.DefaultUnset, syntax.DefaultUnsetOrNull:
		return p.Exp.Word != nil && strings.Contains(text(p.Exp.Word), unknown)
	case syntax.AlternateUnset, syntax.AlternateUnsetOrNull:
		return true // says itself that it may be unset; what it gives then is looked at on its own
	}
	return false
}
