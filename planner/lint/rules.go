package lint

import (
	"slices"

	"github.com/mabuild/mabuild/planner/exact"
)

// The rules of this package. Those of package exact have their names there.
const (
	RuleArgUndeclared  = "arg-undeclared"
	RuleCacheIDEmpty   = "cache-id-empty"
	RuleCacheShared    = "cache-shared"
	RuleArchURL        = "arch-url"
	RuleHostBinary     = "host-binary"
	RuleGoarmVariant   = "goarm-variant"
	RuleConstTarget    = "const-target"
	RuleChecksumSingle = "checksum-single"
	RuleIgnoreUnknown  = "ignore-unknown"
)

// Rule describes a rule.
type Rule struct {
	Name    string
	Level   exact.Level // the worst that it reports
	Summary string
}

// Rules lists the rules of mabuild: those of package exact and of this one.
func Rules() []Rule {
	return []Rule{
		{exact.RuleBasePlatform, exact.LevelError, "A base image does not have the platform that is built."},
		{exact.RuleBaseUnavailable, exact.LevelError, "A base image could not be looked up."},
		{exact.RuleBaseDigestSingle, exact.LevelError, "FROM is pinned to the image of one platform."},
		{exact.RuleRuntimePinned, exact.LevelError, "The final stage is pinned to one platform."},
		{exact.RuleBuiltinArg, exact.LevelError, "A default replaces the value that BuildKit sets for the platform."},
		{exact.RuleArgEarly, exact.LevelNote, "An ARG for the platform makes commands run more often than they need to."},
		{RuleArgUndeclared, exact.LevelWarning, "A RUN uses TARGETARCH or the like without ARG in its stage."},
		{RuleCacheIDEmpty, exact.LevelError, "The id of a cache names a platform, but is the same for all of them."},
		{RuleCacheShared, exact.LevelWarning, "Platforms share a cache that they cannot share."},
		{RuleArchURL, exact.LevelWarning, "A download for one architecture is used on several."},
		{RuleHostBinary, exact.LevelError, "A program of another platform is copied from the build context."},
		{RuleGoarmVariant, exact.LevelError, "GOARM does not fit the variant of the platform."},
		{RuleConstTarget, exact.LevelWarning, "A compiler is told to build for one architecture on all platforms."},
		{RuleChecksumSingle, exact.LevelWarning, "One checksum is compared with the downloads of several platforms."},
		{RuleIgnoreUnknown, exact.LevelNote, "A comment ignores a rule that does not exist."},
	}
}

// levelOf returns the level of one of the rules.
func levelOf(name string) exact.Level {
	rules := Rules()
	return rules[slices.IndexFunc(rules, func(r Rule) bool { return r.Name == name })].Level
}
