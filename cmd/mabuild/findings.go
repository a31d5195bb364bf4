package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/lint"
)

// allowances are what a user insists on although it is taken for a mistake.
type allowances struct {
	baseFallback  bool
	singleBase    bool
	pinnedRuntime bool
	argDefault    bool
}

func (a *allowances) addFlags(set *pflag.FlagSet) {
	set.BoolVar(&a.baseFallback, "allow-base-fallback", false, "accept bases that offer a lesser platform instead: arm/v7 for arm64, 386 for amd64, arm/v6 for arm/v7")
	set.BoolVar(&a.singleBase, "allow-single-base", false, "accept bases that are one image for another platform, or whose index lies about one")
	set.BoolVar(&a.pinnedRuntime, "allow-pinned-runtime", false, "accept a target stage whose FROM --platform gives it the files of another platform")
	set.BoolVar(&a.argDefault, "allow-arg-default", false, "accept defaults that replace the values of TARGETARCH and the like")
}

// permit reports whether the user insists on what a finding is about.
func (a allowances) permit(f exact.Finding) bool {
	switch f.Rule {
	case exact.RuleBasePlatform:
		return a.baseFallback && f.Match.Kind() == exact.MatchFallback ||
			a.singleBase && (f.Match.Kind() == exact.MatchSingle || f.Match.Kind() == exact.MatchMislabelled)
	case exact.RuleBaseDigestSingle:
		return a.singleBase
	case exact.RuleRuntimePinned:
		return a.pinnedRuntime
	case exact.RuleBuiltinArg:
		return a.argDefault
	}
	return false
}

// findings are the plan's and those of the rules for several platforms. What the
// user allows becomes a note.
func (o *buildOptions) findings(plan *exact.Result, text []byte) []exact.Finding {
	options := lint.Options{Dockerfile: text, Filename: o.dockerfile}
	if root, err := os.OpenRoot(o.context); err == nil && o.remote == nil {
		defer root.Close()
		options.Context = root.FS()
	}
	if own, err := os.ReadFile(o.dockerfilePath() + ".dockerignore"); err == nil {
		options.Ignore = own
	}
	findings := lint.Findings(plan, options)
	for i := range findings {
		if o.allow.permit(findings[i]) {
			findings[i].Level = exact.LevelNote
			findings[i].Fix = ""
		}
	}
	return findings
}

// irrelevant leaves out what a build need not care about.
func (o *buildOptions) irrelevant(f exact.Finding) bool {
	switch f.Rule {
	case exact.RuleBaseUnavailable:
		// What cannot be looked up from here may be in reach of the daemon, which says
		// itself what it cannot get.
		return true
	case exact.RuleRuntimePinned:
		// Files have no platform that could be wrong.
		return !slices.ContainsFunc(o.outputs, func(s output.Spec) bool { return s.Type != output.Local && s.Type != output.Tar })
	}
	return f.URL != "" // BuildKit says so itself
}

// planError is a plan that cannot be satisfied.
type planError struct {
	findings []exact.Finding
	shown    bool // on the screen above
}

func (e *planError) Error() string {
	if e.shown {
		return "the plan cannot be satisfied: see the findings above"
	}
	var b strings.Builder
	b.WriteString("the plan cannot be satisfied; nothing was pulled or run")
	for _, f := range e.findings {
		b.WriteString("\n" + describeFinding(f))
	}
	return b.String()
}

// describeFinding is a finding in the form of compilers.
func describeFinding(f exact.Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: ", f.File, f.Line)
	if f.Stage != "" {
		fmt.Fprintf(&b, "stage %s: ", f.Stage)
	}
	fmt.Fprintf(&b, "%s [%s]", f.Message, f.Rule)
	if f.Fix != "" {
		b.WriteString("\n  " + f.Fix)
	}
	return b.String()
}

// failing is a [*planError] if there are findings of a level or worse; no level
// fails nothing.
func failing(findings []exact.Finding, level exact.Level) error {
	levels := []exact.Level{exact.LevelNote, exact.LevelWarning, exact.LevelError}
	least := slices.Index(levels, level)
	var failed []exact.Finding
	for _, f := range findings {
		if least >= 0 && slices.Index(levels, f.Level) >= least {
			failed = append(failed, f)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return &planError{findings: failed}
}
