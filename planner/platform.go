package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// example is the right spelling that errors show when nothing nearer is known.
const example = "linux/arm64"

// ParsePlatforms reads platform lists such as "linux/amd64, linux/arm/v7".
// Every argument may be one platform or a comma list of them. Platforms come
// back normalised, in the order given, each one once. No argument at all gives
// an empty list, which Expand takes as the build platform; an empty string is
// an error. Errors are of type *PlatformError.
func ParsePlatforms(specs ...string) ([]ocispec.Platform, error) {
	var list []ocispec.Platform
	seen := make(map[string]bool)
	for _, spec := range specs {
		for item := range strings.SplitSeq(spec, ",") {
			platform, err := parsePlatform(strings.TrimSpace(item))
			if err != nil {
				if err.Item == "" {
					err.Reason = fmt.Sprintf("empty item in the list %q", spec)
				}
				return nil, err
			}
			if key := platforms.FormatAll(platform); !seen[key] {
				seen[key] = true
				list = append(list, platform)
			}
		}
	}
	return list, nil
}

// parsePlatform reads one item of a list. The checks that containerd leaves
// out come first and last: it takes any word as architecture or variant, and
// drops the variant after some aliases.
func parsePlatform(item string) (ocispec.Platform, *PlatformError) {
	if strings.EqualFold(item, "local") {
		return hostPlatform(), nil
	}
	fail := func(hint, format string, args ...any) (ocispec.Platform, *PlatformError) {
		return ocispec.Platform{}, &PlatformError{Item: item, Reason: fmt.Sprintf(format, args...), Hint: hint}
	}
	parts := strings.Split(item, "/")
	shape := "write it like " + example + " or linux/arm/v7"
	switch {
	case item == "":
		return fail("write it like linux/amd64,linux/arm64", "empty item")
	case slices.Contains(parts, ""):
		return fail(shape, "empty component")
	case strings.ContainsFunc(item, isBlank):
		return fail(shape, "blank inside the item")
	case len(parts) > 3:
		return fail(shape, "%d components, a platform has at most 3: os/architecture/variant", len(parts))
	}
	platform, err := parseFor(hostPlatform(), item)
	if err != nil {
		reason := strings.TrimPrefix(err.Error(), fmt.Sprintf("%q: ", item))
		return fail(nearWord(item, shape), "%s", strings.TrimSuffix(reason, ": invalid argument"))
	}
	if hint, reason := checkNames(platform, parts); reason != "" {
		return fail(hint, "%s", reason)
	}
	return platforms.Normalize(platform), nil
}

// isOptionMark reports whether a character is not allowed in an OS version or
// feature. They go into comma lists and Dockerfile arguments, where the
// characters that containerd lets through in %XX form would be read again.
func isOptionMark(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("._-", r)
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' }

// checkNames compares a parsed platform with the tables of known names.
// An empty reason means that all is well.
func checkNames(platform ocispec.Platform, parts []string) (hint, reason string) {
	switch known := architectures(platform.OS); {
	case known == nil:
		return nearSystem(platform.OS, parts), fmt.Sprintf("unknown operating system %q", platform.OS)
	case !slices.Contains(known, platform.Architecture):
		return nearArchitecture(platform.OS, platform.Architecture),
			fmt.Sprintf("unknown architecture %q for %s", platform.Architecture, platform.OS)
	}
	for _, option := range append([]string{platform.OSVersion}, platform.OSFeatures...) {
		if strings.ContainsFunc(option, isOptionMark) {
			return "write it like windows(10.0.20348.0)/amd64",
				fmt.Sprintf("OS version or feature %q has characters other than letters, digits, '.', '_' and '-'", option)
		}
	}
	if len(parts) == 3 {
		return checkVariant(platform, strings.ToLower(parts[1]), strings.ToLower(parts[2]))
	}
	return "", ""
}

// checkVariant compares the variant, as parsed and as written behind an
// architecture, with the table.
func checkVariant(platform ocispec.Platform, arch, variant string) (hint, reason string) {
	prefix := platform.OS + "/" + platform.Architecture
	allowed := variants(platform.Architecture)
	switch {
	case len(allowed) == 0:
		return "write " + prefix, fmt.Sprintf("%s has no variants, got %q", platform.Architecture, variant)
	case arch == "armhf" || arch == "armel":
		return fmt.Sprintf("write %s or %s/v7", arch, prefix),
			fmt.Sprintf("%s is itself a variant of arm and takes no other", arch)
	case platform.Variant == "" || slices.Contains(allowed, platform.Variant):
		return "", ""
	}
	reason = fmt.Sprintf("unknown variant %q, %s has %s", variant, platform.Architecture, strings.Join(allowed, " "))
	for _, name := range slices.Backward(allowed) {
		if strings.HasPrefix("v"+strings.TrimPrefix(variant, "v"), name) {
			return fmt.Sprintf("did you mean %s/%s?", prefix, name), reason
		}
	}
	return fmt.Sprintf("write it like %s/%s", prefix, allowed[0]), reason
}

// parseFor parses a specifier as containerd does on the given machine. The
// missing half of a bare "linux" or "arm64" is taken from there: containerd
// takes it from the program's own machine, which need not be the builder's.
func parseFor(machine ocispec.Platform, spec string) (ocispec.Platform, error) {
	if strings.Contains(spec, "/") {
		return platforms.Parse(spec)
	}
	platform, err := platforms.Parse(spec + "/" + machine.Architecture)
	if err != nil {
		_, err = platforms.Parse(spec)
		return ocispec.Platform{}, err
	}
	if architectures(platform.OS) != nil {
		platform.Variant = machine.Variant
		return platform, nil
	}
	platform, err = platforms.Parse(machine.OS + "/" + spec)
	if err == nil && !knownArchitecture(platform.Architecture) {
		err = fmt.Errorf("%q is neither an operating system nor an architecture", spec)
	}
	return platform, err
}

// hostPlatform is what "local" means: the normalised platform of this machine.
// On macOS and Windows builds run in Linux on the same processor, so the
// host's own operating system is never meant.
func hostPlatform() ocispec.Platform {
	platform := platforms.Normalize(platforms.DefaultSpec())
	if platform.OS == "darwin" || platform.OS == "windows" {
		return ocispec.Platform{OS: "linux", Architecture: platform.Architecture, Variant: platform.Variant}
	}
	return platform
}
