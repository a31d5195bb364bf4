package assist

import (
	"debug/elf"
	"fmt"
	"go/version"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/mabuild/mabuild/planner/assist/script"
)

// Go runs the compiler, the linker and the other programs of the tool directory
// natively. The go command itself stays emulated in most RUNs: it says for which
// platform the tools work, and what it starts besides (C compilers, tests, generators)
// is the target's own. Where all of that is known beforehand, it is native, too.
type Go struct{}

// goroot is where the images named golang have it.
const goroot = "/usr/local/go"

var release = regexp.MustCompile(`^1(\.\d+){1,2}((rc|beta)\d+)?$`)

// Name implements [Recipe].
func (Go) Name() string { return "go" }

// Find implements [Recipe].
func (Go) Find(pair Pair) (Kit, error) {
	target, native := pair.Target.Env["GOLANG_VERSION"], pair.Native.Env["GOLANG_VERSION"]
	switch {
	case target == "":
		return Kit{}, ErrUnknownImage
	case target != native:
		return Kit{}, fmt.Errorf("the image has Go %s for %s and Go %s for %s", target, named(pair.Target), orNone(native), named(pair.Native))
	case !release.MatchString(target):
		// The output of other versions depends on the build of the compiler.
		return Kit{}, fmt.Errorf("Go %q is no release", target)
	case pair.Target.Platform.OS != "linux" || pair.Native.Platform.OS != "linux":
		return Kit{}, fmt.Errorf("Go's tools for %s are not those for linux", pair.Target.Platform.OS)
	}
	if root := pair.Target.Env["GOROOT"]; root != "" && path.Clean(root) != goroot {
		return Kit{}, fmt.Errorf("the image sets GOROOT=%s", root)
	}
	mount := Mount{
		Source: goroot + "/pkg/tool/linux_" + pair.Native.Platform.Architecture,
		Target: goroot + "/pkg/tool/linux_" + pair.Target.Platform.Architecture,
	}
	return Kit{
		Mounts: append([]Mount{mount}, commandMounts(pair)...), Tree: goroot,
		Read: []string{versionFile, defaultsFile, settingsFile},
		Prove: func(target, native Tree) error {
			if err := proveDefaults(pair, target, native); err != nil {
				return err
			}
			return proveGo(pair, mount, target, native)
		},
		ProvePart: func(part string, target, native Tree) error { return proveCommand(pair, part, target, native) },
	}, nil
}

const (
	versionFile  = goroot + "/VERSION"
	defaultsFile = goroot + "/src/internal/buildcfg/zbootstrap.go"
)

var (
	// defaultLoader is the loader that a toolchain was built with.
	defaultLoader = regexp.MustCompile("(?m)^const (?:d|D)efaultGO_LDSO = `(.*)`$")
	// variantDefault are settings that the go command passes to its tools.
	variantDefault = regexp.MustCompile(`(?m)^const DefaultGO(386|AMD64|ARM|ARM64|MIPS|MIPS64|PPC64|RISCV64) = .*\n`)
)

// proveDefaults compares what the tools don't get from the go command. One built
// on Alpine has the loader's name in it, which its linker uses for the machine that
// it runs on and no other: the only thing about that machine that gets into its
// output.
func proveDefaults(pair Pair, target, native Tree) error {
	var texts [2]string
	for i, side := range []struct {
		image Image
		tree  Tree
	}{{pair.Target, target}, {pair.Native, native}} {
		text := side.tree[defaultsFile].Content
		loader := defaultLoader.FindSubmatch(text)
		switch {
		case loader == nil:
			return fmt.Errorf("what Go for %s was built with is not known", named(side.image))
		case len(loader[1]) > 0:
			return fmt.Errorf("Go for %s was built for the loader %s", named(side.image), loader[1])
		}
		texts[i] = string(variantDefault.ReplaceAll(text, nil))
	}
	if texts[0] != texts[1] {
		return fmt.Errorf("Go for %s and %s was built with different settings (%s)", named(pair.Target), named(pair.Native), defaultsFile)
	}
	return nil
}

// proveGo compares versions and tools.
func proveGo(pair Pair, mount Mount, target, native Tree) error {
	for _, side := range []struct {
		image Image
		tree  Tree
	}{{pair.Target, target}, {pair.Native, native}} {
		first, _, _ := strings.Cut(string(side.tree[versionFile].Content), "\n")
		if want := "go" + side.image.Env["GOLANG_VERSION"]; strings.TrimSpace(first) != want {
			return fmt.Errorf("%s says %q for %s, where the image's configuration says %s", versionFile, first, named(side.image), want)
		}
	}
	if string(target[versionFile].Content) != string(native[versionFile].Content) {
		return fmt.Errorf("%s differs between %s and %s", versionFile, named(pair.Target), named(pair.Native))
	}
	emulated, tools := target.names(mount.Target), native.names(mount.Source)
	if !slices.Contains(emulated, "compile") || !slices.Contains(emulated, "link") {
		return fmt.Errorf("%s has no compiler and linker for %s", mount.Target, named(pair.Target))
	}
	if !slices.Equal(emulated, tools) {
		return fmt.Errorf("%s and %s don't have the same tools", mount.Target, mount.Source)
	}
	for _, tool := range tools {
		for _, side := range []struct {
			image Image
			file  File
		}{{pair.Target, target[path.Join(mount.Target, tool)]}, {pair.Native, native[path.Join(mount.Source, tool)]}} {
			if err := checkProgram(side.file.Head, side.image.Platform.Architecture); err != nil {
				return fmt.Errorf("checking Go's tool %s for %s: %w", tool, named(side.image), err)
			}
		}
		if err := checkStatic(native[path.Join(mount.Source, tool)].Head); err != nil {
			return fmt.Errorf("checking Go's tool %s for %s: %w", tool, named(pair.Native), err)
		}
	}
	return nil
}

// machines are the values of an ELF header.
var machines = map[string]elf.Machine{
	"amd64": elf.EM_X86_64, "386": elf.EM_386, "arm64": elf.EM_AARCH64, "arm": elf.EM_ARM, "ppc64le": elf.EM_PPC64,
	"s390x": elf.EM_S390, "riscv64": elf.EM_RISCV, "loong64": elf.EM_LOONGARCH, "mips64le": elf.EM_MIPS,
}

// goBuilders are the programs that are known to call go, beside scripts.
var goBuilders = []string{
	"go", "make", "gmake", "ninja", "mage", "task", "just", "goreleaser", "ko", "bazel", "cmake", "garble", "templ", "gotestsum",
	"golangci-lint", "govulncheck", "staticcheck", "wire", "mockgen", "buf", "xx-go", "xcaddy", "wails", "gox", "air",
}

// Judge implements [Recipe].
func (Go) Judge(run Run) Verdict {
	v := Verdict{Use: run.Opaque}
	for _, name := range []string{"GOROOT", "GOTOOLDIR"} {
		if value := run.Env[name]; value != "" && (name != "GOROOT" || path.Clean(value) != goroot) {
			v.Reason = fmt.Sprintf("%s is set to %s", name, value)
		}
	}
	if value := run.Env["GOFLAGS"]; strings.Contains(value, "-toolexec") {
		v.Reason = "GOFLAGS has -toolexec"
	}
	if run.Opaque {
		v.Note = "the script cannot be read in advance"
	}
	for _, c := range run.Commands {
		scripted := c.Scripted() && c.Name() != "go"
		if scripted || c.Calls(goBuilders...) {
			v.Use = true
		}
		if scripted || c.Calls("make", "gmake", "ninja", "mage", "task", "just", "bazel") {
			v.Note = fmt.Sprintf("what %s does with Go cannot be read in advance", c.Name())
		}
		if reason := forbiddenForGo(c); reason != "" {
			v.Reason, v.Spoils = reason, true
			return v
		}
	}
	v.Parts, v.Unread = commandParts(run)
	if v.Reason == "" && v.Use {
		var note string
		if v.Reason, note = toolchain(run); note != "" {
			v.Note = note
		}
	}
	return v
}

var (
	// pkgPath finds GOROOT or its pkg directory in a word, but not its other parts:
	// copying lib/wasm or patching src says nothing about the tools.
	pkgPath = regexp.MustCompile(`(?:usr/local/go|go env GOROOT\)|go env GOROOT` + "`" + `|\$\{?GOROOT\}?)"?(?:/*$|/+\.*/*$|/+pkg\b|/+\*|/+\S*\.\.|["' :;,)])`)
	// movers read or write whole trees.
	movers = []string{
		"cp", "mv", "rm", "tar", "bsdtar", "rsync", "cpio", "find", "zip", "unzip", "7z", "install", "ln", "chmod", "chown", "dd",
		"pax", "busybox", "upx", "strip", "mount", "curl", "wget", "git",
	}
	ancestors = []string{"/", "/*", "/usr", "/usr/*", "/usr/local", "/usr/local/*", "/usr/local/go", "/usr/local/go*", "/usr/local/g*"}
)

// forbiddenForGo says why a command keeps the tools from being replaced: it could
// change them, show what they are, or use them without the go command, which is
// what tells them the platform.
func forbiddenForGo(c script.Command) string {
	for _, assign := range c.Assigns {
		name, value, _ := strings.Cut(assign, "=")
		switch {
		case name == "GOTOOLDIR", name == "GOROOT" && path.Clean(value) != goroot, name == "GOTOOLCHAIN" && value != "local" && value != "auto":
			return fmt.Sprintf("it sets %s", assign)
		}
	}
	for _, word := range slices.Concat(c.Words, c.Redirects) {
		switch {
		case strings.HasPrefix(word, "GOTOOLDIR="), strings.HasPrefix(word, "GOROOT=") && c.Calls("go"), strings.HasPrefix(word, "GOTOOLCHAIN=go"):
			return fmt.Sprintf("it sets %s", word)
		case strings.Contains(word, "pkg/tool"), strings.Contains(word, "GOTOOLDIR"), pkgPath.MatchString(word) && !onlySearchPath(word):
			return fmt.Sprintf("it uses Go's own directory (%s)", word)
		case strings.Contains(word, "-toolexec"):
			return "it uses -toolexec"
		case strings.HasSuffix(word, "make.bash"), strings.HasSuffix(word, "all.bash"):
			return "it builds Go itself"
		}
	}
	if slices.Contains([]string{"cd", "pushd"}, c.Name()) && len(c.Words) > 1 {
		if dir := path.Clean(c.Words[1]); slices.Contains(ancestors[2:], dir) {
			return fmt.Sprintf("it works in %s", dir)
		}
	}
	if c.Calls(movers...) {
		for i, word := range c.Words[1:] {
			if word == "/" && i == len(c.Words)-2 && !recursive(c) {
				continue // files that get there have other names
			}
			if dir := strings.TrimPrefix(strings.TrimPrefix(word, "--directory="), "-C"); dir != "" && slices.Contains(ancestors, path.Clean(dir)) {
				return fmt.Sprintf("%s works on %s, which has Go in it", c.Name(), dir)
			}
		}
	}
	return forbiddenGoCommand(c)
}

// recursive reports whether a command copies or moves directories.
func recursive(c script.Command) bool {
	if !slices.Contains([]string{"cp", "install"}, c.Name()) {
		return true
	}
	return slices.ContainsFunc(c.Words[1:], func(word string) bool {
		return strings.HasPrefix(word, "--recursive") || strings.HasPrefix(word, "--archive") ||
			strings.HasPrefix(word, "-") && !strings.HasPrefix(word, "--") && strings.ContainsAny(word, "arR")
	})
}

// onlySearchPath is what sets PATH.
func onlySearchPath(word string) bool { return strings.HasPrefix(word, "PATH=") }

// forbiddenGoCommand looks at calls of the go command.
func forbiddenGoCommand(c script.Command) string {
	at := slices.IndexFunc(c.Words, func(word string) bool { return path.Base(word) == "go" })
	if at < 0 {
		return ""
	}
	args := c.Words[at+1:]
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	for i, arg := range args {
		switch {
		case verb == "tool" && i == 1 && arg == "dist":
			return "go tool dist describes the machine that it runs on"
		case verb == "install" && (arg == "cmd" || arg == "std" || arg == "all" || strings.HasPrefix(arg, "cmd/")):
			return "it installs Go's own programs"
		case verb == "get" && (strings.HasPrefix(arg, "toolchain@") || strings.HasPrefix(arg, "go@")):
			return "it changes the toolchain"
		case (verb == "mod" || verb == "work") && strings.HasPrefix(arg, "-toolchain"):
			return "it changes the toolchain"
		case verb == "env" && strings.HasPrefix(arg, "GOTOOLCHAIN="), verb == "env" && strings.HasPrefix(arg, "GOROOT="):
			return "it changes the toolchain"
		}
	}
	return ""
}

var goLine = regexp.MustCompile(`(?m)^\s*(?:go|toolchain)\s+(?:go)?(\d+\.\S+)`)

// toolchain says whether the go command will run another version of itself, or
// that it cannot be known.
func toolchain(run Run) (reason, note string) {
	have := "go" + run.Pair.Target.Env["GOLANG_VERSION"]
	setting := run.Env["GOTOOLCHAIN"]
	switch {
	case setting == "local", setting == have, setting == have+"+local":
		return "", ""
	case setting != "" && setting != "auto" && setting != "path" && !strings.HasSuffix(setting, "+auto") && !strings.HasSuffix(setting, "+path"):
		return fmt.Sprintf("GOTOOLCHAIN is %s, where the image has %s", setting, have), ""
	}
	if run.Files == nil {
		return "", "the go.mod cannot be read; if it asks for a newer Go than " + have + ", that one runs emulated"
	}
	for _, name := range []string{"go.mod", "go.work"} {
		text, err := fs.ReadFile(run.Files, name)
		if err != nil {
			continue
		}
		for _, match := range goLine.FindAllSubmatch(text, -1) {
			if wanted := "go" + string(match[1]); version.Compare(wanted, have) > 0 {
				return fmt.Sprintf("%s asks for %s, which is downloaded and runs emulated; use an image with it", name, wanted), ""
			}
		}
	}
	return "", ""
}
