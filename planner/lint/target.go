package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/mabuild/mabuild/planner/exact"
)

// constant is an order to compile for one architecture.
type constant struct {
	at   *instruction
	text string // as written
	arch string // empty for the machine that compiles
	fix  string
	any  bool // means an order wherever it executes, not only where it runs on the target
}

// targets finds compilers that are told to build for one architecture in stages
// that are built for several.
func (l *linter) targets() {
	march := regexp.MustCompile(`-march=([A-Za-z0-9._+-]+)`)
	seen := make(map[*instruction]bool)
	for _, r := range l.runs {
		for _, c := range l.constants(r, march) {
			if !seen[c.at] && l.reportTarget(r, c) {
				seen[c.at] = true
			}
		}
	}
}

// constants returns the orders in a command.
func (l *linter) constants(r *run, march *regexp.Regexp) []constant {
	var found []constant
	if c, ok := l.goarchInEnv(r); ok {
		found = append(found, c)
	}
	if !slices.ContainsFunc([]string{"GOARCH", "target", "--host", "dotnet", "npm_config", "arch"}, func(part string) bool { return strings.Contains(r.text, part) }) {
		return found
	}
	s := r.script()
	if s == nil || s.adapts(func(name string) (string, bool) {
		if strings.HasPrefix(name, "CARGO_TARGET") {
			return "", true // a directory
		}
		return r.constant(name)
	}) {
		return found
	}
	found = append(found, l.assignedArch(r, s)...)
	for _, c := range s.calls {
		words := make([]string, len(c.args))
		for i, arg := range c.args {
			words[i] = s.render(arg, r.constant)
		}
		found = append(found, orders(r.at, c.name, words)...)
		if c.name != "echo" && c.name != "grep" && c.name != "sed" {
			for _, word := range words {
				found = append(found, marches(r.at, word, march)...)
			}
		}
	}
	for _, a := range s.assigns {
		found = append(found, marches(r.at, s.render(a.Value, r.constant), march)...)
	}
	return found
}

// goarchInEnv finds a GOARCH that ENV or ARG sets.
func (l *linter) goarchInEnv(r *run) (constant, bool) {
	if !runsGo(r.text, r.words) || strings.Contains(r.text, "GOARCH") || strings.Contains(r.text, "GOOS") {
		return constant{}, false
	}
	arch, ok := r.constant("GOARCH")
	system, set := r.constant("GOOS")
	if !ok || !isArch(arch) || set && system != "linux" {
		return constant{}, false
	}
	at := l.settingOf(r.at, "GOARCH")
	if at == nil {
		return constant{}, false
	}
	return constant{at: at, text: "GOARCH=" + arch, arch: arch, fix: "drop it, insert ARG TARGETARCH and write RUN GOARCH=$TARGETARCH go build …", any: true}, true
}

// isArch reports whether a value of GOARCH is a machine that images are made for.
func isArch(name string) bool {
	return slices.Contains([]string{"amd64", "386", "arm64", "arm", "ppc64le", "s390x", "riscv64", "loong64", "mips64le"}, name)
}

// assignedArch finds GOARCH=amd64 and npm_config_arch=x64.
func (l *linter) assignedArch(r *run, s *script) []constant {
	var found []constant
	for _, word := range s.settings("GOOS") {
		if system := s.render(word, r.constant); system != "linux" {
			return nil
		}
	}
	for _, word := range s.settings("GOARCH") {
		if arch := s.render(word, r.constant); isArch(arch) {
			found = append(found, constant{at: r.at, text: "GOARCH=" + arch, arch: arch, fix: "insert ARG TARGETARCH above and write GOARCH=$TARGETARCH", any: true})
		}
	}
	for _, name := range []string{"npm_config_arch", "npm_config_target_arch"} {
		for _, word := range s.settings(name) {
			if value := s.render(word, r.constant); value != "" && !strings.Contains(value, unknown) {
				found = append(found, constant{at: r.at, text: name + "=" + value, arch: canonical(value), fix: "drop " + name + "; npm takes the platform that it runs on"})
			}
		}
	}
	return found
}

// orders returns what the arguments of a compiler say.
func orders(at *instruction, name string, words []string) []constant {
	var flags []string
	fix := "drop the flag; the compiler builds for the platform that it runs on"
	switch name {
	case "cargo", "rustc", "cross", "clang", "clang++":
		flags = []string{"--target", "-target"}
	case "configure":
		flags = []string{"--host"}
	case "dotnet":
		flags = []string{"-r", "--runtime", "-a", "--arch"}
		fix = "insert ARG TARGETARCH above and write -a $TARGETARCH"
	default:
		return nil
	}
	var found []constant
	for i, word := range words {
		flag, value, joined := strings.Cut(word, "=")
		if name == "dotnet" && !joined {
			flag, value, joined = strings.Cut(word, ":")
		}
		if !joined && i+1 < len(words) {
			value = words[i+1]
		}
		if arch := machine(name, value); slices.Contains(flags, flag) && arch != "" {
			text := word
			if !joined {
				text = word + " " + value
			}
			found = append(found, constant{at: at, text: text, arch: arch, fix: fix, any: name != "clang" && name != "clang++" && name != "configure"})
		}
	}
	return found
}

// machine reads the architecture from a triple (x86_64-unknown-linux-musl) or from
// what dotnet calls it (linux-x64), empty if it is not for Linux.
func machine(tool, value string) string {
	if tool == "dotnet" {
		switch strings.TrimPrefix(strings.TrimPrefix(value, "linux-"), "musl-") {
		case "x64":
			return "amd64"
		case "x86":
			return "386"
		case "arm64", "arm":
			return canonical(value[strings.LastIndex(value, "-")+1:])
		}
		return ""
	}
	first, rest, ok := strings.Cut(value, "-")
	if arch := canonical(first); ok && strings.Contains(rest, "linux") && !strings.Contains(rest, "android") && isArch(arch) {
		return arch
	}
	return ""
}

// marches returns the processors that a word tells a C compiler to build for.
func marches(at *instruction, word string, pattern *regexp.Regexp) []constant {
	var found []constant
	for _, m := range pattern.FindAllStringSubmatch(word, -1) {
		arch, ok := processor(m[1])
		if ok {
			found = append(found, constant{at: at, text: m[0], arch: arch, fix: "drop " + shown(m[0]) + "; the compiler builds for all machines of the platform"})
		}
	}
	return found
}

// processor returns the architecture of a value of -march; that of "native" is
// that of the builder, whatever it is.
func processor(name string) (string, bool) {
	if name == "native" {
		return "", true
	}
	for prefix, arch := range map[string]string{
		"x86-64": "amd64", "haswell": "amd64", "skylake": "amd64", "broadwell": "amd64", "znver": "amd64", "core2": "amd64", "corei7": "amd64",
		"core-avx": "amd64", "sandybridge": "amd64", "ivybridge": "amd64", "nehalem": "amd64", "westmere": "amd64", "icelake": "amd64",
		"cascadelake": "amd64", "sapphirerapids": "amd64", "alderlake": "amd64", "k8": "amd64", "bdver": "amd64", "i686": "386",
		"armv8": "arm64", "armv9": "arm64", "armv7": "arm", "armv6": "arm", "rv64": "riscv64",
	} {
		if strings.HasPrefix(name, prefix) {
			return arch, true
		}
	}
	return "", false
}

// reportTarget reports an order that is wrong for some platforms.
func (l *linter) reportTarget(r *run, c constant) bool {
	execs := l.execs(r)
	var bad []string
	switch {
	case several(execs) && c.arch == "":
		bad = r.jobs()
	case several(execs):
		for _, j := range l.jobs {
			if exec, ok := execs[j.name]; ok && !runsOn(exec, c.arch) {
				bad = append(bad, j.name)
			}
		}
	case c.any && c.arch != "" && l.forTargets(r.at.stage):
		for _, j := range l.jobs {
			if _, ok := execs[j.name]; ok && !runsOn(j.arch, c.arch) {
				bad = append(bad, j.name)
			}
		}
	}
	if len(bad) == 0 || l.isMixed(r.at.stage) || l.forSystems(r.at.stage) {
		return false
	}
	message := fmt.Sprintf("%s is for %s, but the stage builds for %s, too", shown(c.text), c.arch, strings.Join(bad, ", "))
	if c.arch == "" {
		message = shown(c.text) + " builds for the processor of the builder, real or emulated, and other machines may not run the result"
	}
	l.report(RuleConstTarget, c.at, c.text, bad, message, c.fix)
	return true
}

// forSystems reports whether a stage compiles for other systems, too: it makes
// programs to be handed out, and their names say what they are for.
func (l *linter) forSystems(stage int) bool {
	return slices.ContainsFunc(l.src.instructions, func(in *instruction) bool {
		if in.stage != stage || in.kind == "FROM" {
			return false
		}
		text := l.src.text(in)
		return slices.ContainsFunc([]string{"GOOS=windows", "GOOS=darwin", "-r win-", "-r osx-", "pc-windows", "apple-darwin"}, func(part string) bool {
			return strings.Contains(text, part)
		})
	})
}

// forTargets reports whether a stage that is pinned to one platform makes files for
// the platforms that are built, but knows nothing of these.
func (l *linter) forTargets(stage int) bool {
	if !l.stages[stage].pinned || !l.stages[stage].shipped {
		return false
	}
	return !slices.ContainsFunc(l.src.instructions, func(in *instruction) bool {
		return in.stage == stage && in.kind != "FROM" && strings.Contains(l.src.text(in), "TARGET") && !strings.Contains(l.src.text(in), "CARGO_TARGET")
	})
}

// sets reports whether an instruction is an ENV or ARG for a variable.
func sets(in *instruction, name string) bool {
	switch c := in.command.(type) {
	case *instructions.EnvCommand:
		return slices.ContainsFunc(c.Env, func(kv instructions.KeyValuePair) bool { return kv.Key == name })
	case *instructions.ArgCommand:
		return slices.ContainsFunc(c.Args, func(kv instructions.KeyValuePairOptional) bool { return kv.Key == name })
	}
	return false
}

// parent returns the stage that a stage is FROM, -1 if that is an image.
func (l *linter) parent(stage int) int {
	for _, e := range l.plan.Stages[stage].Edges {
		if e.Kind == exact.EdgeFrom && e.Stage != "" {
			for i := stage - 1; i >= 0; i-- {
				if l.plan.Stages[i].Name == e.Stage {
					return i
				}
			}
		}
	}
	return -1
}
