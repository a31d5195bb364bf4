package exact

import (
	"fmt"

	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/mabuild/mabuild/planner"
)

// checks hears what BuildKit's own rules have to say in one conversion.
type checks struct {
	plan     *plan
	config   linter.Config
	level    Level
	findings []Finding
}

// buildkitChecks prepares BuildKit's rules as the Dockerfile, or the argument
// BUILDKIT_DOCKERFILE_CHECK, sets them.
//
// The rule about the platforms of bases is left out: the converter runs it for
// several bases at the same time with nothing to keep them apart, and
// RuleBasePlatform says more. A file that makes warnings errors is converted
// nevertheless, so that everything is found.
func (p *plan) buildkitChecks(given *linter.Config) (*checks, error) {
	if given == nil {
		text, _, ranges, _ := parser.ParseDirective("check", p.opts.Dockerfile)
		var err error
		if given, err = linter.ParseLintOptions(text); err != nil {
			return nil, &planner.Error{File: p.opts.Filename, Line: planner.FirstLine(ranges), Err: fmt.Errorf("reading # check=%s: %w", text, err)}
		}
	}
	c := &checks{plan: p, config: *given, level: LevelWarning}
	if c.config.ReturnAsError {
		c.level, c.config.ReturnAsError = LevelError, false
	}
	c.config.SkipRules = append(c.config.SkipRules[:len(c.config.SkipRules):len(c.config.SkipRules)], linter.RuleInvalidBaseImagePlatform.Name)
	return c, nil
}

func (c *checks) warn(rule, _, url, message string, location []parser.Range) {
	line := planner.FirstLine(location)
	c.findings = append(c.findings, Finding{
		Rule: rule, Level: c.level, Line: line, Stage: c.plan.stageAt(line), Message: message, URL: url,
	})
}

// buildkitFindings joins what BuildKit's rules found for all jobs; BuildKit
// itself drops what it finds for any platform but the first.
func (p *plan) buildkitFindings() []Finding {
	type key struct {
		rule, message string
		line          int
	}
	var joined []Finding
	at := make(map[key]int)
	for _, j := range p.jobs {
		for _, f := range j.warnings {
			k := key{f.Rule, f.Message, f.Line}
			i, ok := at[k]
			if !ok {
				i = len(joined)
				at[k] = i
				joined = append(joined, f)
			}
			joined[i].Platforms = addName(joined[i].Platforms, j.name)
		}
	}
	return joined
}
