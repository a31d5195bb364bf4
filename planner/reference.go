package planner

import (
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// CompleteReference spells out a reference: docker.io/library/debian:latest for
// debian. What is none stays as it is.
func CompleteReference(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return reference.TagNameOnly(named).String()
}

// FamiliarReference shortens a reference as BuildKit does for the names of contexts.
// What is none stays as it is.
func FamiliarReference(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return strings.TrimSuffix(reference.FamiliarString(named), ":latest")
}

// FormatPlatform is the one way to write a platform in plans: linux/arm/v7.
func FormatPlatform(platform ocispec.Platform) string {
	return platforms.FormatAll(platforms.Normalize(platform))
}

// FirstLine returns the line where an instruction begins, 0 if that is unknown.
func FirstLine(ranges []parser.Range) int {
	if len(ranges) == 0 {
		return 0
	}
	return ranges[0].Start.Line
}
