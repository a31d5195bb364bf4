package dispatch_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// rules writes the rules of the tool for the known build-id.
func (b box) rules(t *testing.T, rules ...string) {
	t.Helper()
	text, err := dispatch.FormatRules(rules)
	if err != nil {
		t.Fatal(err)
	}
	b.write(t, tool(dispatch.RulesName), text, 0o644)
}

// What a tool's rules say of arguments and variables.
func TestRules(t *testing.T) {
	inBoxes(t, func(t *testing.T, b box) {
		b.write(t, "/src/pch.h.gch", nil, 0o644)
		b.write(t, "/dir/one/known", nil, 0o644)
		b.write(t, "/dir/two/known", nil, 0o644)
		for i := range 100 { // more than one call lists
			b.write(t, "/dir/two/known-"+strings.Repeat("x", i), nil, 0o644)
		}
		b.write(t, "/dir/none/.x", nil, 0o644)
		b.remove(t, "/dir/none/.x")
		for _, test := range []struct {
			rules       string
			environment string
			args        string
			want        dispatch.Kind
		}{
			{"refuse -fopenmp", "", "-O2 a.c", dispatch.Native},
			{"refuse -fopenmp", "", "-O2 -fopenmp a.c", dispatch.Arguments},
			{"refuse -fopenmp", "", "-fopenmp-simd", dispatch.Arguments},
			{"refuse -fopenmp", "", "-fno-openmp x-fopenmp -fopenm", dispatch.Native},
			{"refuse -a|refuse -b", "", "x -b", dispatch.Arguments},
			{"refuse -a|refuse -b", "", "x -c", dispatch.Native},
			{"refuse @", "", "@/missing", dispatch.Arguments},
			{"refuse x", "x=1", "y", dispatch.Native},

			{"beside -include .gch", "", "-include /src/pch.h", dispatch.Arguments},
			{"beside -include .gch", "", "-include src/pch.h a.c", dispatch.Arguments},
			{"beside -include .gch", "", "-include /src/other.h", dispatch.Native},
			{"beside -include .gch", "", "/src/pch.h -include", dispatch.Native},
			{"beside -include .gch", "", "-include " + strings.Repeat("x", 5000), dispatch.Arguments},
			{"beside -include .gch", "", "-includes /src/pch.h", dispatch.Native},
			{"beside -include .gch", "", "-inc /src/pch.h", dispatch.Native},

			{"script -m -O compileall", "", "-m compileall", dispatch.Native},
			{"script -m -O compileall", "", "-O -m compileall -q -c /lib", dispatch.Native},
			{"script -m -O compileall", "", "compileall", dispatch.Native},
			{"script -m -O compileall", "", "-O /lib/compileall other", dispatch.Native},
			{"script -m -O compileall", "", "-m compileal", dispatch.Arguments},
			{"script -m -O compileall", "", "-m compileall2", dispatch.Arguments},
			{"script -m -O compileall", "", "-m compileall/", dispatch.Arguments},
			{"script -m -O compileall", "", "-W -m compileall", dispatch.Arguments},
			{"script -m -O compileall", "", "-Om compileall", dispatch.Arguments},
			{"script -m -O compileall", "", "- compileall", dispatch.Arguments},
			{"script -m -O compileall", "", "x compileall", dispatch.Arguments},
			{"script -m -O compileall", "", "-m", dispatch.Arguments},
			{"script -m -O compileall", "", "/", dispatch.Arguments},
			{"script -m -O compileall", "", "", dispatch.Arguments},
			{"script --size= tsc", "", "--size=1 bin/tsc -p", dispatch.Native},
			{"script --size= tsc", "", "--size tsc", dispatch.Arguments},
			{"script tsc --size=", "", "tsc", dispatch.Native},
			{"script tsc --size=", "", "ts", dispatch.Arguments},
			{"script tsc --size=", "", "--size= tsc", dispatch.Native},

			{"set GOARCH", "GOARCH=arm64", "", dispatch.Native},
			{"set GOARCH", "", "", dispatch.Environment},
			{"set GOARCH", "GOARCH=", "", dispatch.Environment},
			{"set GOARCH", "GOARCHS=arm64 XGOARCH=arm64", "", dispatch.Environment},
			{"set GOARCH|set GOARM", "GOARCH=arm64", "", dispatch.Environment},

			{"unset GCC_EXEC_PREFIX", "GCC_EXEC_PREFIX=/x", "", dispatch.Environment},
			{"unset GCC_EXEC_PREFIX", "GCC_EXEC_PREFIX=", "", dispatch.Environment},
			{"unset GCC_EXEC_PREFIX", "GCC_EXEC_PREFIXES=/x C_INCLUDE_PATH=/x", "", dispatch.Native},
			{"unset G++_ROOT", "G++_ROOT=/x", "", dispatch.Environment},

			{"only /dir/one known", "", "", dispatch.Native},
			{"only /dir/one other", "", "", dispatch.Closure},
			{"only /dir/one know", "", "", dispatch.Closure},
			{"only /dir/one", "", "", dispatch.Closure},
			{"only /dir/two known", "", "", dispatch.Closure},
			{"only /dir/none", "", "", dispatch.Native},
			{"only /dir/none known", "", "", dispatch.Native},
			{"only /dir/missing known", "", "", dispatch.Native},
			{"only /dir/one/known known", "", "", dispatch.Closure}, // no directory

			{"only /dir/none|refuse -x|set A|unset B|files", "A=1", "-y", dispatch.Native},
			{"only /dir/none|refuse -x|set A|unset B|files", "A=1", "-x", dispatch.Arguments},
		} {
			b.rules(t, strings.Split(test.rules, "|")...)
			cmd := b.command(t, "/program", append([]string{"program"}, strings.Fields(test.args)...)...)
			cmd.Env = append(cmd.Env, strings.Fields(test.environment)...)
			if got := b.expect(t, test.want, cmd); t.Failed() {
				t.Fatalf("rules %q: %+v", test.rules, got)
			}
		}
	})
}

// Rules that are not what FormatRules writes are kept by no program.
func TestDamagedRules(t *testing.T) {
	inBoxes(t, func(t *testing.T, b box) {
		const rule = "refuse -fopenmp\n"
		for text, want := range map[string]dispatch.Kind{
			"":                                   dispatch.Native,
			rule:                                 dispatch.Native,
			strings.Repeat(rule, 4095/len(rule)): dispatch.Native,
			strings.Repeat(rule, 4096/len(rule)): dispatch.Arguments, // too long
			rule[:len(rule)-1]:                   dispatch.Arguments, // cut off
			rule + "\n":                          dispatch.Arguments,
			"\n":                                 dispatch.Arguments,
			"refuse\n":                           dispatch.Arguments,
			"Refuse -x\n":                        dispatch.Arguments,
			" " + rule:                           dispatch.Arguments,
			"filesystem\n":                       dispatch.Arguments,
			"script \n":                          dispatch.Arguments,
			rule + "\x00":                        dispatch.Arguments,
			"refuse \x00\n":                      dispatch.Arguments,
			"\xff\xfe\n":                         dispatch.Arguments,
			"only \n":                            dispatch.Native, // of a directory that cannot be
		} {
			b.write(t, tool(dispatch.RulesName), []byte(text), 0o644)
			b.expect(t, want, b.command(t, "/program", "program", fmt.Sprintf("%.20q", text)))
		}
		b.remove(t, tool(dispatch.RulesName))
		b.write(t, tool(dispatch.RulesName)+"/x", nil, 0o644)
		b.expect(t, dispatch.Arguments, b.command(t, "/program", "a directory"))
		b.remove(t, tool(dispatch.RulesName))
		if err := syscall.Mkfifo(b.root+tool(dispatch.RulesName), 0o644); err != nil {
			t.Fatal(err)
		}
		b.expect(t, dispatch.Arguments, b.command(t, "/program", "a pipe"))
		b.remove(t, tool(dispatch.RulesName))
		b.expect(t, dispatch.Native, b.command(t, "/program", "program", "-fopenmp"))
	})
}

// Arguments that are in a file are looked at, too.
func TestArgumentFile(t *testing.T) {
	inBoxes(t, func(t *testing.T, b box) {
		b.rules(t, "files", "refuse -fopenmp", "beside -include .gch")
		objects := strings.Repeat("/tmp/directory/object.o\n", 4000) // longer than the stub reads at once
		for text, want := range map[string]dispatch.Kind{
			"":                                       dispatch.Native,
			"a.o b.o":                                dispatch.Native,
			"a.o\nb.o\n":                             dispatch.Native,
			"\t-O2 \v\f\r\n -Ix":                     dispatch.Native,
			"-fopenmp":                               dispatch.Arguments,
			"a -fopenmp\n":                           dispatch.Arguments,
			"a-fopenmp":                              dispatch.Native,
			"-include a.h":                           dispatch.Arguments, // what is behind it is not looked at
			`"-fopenmp"`:                             dispatch.Arguments,
			`'-fopenmp'`:                             dispatch.Arguments,
			`\-fopenmp`:                              dispatch.Arguments,
			"@other":                                 dispatch.Arguments,
			"a\x00b":                                 dispatch.Arguments,
			"-plugin x":                              dispatch.Plugin,
			"-fplugin=x":                             dispatch.Plugin,
			objects:                                  dispatch.Native,
			objects + "-fopenmp":                     dispatch.Arguments,
			"-fopenmp " + objects:                    dispatch.Arguments,
			strings.Repeat("x", 4087) + " -fopenmp":  dispatch.Arguments, // over the end of a piece
			strings.Repeat("x", 4095) + " -fopenmp":  dispatch.Arguments,
			strings.Repeat("x", 4095) + " ":          dispatch.Native,
			strings.Repeat("x", 4096):                dispatch.Arguments, // no argument is so long
			strings.Repeat("x", 4095):                dispatch.Native,
			strings.Repeat(objects, 12) + "-fopenmp": dispatch.Arguments,
		} {
			b.write(t, "/file", []byte(text), 0o644)
			b.expect(t, want, b.command(t, "/program", "program", "-o", "@/file"))
		}
		b.expect(t, dispatch.Arguments, b.command(t, "/program", "program", "@/missing"))
		b.expect(t, dispatch.Arguments, b.command(t, "/program", "program", "@"))
		b.expect(t, dispatch.Arguments, b.command(t, "/program", "program", "@/dev"))

		// A pipe is the program's: it would be empty.
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		if _, err := writer.WriteString("-O2"); err != nil {
			t.Fatal(err)
		}
		writer.Close()
		if err := syscall.Mkfifo(b.root+"/pipe", 0o666); err != nil {
			t.Fatal(err)
		}
		b.expect(t, dispatch.Arguments, b.command(t, "/program", "program", "@/pipe"))

		b.rules(t, "refuse -fopenmp") // without "files", it is any argument
		b.write(t, "/file", []byte("-fopenmp"), 0o644)
		b.expect(t, dispatch.Native, b.command(t, "/program", "program", "@/file"))
	})
}

// A native compiler or linker cannot load a foreign plugin.
func TestPlugin(t *testing.T) {
	inBoxes(t, func(t *testing.T, b box) {
		const own, lto = "/dev/.mabuild/id/" + knownID + "/.plugin", "/usr/libexec/gcc/14/liblto_plugin.so"
		const other = "/opt/gcc/liblto_plugin.so"
		b.write(t, lto, program(t, "arm64", unknownID), 0o644)
		b.write(t, other, program(t, "arm64", knownID), 0o644)
		b.write(t, "/objects", []byte("a.o b.o"), 0o644)
		b.write(t, "/arguments", []byte("-plugin "+lto), 0o644)
		for _, plugin := range []bool{false, true} {
			if plugin {
				b.write(t, tool(dispatch.PluginName), nil, 0o644)
				b.rules(t, "plugin "+knownID[:38]+"00", "plugin "+unknownID)
			}
			only := map[bool]dispatch.Kind{false: dispatch.Plugin, true: dispatch.Native}[plugin]
			never := map[bool]dispatch.Kind{false: dispatch.Native, true: dispatch.Plugin}[plugin]
			for _, test := range []struct {
				args []string
				want dispatch.Kind
			}{
				{[]string{"-o", "a", "-plugin-opt=x", "-plugins", "liblto_plugin.so"}, dispatch.Native},
				{[]string{"-a", "-plugin", lto, "b.o"}, only},
				{[]string{"--plugin", lto}, only},
				{[]string{"-plugin", lto, "-plugin", lto}, dispatch.Plugin},
				{[]string{"-plugin", other}, dispatch.Plugin}, // another one by that name
				{[]string{"-plugin", "/missing/liblto_plugin.so"}, dispatch.Plugin},
				{[]string{"-plugin", "/usr/lib/LLVMgold.so"}, dispatch.Plugin},
				{[]string{"-plugin", "liblto_plugin.so"}, dispatch.Plugin},
				{[]string{"-o", "-plugin"}, dispatch.Plugin},
				{[]string{"-plugin=" + lto}, dispatch.Plugin},
				{[]string{"--plugin=" + lto}, dispatch.Plugin},
				{[]string{"-fplugin=/x.so"}, dispatch.Plugin},
				{[]string{"-fplugin-arg-x-y"}, dispatch.Plugin},
				{[]string{"-specs=/x"}, dispatch.Plugin},
				{[]string{"--specs", "/x"}, dispatch.Plugin},
				{[]string{"@/objects"}, dispatch.Native},
				{[]string{"-plugin", lto, "@/objects"}, only},
				{[]string{"@/arguments"}, never}, // nothing can be replaced in it
			} {
				got := b.expect(t, test.want, b.command(t, "/program", append([]string{"ld"}, test.args...)...))
				want := append([]string{"ld"}, test.args...)
				if at := slices.Index(want, lto); at >= 0 && test.want == dispatch.Native {
					want[at] = own
				}
				if !slices.Equal(want, got.View.Args) {
					t.Errorf("arguments %q, want %q", got.View.Args, want)
				}
			}
		}
		// If the tool cannot be executed, QEMU gets what the caller gave.
		b.remove(t, tool("program"))
		b.write(t, tool("program"), []byte("\x7fELF"), 0o755)
		got := b.expect(t, dispatch.ExecFailed, b.command(t, "/program", "ld", "-plugin", lto))
		if want := []string{"ld", "-plugin", lto}; !slices.Equal(want, got.View.Args) {
			t.Errorf("arguments %q, want %q", got.View.Args, want)
		}
		if want := b.run(t, b.command(t, "/unknown", "ld")).View.Environment; !slices.Equal(want, got.View.Environment) {
			t.Errorf("variables %q, want %q", got.View.Environment, want)
		}
	})
}
