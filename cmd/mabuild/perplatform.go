package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
)

// cutPlatform splits what can begin with a platform, as in linux/arm64:NAME=VALUE. A
// platform has a slash, is one that images are made for, and ends at the first colon,
// which comes before any "=". The platform is empty for a value that is for all.
func cutPlatform(item string) (platform, rest string) {
	head, rest, found := strings.Cut(item, ":")
	if !found || !strings.Contains(head, "/") || strings.ContainsAny(head, "=,") {
		return "", item
	}
	parsed, err := planner.ParsePlatforms(head)
	if err != nil || len(parsed) != 1 {
		return "", item
	}
	return platforms.FormatAll(parsed[0]), rest
}

// byPlatform sorts items by the platform before them; those for all are under the
// empty name.
func byPlatform(items []string) map[string][]string {
	sorted := make(map[string][]string)
	for _, item := range items {
		platform, rest := cutPlatform(item)
		sorted[platform] = append(sorted[platform], rest)
	}
	return sorted
}

// platformPairs reads NAME=VALUE items that can have a platform before them.
func platformPairs(flag string, items []string, lookup func(string) (string, bool)) (map[string]map[string]string, error) {
	values := map[string]map[string]string{"": {}}
	for platform, own := range byPlatform(items) {
		var err error
		if values[platform], err = pairs(flag, own, lookup); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// override returns what is different for some platforms.
func override(args map[string]map[string]string, targets map[string][]string) map[string]planner.Override {
	overrides := make(map[string]planner.Override)
	for platform, own := range args {
		if platform != "" {
			overrides[platform] = planner.Override{Args: own}
		}
	}
	for platform, names := range targets {
		if platform != "" {
			o := overrides[platform]
			o.Target = names[len(names)-1]
			overrides[platform] = o
		}
	}
	return overrides
}

// key is what a platform is called in maps.
func key(platform ocispec.Platform) string {
	return planner.FormatPlatform(platform)
}

// notBuilt returns those of the names that are not among the platforms.
func notBuilt[V any](names map[string]V, built []ocispec.Platform) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if name != "" && !slices.ContainsFunc(built, func(p ocispec.Platform) bool { return key(p) == name }) {
			list = append(list, name)
		}
	}
	return list
}
