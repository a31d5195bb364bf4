package lint

import (
	"fmt"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/mabuild/mabuild/planner/exact"
)

// goarm finds GOARM=v7, which Go does not understand, and compilers for ARM that
// are not told the variant.
func (l *linter) goarm() {
	if !slices.ContainsFunc(l.jobs, func(j job) bool { return j.arch == "arm" }) {
		return
	}
	seen := make(map[*instruction]bool)
	for _, r := range l.runs {
		if !l.goarmValue(r, seen) {
			l.goarmMissing(r)
		}
	}
}

// goarmValue finds a GOARM with the "v" of the variant.
func (l *linter) goarmValue(r *run, seen map[*instruction]bool) bool {
	if strings.Contains(r.text, "GOARM=") {
		s := r.script()
		if s == nil {
			return true
		}
		for _, c := range s.settings("GOARM") {
			if bad := l.lettered(r, s, c); len(bad) > 0 {
				l.reportGoarm(r.at, "GOARM=", bad, "GOARM=${TARGETVARIANT#v}")
				return true
			}
		}
		return s.assigned["GOARM"] > 0
	}
	if !runsGo(r.text, r.words) {
		return false
	}
	var bad []string
	byJob := r.byJob()
	for _, j := range l.jobs {
		if env, ok := byJob[j.name]; ok && j.arch == "arm" && strings.HasPrefix(env["GOARM"], "v") {
			bad = append(bad, j.name)
		}
	}
	if len(bad) == 0 {
		return r.declared("GOARM")
	}
	at := l.settingOf(r.at, "GOARM")
	if at == nil || seen[at] {
		return true
	}
	seen[at] = true
	l.reportGoarm(at, "GOARM", bad, "GOARM=${TARGETVARIANT#v} in front of the command in RUN, where the shell knows #v")
	return true
}

func (l *linter) reportGoarm(at *instruction, text string, bad []string, fix string) {
	l.report(RuleGoarmVariant, at, text, bad,
		fmt.Sprintf("GOARM gets the variant with its letter for %s, but Go wants 5, 6 or 7", strings.Join(bad, ", ")), "write "+fix)
}

// lettered returns the jobs for which a value is the variant with its letter.
func (l *linter) lettered(r *run, s *script, value *syntax.Word) []string {
	var bad []string
	byJob := r.byJob()
	for _, j := range l.jobs {
		env, ok := byJob[j.name]
		if !ok || j.arch != "arm" {
			continue
		}
		rendered := s.render(value, func(name string) (string, bool) {
			v, ok := env[name]
			return v, ok
		})
		if strings.HasPrefix(rendered, "v") && len(rendered) == 2 {
			bad = append(bad, j.name)
		}
	}
	return bad
}

// goarmMissing finds a compiler for another machine that is not told to respect
// the variant: its default is 7.
func (l *linter) goarmMissing(r *run) {
	if !runsGo(r.text, r.words) || strings.Contains(r.text, "GOARM") || r.declared("GOARM") {
		return
	}
	var s *script
	if r.words == nil {
		if s = r.script(); s == nil || s.dynamic {
			return
		}
	}
	byJob, execs := r.byJob(), l.execs(r)
	var bad []string
	for _, j := range l.jobs {
		variant := j.automatic["TARGETVARIANT"]
		env, ok := byJob[j.name]
		if !ok || j.arch != "arm" || execs[j.name] == "arm" || variant != "v6" && variant != "v5" {
			continue
		}
		arch := env["GOARCH"]
		if s != nil {
			for _, word := range s.settings("GOARCH") {
				arch = s.render(word, func(name string) (string, bool) {
					v, ok := env[name]
					return v, ok
				})
			}
		}
		if arch == "arm" {
			bad = append(bad, j.name)
		}
	}
	if len(bad) == 0 {
		return
	}
	text := "GOARCH"
	if !strings.Contains(r.text, text) {
		text = "go "
	}
	f := l.report(RuleGoarmVariant, r.at, text, bad,
		fmt.Sprintf("Go compiles for arm/v7 unless GOARM says otherwise, which %s cannot run", strings.Join(bad, ", ")),
		"declare ARG TARGETVARIANT and write GOARM=${TARGETVARIANT#v} in front of go")
	f.Level = exact.LevelWarning
}

// runsGo reports whether a command compiles with Go.
func runsGo(text string, words []string) bool {
	if words != nil {
		return len(words) > 1 && words[0] == "go" && (words[1] == "build" || words[1] == "install")
	}
	return strings.Contains(text, "go build") || strings.Contains(text, "go install")
}

// settings returns the values that a script gives to a variable: by assignment,
// before a command, or with env.
func (s *script) settings(name string) []*syntax.Word {
	var values []*syntax.Word
	for _, a := range s.assigns {
		if a.Name.Value == name && a.Value != nil {
			values = append(values, a.Value)
		}
	}
	return values
}

// settingOf returns the ENV or ARG in front of an instruction that sets a variable
// in its stage or in one that it is FROM.
func (l *linter) settingOf(at *instruction, name string) *instruction {
	stage := at.stage
	for i := len(l.src.instructions) - 1; i >= 0; i-- {
		in := l.src.instructions[i]
		if in.start >= at.start || in.stage > stage {
			continue
		}
		if in.stage < stage {
			parent := l.parent(stage)
			if parent < 0 || in.stage != parent {
				if in.stage < parent || parent < 0 {
					return nil
				}
				continue
			}
			stage = parent
		}
		if sets(in, name) {
			return in
		}
	}
	return nil
}
