package lint

import (
	"slices"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner/exact"
)

// job is a platform that is built.
type job struct {
	name      string
	arch      string
	automatic map[string]string // the arguments that BuildKit sets
}

func newJob(name, build string) job {
	target, from := parsePlatform(name), parsePlatform(build)
	return job{name: name, arch: target.Architecture, automatic: map[string]string{
		"BUILDPLATFORM": build, "BUILDOS": from.OS, "BUILDARCH": from.Architecture, "BUILDVARIANT": from.Variant,
		"TARGETPLATFORM": name, "TARGETOS": target.OS, "TARGETARCH": target.Architecture, "TARGETVARIANT": target.Variant,
	}}
}

func parsePlatform(name string) ocispec.Platform {
	parsed, err := platforms.Parse(name)
	if err != nil {
		return ocispec.Platform{}
	}
	return platforms.Normalize(parsed)
}

// stage is what the rules want to know about a FROM.
type stage struct {
	exec    map[string]string // architecture by job
	varies  bool              // executes on more than one architecture
	pinned  bool              // executes on one architecture for targets of several
	windows bool
	shipped bool // pinned, and its files go to a stage that varies
}

func stagesOf(plan *exact.Result, jobs []job) []stage {
	stages := make([]stage, len(plan.Stages))
	number := make(map[string]int)
	for i, s := range plan.Stages {
		number[s.Name] = i
		st := stage{exec: make(map[string]string)}
		execs, targets := make(map[string]bool), make(map[string]bool)
		for _, j := range jobs {
			name, ok := s.ExecPlatform[j.name]
			if !ok {
				continue
			}
			platform := parsePlatform(name)
			st.windows = st.windows || platform.OS == "windows"
			st.exec[j.name] = platform.Architecture
			execs[platform.Architecture], targets[j.arch] = true, true
		}
		st.varies = len(execs) > 1
		st.pinned = len(execs) == 1 && len(targets) > 1
		stages[i] = st
	}
	// Stages use earlier ones, with few exceptions that do not matter here.
	for i, s := range slices.Backward(plan.Stages) {
		for _, e := range s.Edges {
			from, ok := number[e.Stage]
			if !ok || e.Stage == "" || !stages[from].pinned {
				continue
			}
			if e.Kind == exact.EdgeCopy && stages[i].varies || e.Kind == exact.EdgeFrom && stages[i].shipped {
				stages[from].shipped = true
			}
		}
	}
	return stages
}

// runsOn reports whether an architecture runs programs of another one: CPUs of 64
// bits have the older mode.
func runsOn(exec, program string) bool {
	return exec == program || exec == "amd64" && program == "386" || exec == "arm64" && program == "arm"
}

// token is the name of an architecture in a text.
type token struct {
	arch       string
	text       string
	start, end int
}

// archives are the ends of the names of files to be unpacked or installed.
const archives = `tar\.[a-z0-9]+|tgz|txz|tbz2?|tzst|zip|deb|rpm|apk|appimage|gz|xz|bz2|zst|run|whl`

// longestName bounds the words that can be names of architectures.
const longestName = 14

// tokens returns the names of architectures in a text. What can mean something
// else, as x64 can, counts only after "linux" or before the end of an archive.
func tokens(text string) []token {
	var found []token
	before := "" // the word before, if one character is between
	for i := 0; i < len(text); {
		if !alphanumeric(text[i]) {
			i++
			continue
		}
		end := i + 1
		for end < len(text) && alphanumeric(text[end]) {
			end++
		}
		if end-i <= longestName {
			word := lower(text[i:end])
			if word == "x86" && isSeparated(text, end, "64") {
				end += len("_64")
				word = "x86_64"
			}
			start := i
			arch := archOf(word)
			if arch == "" {
				arch, start = weakArch(text, word, before, i, end)
			}
			if arch != "" {
				found = append(found, token{arch, text[start:end], start, end})
			}
			before = word
		} else {
			before = ""
		}
		if end+1 < len(text) && !strings.ContainsRune("-_.", rune(text[end])) {
			before = ""
		}
		i = end
	}
	return found
}

// isSeparated reports whether a word follows after a dash or the like.
func isSeparated(text string, end int, word string) bool {
	rest := text[end:]
	if len(rest) <= len(word) || rest[0] != '_' && rest[0] != '-' || rest[1:1+len(word)] != word {
		return false
	}
	return len(rest) == 1+len(word) || !alphanumeric(rest[1+len(word)])
}

// lower is strings.ToLower for what has no other letters.
func lower(word string) string {
	for i := range len(word) {
		if word[i] >= 'A' && word[i] <= 'Z' {
			return strings.ToLower(word)
		}
	}
	return word
}

// archOf returns the architecture of a word that can hardly mean anything else.
func archOf(word string) string {
	switch word {
	case "arm64v8": // Docker's
		return "arm64"
	case "amd64v2", "amd64v3", "amd64v4":
		return "amd64"
	case "arm32v5", "arm32v6", "arm32v7":
		return "arm"
	}
	switch word {
	case "x86_64", "amd64", "aarch64", "arm64", "armhf", "armel", "i386", "i486", "i586", "i686", "ppc64le", "ppc64el", "powerpc64le",
		"s390x", "riscv64", "loong64", "loongarch64", "mips64el", "mips64le":
		return canonical(word)
	}
	if rest, ok := strings.CutPrefix(word, "armv"); ok && rest != "" && len(rest) < 4 && rest[0] >= '5' && rest[0] <= '8' {
		return canonical(word)
	}
	return ""
}

// weakArch returns the architecture of a word after "linux" or before the end of
// an archive, and where it starts.
func weakArch(text, word, before string, start, end int) (string, int) {
	name := word
	if rest, ok := strings.CutPrefix(word, "linux"); ok {
		name, before, start = rest, "linux", start+len("linux")
	}
	if before == "linux" {
		switch name {
		case "x64", "x86", "64bit", "64", "32", "386", "arm":
			return canonical(name), start
		}
		return "", start
	}
	if word == "x64" && start > 0 && strings.ContainsRune("-_.", rune(text[start-1])) && isArchiveEnd(text[end:]) {
		return "amd64", start
	}
	return "", start
}

// isArchiveEnd reports whether a text goes on with the end of the name of an
// archive.
func isArchiveEnd(rest string) bool {
	rest, ok := strings.CutPrefix(rest, ".")
	if !ok {
		return false
	}
	end := 0
	for end < len(rest) && alphanumeric(rest[end]) {
		end++
	}
	switch lower(rest[:end]) {
	case "tar", "tgz", "txz", "tbz", "tbz2", "tzst", "zip", "deb", "rpm", "apk", "appimage", "gz", "xz", "bz2", "zst", "run", "whl":
		return true
	}
	return false
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// canonical returns the architecture as platforms spell it.
func canonical(name string) string {
	switch name = strings.ToLower(name); name {
	case "x86_64", "x86-64", "amd64", "x64", "64", "64bit":
		return "amd64"
	case "x86", "32", "386", "ia32":
		return "386"
	case "aarch64", "arm64":
		return "arm64"
	case "arm", "armhf", "armel":
		return "arm"
	case "ppc64el", "powerpc64le":
		return "ppc64le"
	case "loongarch64":
		return "loong64"
	case "mips64el":
		return "mips64le"
	}
	switch {
	case strings.HasPrefix(name, "armv8"):
		return "arm64"
	case strings.HasPrefix(name, "armv"):
		return "arm"
	case len(name) == 4 && name[0] == 'i':
		return "386"
	}
	return name
}
