package verify

import (
	"fmt"
	"path"
	"strings"
)

// globs are patterns of paths.
type globs [][]string

// parseGlobs reads patterns: path.Match's for each part of a path, ** for any
// number of parts. One without a slash is for a name anywhere.
func parseGlobs(patterns []string) (globs, error) {
	var list globs
	for _, pattern := range patterns {
		parts := strings.Split(strings.Trim(pattern, "/"), "/")
		if !strings.Contains(pattern, "/") {
			parts = []string{"**", pattern}
		}
		for _, part := range parts {
			if _, err := path.Match(part, ""); err != nil || part == "" {
				return nil, fmt.Errorf("reading the pattern %q: it is no glob; write one like usr/lib/firmware/** or *.bin", pattern)
			}
		}
		list = append(list, parts)
	}
	return list, nil
}

func (g globs) match(name string) bool {
	if len(g) == 0 {
		return false
	}
	parts := strings.Split(name, "/")
	for _, pattern := range g {
		if matchParts(pattern, parts) {
			return true
		}
	}
	return false
}

// matchParts goes back to the last ** only, as is enough for globs.
func matchParts(pattern, parts []string) bool {
	p, n := 0, 0
	star, from := -1, 0
	for n < len(parts) {
		switch {
		case p < len(pattern) && pattern[p] == "**":
			star, from = p, n
			p++
		case p < len(pattern) && matchPart(pattern[p], parts[n]):
			p++
			n++
		case star >= 0:
			from++
			p, n = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == "**" {
		p++
	}
	return p == len(pattern)
}

func matchPart(pattern, part string) bool {
	ok, err := path.Match(pattern, part)
	return ok && err == nil
}
