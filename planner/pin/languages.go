package pin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mabuild/mabuild/planner/assist/script"
	"github.com/mabuild/mabuild/planner/exact"
)

// language is what is known about the tools of one kind.
type language struct {
	name    string
	calls   []string
	refuse  []string // words that make the result depend on the machine
	advice  string   // why a stage of it cannot just be moved; empty if it can
	verify  string
	scripts bool // runs what the project says, natively as well as emulated
}

var languages = []language{
	{name: "go", calls: []string{"go"}},
	{
		name: "js", calls: []string{"npm", "yarn", "pnpm", "npx", "node", "bun", "tsc", "vite", "webpack", "esbuild", "sass"}, scripts: true,
		refuse: []string{"node-gyp", "prebuild", "electron-builder", "pkg"}, verify: "no *.node or other programs in what is copied",
	},
	{
		name: "java", calls: []string{"mvn", "mvnw", "gradle", "gradlew", "javac", "jar", "ant", "sbt"}, scripts: true,
		refuse: []string{"jlink", "jpackage", "native-image", "-Pnative", "nativeCompile"}, verify: "no native libraries in the jars",
	},
	{name: "docs", calls: []string{"hugo", "protoc", "mkdocs", "buf", "asciidoctor", "jekyll"}, verify: "no programs in what is copied"},
	{name: "php", calls: []string{"composer", "php"}, scripts: true, verify: "no *.so in what is copied"},
	{
		name: "python", calls: []string{"pip", "pip3", "python", "python3", "poetry", "uv", "pipenv"}, scripts: true,
		verify: "no *.so, and only wheels for any platform, in what is copied",
	},
	{name: "dotnet", calls: []string{"dotnet"}, advice: "dotnet publish needs the target: add -a $TARGETARCH after ARG TARGETARCH, and pin by hand"},
	{name: "rust", calls: []string{"cargo", "rustc", "rustup"}, advice: "a cross build needs a target and a linker, and has another output directory: see cargo-zigbuild, or xx-cargo of tonistiigi/xx"},
	{name: "c", calls: []string{"gcc", "g++", "cc", "c++", "clang", "clang++", "cmake", "meson", "ninja", "configure", "autoreconf"}, advice: "a cross build needs a compiler and libraries for the target: see tonistiigi/xx"},
	{name: "zig", calls: []string{"zig"}, advice: "a cross build needs -Dtarget: add it, and pin by hand"},
	{name: "swift", calls: []string{"swift"}, advice: "it has no simple cross build"},
	{name: "haskell", calls: []string{"ghc", "cabal", "stack"}, advice: "it has no simple cross build"},
	{name: "ocaml", calls: []string{"ocamlfind", "dune", "opam"}, advice: "it has no simple cross build"},
}

// class is what the commands of a stage are.
type class struct {
	lang    string
	verify  string
	reasons []Reason
}

// reason adds one, once per line and rule.
func (c *class) reason(rule string, line int, text string, args ...any) {
	if !slices.ContainsFunc(c.reasons, func(r Reason) bool { return r.Rule == rule && r.Line == line }) {
		c.reasons = append(c.reasons, Reason{rule, line, fmt.Sprintf(text, args...)})
	}
}

// classify finds the language of a stage and checks S6, S7 and the rules of the
// language.
func classify(runs []exact.Step) class {
	c := class{}
	var found []language
	for _, l := range languages {
		if slices.ContainsFunc(runs, func(run exact.Step) bool { return calls(run, l.calls) }) {
			found = append(found, l)
		}
	}
	for _, run := range runs {
		if _, opaque := script.Read(run.Args); opaque {
			c.reason("lang", run.Line, "its script cannot be read")
		}
	}
	for _, l := range found {
		if l.advice != "" || len(found) == 1 {
			c.lang = l.name
			if l.advice != "" {
				c.reason("lang", runs[0].Line, "%s", l.advice)
			}
		}
	}
	switch {
	case len(found) == 0:
		c.reason("lang", runs[0].Line, "whether its commands make the same for all platforms is not known")
	case len(found) > 1 && c.lang == "":
		names := make([]string, len(found))
		for i, l := range found {
			names[i] = l.name
		}
		if slices.Contains(names, "go") {
			c.reason("lang", runs[0].Line, "it uses %s, which need different environments; split the stage", strings.Join(names, " and "))
		}
		c.lang = names[0]
	}
	for _, run := range runs {
		commands, _ := script.Read(run.Args)
		for _, cmd := range commands {
			c.check(run, cmd, found)
		}
	}
	if c.lang == "go" {
		c.explicitCgo(runs)
	}
	var verify []string
	for _, l := range found {
		if l.verify != "" {
			verify = append(verify, l.verify)
		}
	}
	c.verify = strings.Join(verify, "; ")
	return c
}

func calls(run exact.Step, names []string) bool {
	commands, _ := script.Read(run.Args)
	return slices.ContainsFunc(commands, func(c script.Command) bool { return c.Calls(names...) })
}

var downloaders = []string{"curl", "wget", "git", "tar", "unzip", "aria2c"}

// check looks at one command.
func (c *class) check(run exact.Step, cmd script.Command, found []language) {
	words := slices.Concat(cmd.Words, cmd.Assigns)
	switch {
	case cmd.Name() == "uname", cmd.Name() == "arch", cmd.Name() == "lscpu", slices.Contains(words, "--print-architecture"), slices.Contains(words, "--print-arch"):
		c.reason("S6", run.Line, "%s asks for the machine", strings.Join(cmd.Words, " "))
	case cmd.Calls(downloaders...) && slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, "TARGET") }):
		c.reason("S6", run.Line, "%s fetches something for the target", cmd.Name())
	}
	for _, l := range found {
		for _, word := range words {
			if slices.Contains(l.refuse, word) || cmd.Calls(l.refuse...) {
				c.reason("lang", run.Line, "%s makes something for the machine", strings.Join(cmd.Words, " "))
			}
		}
	}
	if c.lang == "go" {
		c.checkGo(run, cmd)
	} else if cmd.Scripted() && !slices.ContainsFunc(found, func(l language) bool { return l.scripts && cmd.Calls(l.calls...) }) {
		c.reason("lang", run.Line, "what %s does is not known", cmd.Name())
	}
}

// checkGo looks at one command of a Go stage.
func (c *class) checkGo(run exact.Step, cmd script.Command) {
	for _, assign := range slices.Concat(cmd.Assigns, cmd.Words) {
		if name, _, ok := strings.Cut(assign, "="); ok && slices.Contains([]string{"GOOS", "GOARCH", "GOARM", "GOBIN"}, name) {
			c.reason("lang", run.Line, "it sets %s itself", assign)
		}
	}
	if cmd.Calls("go") {
		switch verb := goVerb(cmd); verb {
		case "run", "test", "generate":
			c.reason("S7", run.Line, "go %s runs what it builds, which would be for the target", verb)
		case "install":
			c.reason("lang", run.Line, "go install puts programs for other platforms elsewhere; use go build -o")
		}
		for _, word := range cmd.Words {
			switch {
			case word == "-race", word == "-msan", word == "-asan":
				c.reason("lang", run.Line, "%s needs cgo", word)
			case strings.HasPrefix(word, "-buildmode=") && word != "-buildmode=pie" && word != "-buildmode=exe" && word != "-buildmode=default":
				c.reason("lang", run.Line, "%s needs cgo", word)
			}
		}
		return
	}
	switch {
	case cmd.Calls("make", "gmake", "mage", "task", "just", "goreleaser"):
		c.reason("lang", run.Line, "what %s does is not known", cmd.Name())
	case cmd.Scripted():
		c.reason("S7", run.Line, "%s may be what was built, or a script", cmd.Words[0])
	}
}

// explicitCgo demands that cgo is off already: a cross build turns it off without
// a word, and the program would be another one.
func (c *class) explicitCgo(runs []exact.Step) {
	for _, run := range runs {
		if slices.Contains(run.Env, "CGO_ENABLED=0") {
			continue
		}
		commands, _ := script.Read(run.Args)
		off := false
		for _, cmd := range commands {
			for _, word := range slices.Concat(cmd.Assigns, cmd.Words) {
				off = off || word == "CGO_ENABLED=0"
			}
			if cmd.Calls("go") && goVerb(cmd) == "build" && !off {
				c.reason("lang", run.Line, "cgo is on, or off by chance; say CGO_ENABLED=0 if the program does not need it")
			}
		}
	}
}
