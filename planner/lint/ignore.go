package lint

import (
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"

	buildkit "github.com/moby/buildkit/frontend/dockerfile/linter"

	"github.com/mabuild/mabuild/planner/exact"
)

// maxNames bounds the rules that one comment is taken to name.
const maxNames = 100

// ignoreAll stands for all rules in a comment.
const ignoreAll = "all"

// comment is "# mabuild: ignore=…" above an instruction.
type comment struct {
	line  int
	names []string
	above *instruction
}

// readComments finds the comments that ignore rules. They are those in the
// block right above an instruction.
func (s *source) readComments() {
	previous := 0 // last line of the instruction before
	pattern := regexp.MustCompile(`^#\s*mabuild:\s*ignore=(.*)$`)
	for _, in := range s.instructions {
		for i := min(in.start, len(s.lines)+1) - 1; i > previous; i-- {
			line := strings.TrimSpace(s.lines[i-1])
			if !strings.HasPrefix(line, "#") {
				break
			}
			if m := pattern.FindStringSubmatch(line); m != nil {
				c := comment{line: i, names: namesIn(m[1]), above: in}
				s.comments = append(s.comments, c)
				if in.ignored == nil {
					in.ignored = make(map[string]bool)
				}
				for _, name := range c.names {
					in.ignored[strings.ToLower(name)] = true
				}
			}
		}
		previous = max(previous, in.end)
	}
}

// namesIn splits a list; what follows a blank after it is a remark.
func namesIn(list string) []string {
	var names []string
	for item := range strings.SplitSeq(list, ",") {
		fields := strings.Fields(item)
		if len(fields) > 0 {
			names = addName(names, fields[0])
		}
		if len(fields) > 1 || len(names) == maxNames {
			break
		}
	}
	return names
}

// unsuppressed drops the findings that comments ignore.
func (s *source) unsuppressed(findings []exact.Finding) []exact.Finding {
	comments := make(map[int]*instruction)
	for _, c := range s.comments {
		comments[c.line] = c.above
	}
	return slices.DeleteFunc(findings, func(f exact.Finding) bool {
		in := comments[f.Line]
		if in == nil {
			in = s.at(f.Line)
		}
		if in == nil {
			return false
		}
		ignored := in.ignored
		return ignored[ignoreAll] || ignored[strings.ToLower(f.Rule)]
	})
}

// at returns the instruction that a line belongs to.
func (s *source) at(line int) *instruction {
	i := sort.Search(len(s.instructions), func(i int) bool { return s.instructions[i].start > line })
	if i == 0 || s.instructions[i-1].end < line {
		return nil
	}
	return s.instructions[i-1]
}

// unknownIgnores finds names in comments that are no rules.
func (l *linter) unknownIgnores() {
	if len(l.src.comments) == 0 {
		return
	}
	known := map[string]bool{ignoreAll: true}
	var names []string
	for _, r := range Rules() {
		names = append(names, r.Name)
	}
	for _, name := range append(names, buildkitRules()...) {
		known[strings.ToLower(name)] = true
	}
	flat := strings.NewReplacer("-", "", "_", "")
	for _, c := range l.src.comments {
		for _, name := range c.names {
			if known[strings.ToLower(name)] {
				continue
			}
			l.findings = append(l.findings, exact.Finding{
				Rule: RuleIgnoreUnknown, Level: exact.LevelNote, Platforms: slices.Clone(l.plan.Platforms),
				File: l.opts.Filename, Line: c.line, Stage: l.stageName(c.above.stage),
				Message: fmt.Sprintf("there is no rule %.60q to ignore", name),
				Fix:     unknownFix(name, names, flat),
			})
		}
	}
}

// unknownFix suggests the rule that was meant, if one differs in its end or in
// dashes only.
func unknownFix(name string, names []string, flat *strings.Replacer) string {
	if given := flat.Replace(strings.ToLower(name)); len(given) > 3 {
		for _, known := range names {
			rule := flat.Replace(known)
			if strings.HasPrefix(rule, given) || strings.HasPrefix(given, rule) {
				return "write ignore=" + known
			}
		}
	}
	return fmt.Sprintf("drop %.60s from the comment; the rules are in docs/lints", name)
}

// buildkitRules returns the names of BuildKit's rules.
func buildkitRules() []string {
	rules := []buildkit.LinterRuleI{
		&buildkit.RuleStageNameCasing, &buildkit.RuleFromAsCasing, &buildkit.RuleNoEmptyContinuation,
		&buildkit.RuleConsistentInstructionCasing, &buildkit.RuleDuplicateStageName, &buildkit.RuleReservedStageName,
		&buildkit.RuleJSONArgsRecommended, &buildkit.RuleMaintainerDeprecated, &buildkit.RuleUndefinedArgInFrom,
		&buildkit.RuleWorkdirRelativePath, &buildkit.RuleUndefinedVar, &buildkit.RuleMultipleInstructionsDisallowed,
		&buildkit.RuleLegacyKeyValueFormat, &buildkit.RuleInvalidBaseImagePlatform, &buildkit.RuleRedundantTargetPlatform,
		&buildkit.RuleSecretsUsedInArgOrEnv, &buildkit.RuleInvalidDefaultArgInFrom, &buildkit.RuleFromPlatformFlagConstDisallowed,
		&buildkit.RuleCopyIgnoredFile, &buildkit.RuleInvalidDefinitionDescription, &buildkit.RuleExposeProtoCasing,
		&buildkit.RuleExposeInvalidFormat,
	}
	names := make([]string, len(rules))
	for i, r := range rules {
		names[i] = r.RuleName()
	}
	return names
}
