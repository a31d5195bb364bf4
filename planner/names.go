package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/util/suggest"
)

// systems lists the operating systems that a platform may name: those of
// `go tool dist list`, which is what the OCI image specification refers to,
// and wasi, which WebAssembly images used before Go had wasip1.
func systems() []string {
	return []string{
		"linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "dragonfly", "solaris", "illumos",
		"aix", "android", "ios", "plan9", "js", "wasip1", "wasi",
	}
}

// architectures lists the architectures known for an operating system in
// their normalised spelling, nil for an unknown system.
func architectures(system string) []string {
	switch system {
	case "linux":
		return []string{
			"amd64", "arm64", "386", "arm", "riscv64", "ppc64le", "s390x", "loong64",
			"mips64le", "mips64", "mipsle", "mips", "ppc64", "sparc64",
		}
	case "windows":
		return []string{"amd64", "arm64", "386", "arm"}
	case "darwin", "ios":
		return []string{"amd64", "arm64"}
	case "android":
		return []string{"amd64", "arm64", "386", "arm"}
	case "freebsd":
		return []string{"amd64", "arm64", "386", "arm", "riscv64"}
	case "netbsd":
		return []string{"amd64", "arm64", "386", "arm"}
	case "openbsd":
		return []string{"amd64", "arm64", "386", "arm", "riscv64", "ppc64"}
	case "dragonfly", "solaris", "illumos":
		return []string{"amd64"}
	case "aix":
		return []string{"ppc64"}
	case "plan9":
		return []string{"amd64", "386", "arm"}
	case "js", "wasip1", "wasi":
		return []string{"wasm"}
	}
	return nil
}

// knownArchitecture reports whether any operating system has the architecture.
func knownArchitecture(arch string) bool {
	return slices.ContainsFunc(systems(), func(system string) bool {
		return slices.Contains(architectures(system), arch)
	})
}

// variants lists the variants known for an architecture as they are spelled
// after normalisation, plus the default ones that normalisation drops.
func variants(arch string) []string {
	switch arch {
	case "amd64":
		return []string{"v1", "v2", "v3", "v4"}
	case "arm":
		return []string{"v5", "v6", "v7", "v8"}
	case "arm64":
		return []string{
			"v8", "v8.1", "v8.2", "v8.3", "v8.4", "v8.5", "v8.6", "v8.7", "v8.8", "v8.9",
			"v9", "v9.1", "v9.2", "v9.3", "v9.4", "v9.5", "v9.6", "v9.7",
		}
	case "ppc64", "ppc64le":
		return []string{"power8", "power9", "power10"}
	case "riscv64":
		return []string{"rva20u64", "rva22u64", "rva23u64"}
	}
	return nil
}

// nearWord returns the hint for a single word that is neither an operating
// system nor an architecture, or the other hint if nothing is near.
func nearWord(word, other string) string {
	if strings.Contains(word, "/") {
		return other
	}
	near := foreignSpelling(strings.ToLower(word))
	if near == "" {
		near = nearest(strings.ToLower(word), append(architectures("linux"), systems()...))
	}
	switch {
	case near == "":
		return other
	case architectures(near) != nil:
		return fmt.Sprintf("did you mean %s?", near)
	}
	return fmt.Sprintf("did you mean linux/%s?", near)
}

// nearSystem returns the hint for an unknown operating system.
func nearSystem(word string, parts []string) string {
	if knownArchitecture(word) {
		if len(parts) == 2 && architectures(parts[1]) != nil {
			return fmt.Sprintf("the operating system comes first: %s/%s", parts[1], word)
		}
		return fmt.Sprintf("the operating system comes first: linux/%s", strings.Join(parts, "/"))
	}
	if near := nearest(word, systems()); near != "" {
		return fmt.Sprintf("did you mean %s?", strings.Join(append([]string{near}, parts[1:]...), "/"))
	}
	return "write it like " + example
}

// nearArchitecture returns the hint for an unknown architecture: the platform
// behind a spelling that other tools use, or the nearest known name.
func nearArchitecture(system, word string) string {
	known := architectures(system)
	near := foreignSpelling(word)
	if arch, _, _ := strings.Cut(near, "/"); !slices.Contains(known, arch) {
		near = nearest(word, known)
	}
	if near != "" {
		return fmt.Sprintf("did you mean %s/%s?", system, near)
	}
	return fmt.Sprintf("write it like %s/%s (known: %s)", system, known[0], strings.Join(known, " "))
}

// nearest returns the name that a word is probably a slip of. Names are short,
// so a distance of two alone would take wasm for arm.
func nearest(word string, names []string) string {
	near, ok := suggest.Search(word, names, true)
	if !ok || len(word) < 4 || word[0] != near[0] {
		return ""
	}
	return near
}

// foreignSpelling translates architecture names of uname, dpkg, Docker Hub and
// package indexes that containerd does not take as aliases.
func foreignSpelling(word string) string {
	switch word {
	case "x64", "em64t", "intel64":
		return "amd64"
	case "x86", "i486", "i586", "i686", "ia32":
		return "386"
	case "armv8", "armv8a", "arm64v8", "aarch64le":
		return "arm64"
	case "armv7", "armv7a", "armv7l", "armv7hf", "arm32", "arm32v7":
		return "arm/v7"
	case "armv6", "armv6l", "armv6hf", "arm32v6":
		return "arm/v6"
	case "armv5", "armv5l", "armv5te", "armv5tel", "arm32v5":
		return "arm/v5"
	case "powerpc64le", "ppc64el":
		return "ppc64le"
	case "mips64el", "mips64r6el":
		return "mips64le"
	case "mipsel":
		return "mipsle"
	case "loongarch64", "loongarch":
		return "loong64"
	case "riscv":
		return "riscv64"
	case "s390":
		return "s390x"
	}
	return ""
}
