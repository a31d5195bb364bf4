package emulation_test

import (
	"debug/elf"
	"encoding/json"
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/emulation"
)

// facts are those of an amd64 machine with a good QEMU at every path.
func facts(interpreters map[string]emulation.Interpreter) emulation.Facts {
	return emulation.Facts{
		Kernel:       "6.1.0-18-amd64",
		Native:       []ocispec.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "386"}},
		Interpreters: interpreters,
	}
}

func good(arch string) emulation.Interpreter {
	return emulation.Interpreter{Machine: elf.EM_X86_64, Version: emulation.Version{Arch: arch, Major: 7, Minor: 2, Micro: 22}}
}

// handlerOf is a good handler for the architecture, with the changes.
func handlerOf(name string, change func(*emulation.Handler)) emulation.Handler {
	for _, a := range emulation.Arches() {
		if a.Name == name {
			h := a.Handler("/usr/bin/qemu-" + name + "-static")
			if change != nil {
				change(&h)
			}
			return h
		}
	}
	panic("no architecture " + name)
}

func flags(flags string) func(*emulation.Handler) {
	return func(h *emulation.Handler) { h.Flags = flags }
}

func interpreter(path string) func(*emulation.Handler) {
	return func(h *emulation.Handler) { h.Interpreter = path }
}

// codes is what was said against the first of the handlers, and how bad it is.
func codes(j emulation.Judgement) string {
	words := []string{j.Level.String()}
	for _, v := range j.Verdicts {
		words = append(words, v.Code)
	}
	return strings.Join(words, " ")
}

// cases 20 to 22 and 30: every way in which a handler can be bad.
func TestJudge(t *testing.T) {
	old := emulation.Interpreter{Machine: elf.EM_X86_64, Version: emulation.Version{Arch: "aarch64", Major: 5, Minor: 2}}
	for _, test := range []struct {
		name    string
		handler emulation.Handler
		file    emulation.Interpreter // at the handler's interpreter
		change  func(*emulation.Facts)
		want    string
	}{
		{"POCF", handlerOf("aarch64", nil), good("aarch64"), nil, "ok"},
		{"no facts at all", handlerOf("aarch64", nil), emulation.Interpreter{}, func(f *emulation.Facts) { *f = emulation.Facts{} }, "ok"},
		{"Debian's", handlerOf("aarch64", func(h *emulation.Handler) {
			h.Flags, h.Interpreter = "POF", "/usr/libexec/qemu-binfmt/aarch64-binfmt-P"
		}), good("aarch64"), nil, "warning no-C"},
		{"Debian's link knows P, however old", handlerOf("aarch64", interpreter("/usr/libexec/qemu-binfmt/aarch64-binfmt-P")), old, nil, "ok"},
		{"no F", handlerOf("aarch64", flags("POC")), good("aarch64"), nil, "broken no-F"},
		{"no P", handlerOf("aarch64", flags("OCF")), good("aarch64"), nil, "warning no-P"},
		{"no flags", handlerOf("aarch64", flags("")), good("aarch64"), nil, "broken no-F no-C no-P"},
		{"P and an old QEMU", handlerOf("aarch64", nil), old, nil, "broken argv0-shifted"},
		{"P and an old kernel", handlerOf("aarch64", nil), good("aarch64"), func(f *emulation.Facts) { f.Kernel = "5.10.0" }, "broken argv0-shifted"},
		{"no P, but an old QEMU", handlerOf("aarch64", flags("OCF")), old, nil, "warning no-P"},
		{"gone, F keeps it", handlerOf("aarch64", nil), emulation.Interpreter{Missing: true}, nil, "note interpreter-gone"},
		{"gone", handlerOf("aarch64", flags("POC")), emulation.Interpreter{Missing: true}, nil, "broken interpreter-gone no-F"},
		{"QEMU of another architecture", handlerOf("aarch64", nil), good("arm"), nil, "broken wrong-arch"},
		{"by its name alone", handlerOf("aarch64", interpreter("/usr/bin/qemu-arm-static")), emulation.Interpreter{Missing: true}, nil, "broken wrong-arch interpreter-gone"},
		{"QEMU for another machine", handlerOf("aarch64", nil), emulation.Interpreter{Machine: elf.EM_AARCH64}, nil, "broken wrong-host"},
		{
			"QEMU for a machine that is not in the table", handlerOf("aarch64", nil),
			emulation.Interpreter{Machine: elf.EM_PPC64},
			func(f *emulation.Facts) { f.Native = []ocispec.Platform{{OS: "linux", Architecture: "ppc64"}} }, "ok",
		},
		{"does not run", handlerOf("aarch64", nil), emulation.Interpreter{Machine: elf.EM_X86_64, Failure: errors.New("crash")}, nil, "broken interpreter-fails"},
		{"dynamic", handlerOf("aarch64", nil), func() emulation.Interpreter { i := good("aarch64"); i.Dynamic = true; return i }(), nil, "broken interpreter-dynamic"},
		{"switched off", handlerOf("aarch64", func(h *emulation.Handler) { h.Enabled = false }), good("aarch64"), nil, "broken disabled"},
		{"all switched off", handlerOf("aarch64", nil), good("aarch64"), func(f *emulation.Facts) { f.Disabled = true }, "broken table-disabled"},
		{"upgraded on disk", handlerOf("aarch64", nil), good("aarch64"), func(f *emulation.Facts) {
			f.Running = map[string]emulation.Version{"qemu-aarch64": {Arch: "aarch64", Major: 6, Minor: 1}}
		}, "note old-interpreter"},
		{"another build of the same version", handlerOf("aarch64", nil), good("aarch64"), func(f *emulation.Facts) {
			f.Running = map[string]emulation.Version{"qemu-aarch64": {Arch: "aarch64", Major: 7, Minor: 2, Micro: 22, Vendor: "mine"}}
		}, "note old-interpreter"},
		{"old in the kernel, gone on disk", handlerOf("aarch64", nil), emulation.Interpreter{Missing: true}, func(f *emulation.Facts) {
			f.Running = map[string]emulation.Version{"qemu-aarch64": {Arch: "aarch64", Major: 5, Minor: 2}}
		}, "broken interpreter-gone argv0-shifted"},
		{"this machine's programs", handlerOf("x86_64", nil), good("x86_64"), nil, "broken native-arch"},
		{"programs that run anyway", handlerOf("i386", nil), good("i386"), nil, "warning native-arch"},
		{"an architecture without images", emulation.Handler{
			Name: "qemu-alpha", Interpreter: "/usr/bin/qemu-alpha-static", Magic: []byte("\x7fELF\x02\x01\x01\x00\x26\x90"), Flags: "POF", Enabled: true,
		}, good("alpha"), nil, "warning no-C"},
		{"and its QEMU for another one", emulation.Handler{
			Name: "qemu-alpha", Interpreter: "/usr/bin/qemu-alpha-static", Magic: []byte("\x7fELF\x02\x01\x01\x00\x26\x90"), Flags: "POCF", Enabled: true,
		}, good("arm"), nil, "broken wrong-arch"},
	} {
		t.Run(test.name, func(t *testing.T) {
			known := facts(map[string]emulation.Interpreter{test.handler.Interpreter: test.file})
			if test.change != nil {
				test.change(&known)
			}
			got := emulation.Judge([]emulation.Handler{test.handler}, known)
			if len(got) != 1 || codes(got[0]) != test.want {
				t.Fatalf("= %+v, want %q", got, test.want)
			}
			for _, v := range got[0].Verdicts {
				if v.Text == "" || v.Level == emulation.OK || v.Hint == "" && v.Level > emulation.Note {
					t.Errorf("%+v lacks something", v)
				}
			}
		})
	}
	if got := emulation.Judge(nil, facts(nil)); got == nil || len(got) != 0 {
		t.Errorf("no handlers: %v", got)
	}
}

func TestJudgeTogether(t *testing.T) {
	other := handlerOf("aarch64", func(h *emulation.Handler) { h.Name = "fex" })
	other.Interpreter = "/usr/bin/FEX"
	off := handlerOf("aarch64", func(h *emulation.Handler) { h.Name, h.Enabled = "qemu-off", false })
	handlers := []emulation.Handler{other, handlerOf("aarch64", nil), off, handlerOf("arm", nil)}
	var got []string
	for _, j := range emulation.Judge(handlers, facts(nil)) {
		got = append(got, j.Handler.Name+" "+string(j.Kind)+" "+j.Arch.Name+" "+codes(j))
	}
	want := []string{
		"fex other aarch64 ok", "qemu-aarch64 qemu aarch64 note shared",
		"qemu-off qemu aarch64 broken disabled", "qemu-arm qemu arm ok",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestKindOf(t *testing.T) {
	for _, test := range []struct {
		name, interpreter string
		want              emulation.Kind
	}{
		{"qemu-aarch64", "/usr/bin/qemu-aarch64-static", emulation.QEMU},
		{"qemu-aarch64", "/usr/libexec/qemu-binfmt/aarch64-binfmt-P", emulation.QEMU},
		{"arm64", "/opt/qemu-aarch64", emulation.QEMU},
		{"qemu-x86_64", "/run/rosetta/rosetta", emulation.Rosetta},
		{"vz-rosetta", "/mnt/rosetta", emulation.Rosetta},
		{"rosetta", "/media/psf/RosettaLinux/rosetta", emulation.Rosetta},
		{"python3.11", "/usr/bin/python3.11", emulation.Other},
		{"jar", "/usr/bin/jexec", emulation.Other},
		{"DOSWin", "/usr/bin/wine", emulation.Other},
		{"WSLInterop", "/init", emulation.Other},
		{"llvm-14-runtime.binfmt", "/usr/bin/lli-14", emulation.Other},
	} {
		t.Run(test.name+" "+test.interpreter, func(t *testing.T) {
			h := emulation.Handler{Name: test.name, Interpreter: test.interpreter, Extension: "x"}
			if got := emulation.KindOf(h); got != test.want {
				t.Errorf("= %q, want %q", got, test.want)
			}
			j := emulation.Judge([]emulation.Handler{h}, emulation.Facts{Disabled: true})[0]
			if test.want != emulation.QEMU && len(j.Verdicts) > 0 {
				t.Errorf("judged: %v", j.Verdicts)
			}
		})
	}
}

func TestLevelInJSON(t *testing.T) {
	text, err := json.Marshal(map[string]emulation.Level{"level": emulation.Broken})
	if err != nil || string(text) != `{"level":"broken"}` {
		t.Errorf("= %s, %v", text, err)
	}
}

func TestParseArch(t *testing.T) {
	for name, want := range map[string]string{
		"aarch64": "aarch64", "arm64": "aarch64", "linux/arm64": "aarch64", "linux/arm64/v8": "aarch64",
		"x86_64": "x86_64", "amd64": "x86_64", "i386": "i386", "386": "i386", "linux/386": "i386",
		"arm": "arm", "armhf": "arm", "linux/arm/v6": "arm", "riscv64": "riscv64", "s390x": "s390x",
		"mips64el": "mips64el", "mips64le": "mips64el", "loong64": "loongarch64", "loongarch64": "loongarch64",
	} {
		t.Run(path.Base(name), func(t *testing.T) {
			if got, err := emulation.ParseArch(name); err != nil || got.Name != want {
				t.Errorf("%q = %q, %v, want %q", name, got.Name, err, want)
			}
		})
	}
	for name, want := range map[string]error{
		"": emulation.ErrInvalid, "linux/": emulation.ErrInvalid, "a b": emulation.ErrInvalid, "linux/arm/v7/x": emulation.ErrInvalid,
		"windows/amd64": emulation.ErrUnsupported, "sparc": emulation.ErrUnsupported, "linux/wasm": emulation.ErrUnsupported,
	} {
		t.Run("invalid "+name, func(t *testing.T) {
			if got, err := emulation.ParseArch(name); !errors.Is(err, want) {
				t.Errorf("%q = %+v, %v, want %v", name, got, err, want)
			}
		})
	}
}
