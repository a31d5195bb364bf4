package assist

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/mabuild/mabuild/planner/assist/script"
)

// The parts of Go's kit have the go command itself. Its platform is what it builds
// for if nothing else is said, so it is native only in RUNs whose commands are
// known, one by one, not to care, or with the target's platform written into the
// file of its settings.
const (
	// modules is for commands that only fetch modules. What is fetched, unpacked and
	// hashed has nothing to do with platforms.
	modules = "modules"
	// builds is for go build without cgo, of which the go command does nothing but
	// start Go's own tools.
	builds = "builds"

	goCommand    = goroot + "/bin/go"
	goTools      = goroot + "/pkg/tool"
	settingsFile = goroot + "/go.env" // since Go 1.21
)

// commandMounts are the mounts of the parts.
func commandMounts(pair Pair) []Mount {
	return []Mount{
		{Source: goCommand, Target: goCommand, Part: modules},
		{Source: goCommand, Target: goCommand, Part: builds},
		// The go command takes its tools from the directory named by its own platform,
		// whatever it builds for.
		{Source: goTools, Target: goTools, Part: builds},
		{Target: settingsFile, Append: "GOARCH=" + pair.Target.Platform.Architecture + "\n", Part: builds},
	}
}

// proveCommand compares the go commands, whose version proveGo has compared.
func proveCommand(pair Pair, part string, target, native Tree) error {
	if err := checkProgram(target[goCommand].Head, pair.Target.Platform.Architecture); err != nil {
		return fmt.Errorf("checking the go command for %s: %w", named(pair.Target), err)
	}
	if err := checkProgram(native[goCommand].Head, pair.Native.Platform.Architecture); err != nil {
		return fmt.Errorf("checking the go command for %s: %w", named(pair.Native), err)
	}
	if err := checkStatic(native[goCommand].Head); err != nil {
		return fmt.Errorf("checking the go command for %s: %w", named(pair.Native), err)
	}
	if part == modules {
		return nil
	}
	architecture := pair.Target.Platform.Architecture
	if setsArchitecture.Match(target[settingsFile].Content) {
		return fmt.Errorf("%s for %s chooses a platform", settingsFile, named(pair.Target))
	}
	// The default of GOARM and the like was given to each when it was built.
	emulated, ours := variantOf(architecture, target), variantOf(architecture, native)
	if emulated != ours {
		return fmt.Errorf("the go commands for %s and %s have different defaults for %s: %s and %s",
			named(pair.Target), named(pair.Native), architecture, orNone(emulated), orNone(ours))
	}
	return nil
}

var setsArchitecture = regexp.MustCompile(`(?m)^\s*GO(ARCH|OS)=`)

// variantOf is the default of what GOARM is for arm, as it is written.
func variantOf(architecture string, tree Tree) string {
	variable := strings.TrimSuffix(strings.ToUpper(architecture), "LE")
	for _, match := range variantDefault.FindAllSubmatch(tree[defaultsFile].Content, -1) {
		if string(match[1]) == variable {
			return strings.TrimSpace(string(match[0]))
		}
	}
	return ""
}

// bystanders are programs that never call go, nor say what it is. Whatever they do,
// they do it with files that the parts leave as they are.
var bystanders = []string{
	"cd", "set", "true", "false", ":", "export", "echo", "printf", "test", "[", "exit", "umask", "pwd", "date",
	"mkdir", "rmdir", "touch", "cp", "mv", "rm", "ln", "install", "chmod", "chown", "mktemp", "ls", "cat", "head", "tail", "wc",
	"cut", "tr", "sed", "grep", "sort", "uniq", "basename", "dirname", "realpath", "tar", "gzip", "gunzip", "unzip", "sha256sum",
	"git", "curl", "wget", "apk", "apt-get", "apt", "update-ca-certificates", "adduser", "addgroup", "useradd", "groupadd",
}

// commandParts says which parts the commands of a RUN may get: none, unless each of
// them is known. Unread is set if one may change what the parts replace.
func commandParts(run Run) (parts []string, unread bool) {
	if run.Opaque {
		return nil, true
	}
	fetches, compiles, other := false, false, false
	for _, c := range run.Commands {
		switch {
		case mentionsCommand(c) || !known(c):
			unread = true
		case len(c.Words) < 2 || c.Words[0] != "go":
		case c.Words[1] == "mod" && len(c.Words) > 2 && slices.Contains([]string{"download", "verify"}, c.Words[2]):
			fetches = true
		case c.Words[1] == "build" && plainBuild(c, run.Env):
			compiles = true
		default:
			other = true
		}
	}
	switch {
	case unread || other:
		return nil, unread
	case compiles:
		return []string{builds, ""}, false
	case fetches:
		return []string{modules}, false
	}
	return nil, false
}

// known reports whether a command is Go's, or calls nobody.
func known(c script.Command) bool {
	if len(c.Words) == 0 || c.Words[0] == "go" {
		return true
	}
	dir := path.Dir(c.Words[0])
	return slices.Contains(bystanders, c.Name()) && slices.Contains([]string{".", "/bin", "/usr/bin"}, dir) && !strings.Contains(c.Words[0], "./")
}

// mentionsCommand reports whether a command has to do with what the parts replace,
// other than by running it.
func mentionsCommand(c script.Command) bool {
	for i, word := range slices.Concat(c.Words, c.Redirects) {
		if i > 0 && path.Base(word) == "go" || strings.Contains(word, "GOROOT") || strings.Contains(word, "go.env") ||
			strings.Contains(word, goroot) && !onlySearchPath(word) {
			return true
		}
	}
	if len(c.Words) > 0 && c.Words[0] == "go" {
		return false
	}
	// Exported or set for all that follows, if it is reached.
	return slices.ContainsFunc(slices.Concat(c.Words, c.Assigns), func(assign string) bool {
		return strings.HasPrefix(assign, "GO") || strings.HasPrefix(assign, "CGO_") || strings.HasPrefix(assign, "PATH=")
	})
}

// buildFlags are flags of go build whose meaning does not depend on the machine that
// it runs on, and whether they have a value. Not here are those that need cgo (-race,
// -msan, -asan, -linkshared, -buildmode), other tools (-compiler, -toolexec), or that
// write into GOROOT (-i, -pkgdir).
var buildFlags = map[string]bool{
	"a": false, "v": false, "x": false, "n": false, "work": false, "trimpath": false, "buildvcs": false, "modcacherw": false, "json": false,
	"o": true, "C": true, "p": true, "ldflags": true, "gcflags": true, "asmflags": true, "tags": true, "mod": true, "modfile": true,
	"pgo": true, "overlay": true,
}

// plainBuild reports whether a go build makes the same on any machine.
func plainBuild(c script.Command, env map[string]string) bool {
	settings := map[string]string{"CGO_ENABLED": env["CGO_ENABLED"], "GOFLAGS": env["GOFLAGS"]}
	for _, assign := range c.Assigns {
		if name, value, _ := strings.Cut(assign, "="); name == "CGO_ENABLED" || name == "GOFLAGS" {
			settings[name] = value
		}
	}
	if settings["CGO_ENABLED"] != "0" {
		return false
	}
	for _, flag := range strings.Fields(settings["GOFLAGS"]) {
		if rest, ok := afterFlag([]string{flag}); !ok || len(rest) > 0 {
			return false
		}
	}
	args := c.Words[2:]
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		rest, ok := afterFlag(args)
		if !ok {
			return false
		}
		args = rest
	}
	// What is left are packages; Go's own programs describe the machine.
	return !slices.ContainsFunc(args, func(arg string) bool {
		first, _, _ := strings.Cut(arg, "/")
		return slices.Contains([]string{"cmd", "std", "all"}, first) || strings.HasPrefix(arg, "$")
	})
}

// afterFlag returns what follows the first flag and its value. It is false for a flag
// that is not in the list.
func afterFlag(args []string) (rest []string, known bool) {
	name, value, inline := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(args[0], "-"), "-"), "=")
	valued, known := buildFlags[name]
	rest = args[1:]
	if valued && !inline {
		if len(rest) == 0 {
			return nil, false
		}
		value, rest = rest[0], rest[1:]
	}
	// The linker takes another one's help, or another loader.
	for _, other := range []string{"-linkmode", "-extld", "-race", "-msan", "-asan", "-buildmode", "-linkshared", "-I", "-r ", "-installsuffix"} {
		if name == "ldflags" && strings.Contains(value, other) {
			return nil, false
		}
	}
	return rest, known
}
