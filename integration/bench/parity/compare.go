package parity

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Facts are what can be said of a run, by name.
type Facts map[string]string

// missing is the value of a fact that is not there.
const missing = "-"

// nothing is the value of a Look where a run left nothing.
const nothing = "nothing"

// Result is how a case ended.
type Result struct {
	Case Case
	// Reasons are those of the documented differences, each once.
	Reasons []Reason
	// Problems are what is wrong: differences that are not documented, and documented
	// ones that are none.
	Problems []string
}

// Compare holds what two runs of a case left against its documented differences.
func Compare(c Case, buildx, mabuild Facts) Result {
	result := Result{Case: c}
	seen := make([]bool, len(c.Differs))
	names := make(map[string]bool)
	for _, facts := range []Facts{buildx, mabuild} {
		for name := range facts {
			names[name] = true
		}
	}
	for _, look := range c.Look {
		look = plain(look)
		if c.Fails == 0 && value(buildx, look) == nothing && value(mabuild, look) == nothing {
			result.Problems = append(result.Problems, look+": none of them left something to compare")
		}
	}
	names = without(names, buildx, mabuild)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		theirs, ours := value(buildx, name), value(mabuild, name)
		if theirs == ours {
			continue
		}
		documented := false
		for i, d := range c.Differs {
			if matches(d.Fact, name) && matches(d.Buildx, theirs) && matches(d.Mabuild, ours) {
				seen[i], documented = true, true
				break
			}
		}
		if !documented {
			result.Problems = append(result.Problems, fmt.Sprintf("%s: buildx has %q, mabuild %q", name, theirs, ours))
		}
	}
	for i, d := range c.Differs {
		switch {
		case !seen[i]:
			result.Problems = append(result.Problems, fmt.Sprintf("%s: the documented difference (%q, %q) is not there any more", d.Fact, d.Buildx, d.Mabuild))
		case !slices.Contains(result.Reasons, d.Reason):
			result.Reasons = append(result.Reasons, d.Reason)
		}
	}
	return result
}

func value(facts Facts, name string) string {
	if value, found := facts[name]; found {
		return value
	}
	return missing
}

// without leaves out the facts about places where one of the programs left nothing:
// that is one fact.
func without(names map[string]bool, all ...Facts) map[string]bool {
	var empty []string
	for _, facts := range all {
		for name, value := range facts {
			if _, place, found := strings.Cut(name, " "); found && value == nothing {
				empty = append(empty, place+" ")
			}
		}
	}
	kept := make(map[string]bool)
	for name := range names {
		if !slices.ContainsFunc(empty, func(place string) bool { return strings.HasPrefix(name, place) }) {
			kept[name] = true
		}
	}
	return kept
}
