package emulation_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/emulation"
)

// foreign are the architectures that this machine does not run.
func foreign(t *testing.T) (arches []emulation.Arch) {
	t.Helper()
	native := make(map[string]bool)
	for _, p := range emulation.Native() {
		native[p.Architecture] = true
	}
	for _, arch := range emulation.Arches() {
		if native[arch.Platform.Architecture] {
			continue
		}
		if _, err := arch.FindQEMU(); err != nil {
			unavailable(t, err.Error())
		}
		arches = append(arches, arch)
	}
	return arches
}

// summary is what matters about what RegisterFound returns.
func summary(registered []emulation.Registered) (lines []string) {
	for _, r := range registered {
		line := r.Arch.Name + " " + r.Handler.Interpreter + " " + r.Handler.Flags
		if r.Existing {
			line += " existing"
		}
		lines = append(lines, line)
	}
	return lines
}

// cases 23 and 30: all but what the machine runs itself, and once.
func TestRegisterFound(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	var first, second []string
	for _, arch := range foreign(t) {
		path, err := arch.FindQEMU()
		if err != nil {
			t.Fatal(err)
		}
		first = append(first, arch.Name+" "+path+" POCF")
		second = append(second, arch.Name+" "+path+" POCF existing")
	}
	table := privateTable(t)
	var before []emulation.Handler
	for _, want := range [][]string{first, second} {
		got, err := table.RegisterFound(t.Context(), emulation.RegisterOptions{})
		if diff := cmp.Diff(want, summary(got)); err != nil || diff != "" {
			t.Errorf("RegisterFound: %v (-want +got):\n%s", err, diff)
		}
		handlers, err := table.Handlers()
		if err != nil || len(handlers) != len(want) {
			t.Fatalf("Handlers = %v, %v", handlers, err)
		}
		if before != nil && !cmp.Equal(before, handlers) {
			t.Errorf("the second time changed:\n%s", cmp.Diff(before, handlers))
		}
		before = handlers
	}
	for _, r := range before {
		if err := table.Remove(r.Name); err != nil {
			t.Error(err)
		}
	}

	// 32-bit ARM on a CPU that has it, and only what was asked for.
	arm, s390x := emulation.Arches()[2], emulation.Arches()[3]
	got, err := table.RegisterFound(t.Context(), emulation.RegisterOptions{
		Platforms: append(emulation.Native(), s390x.Platform, arm.Platform),
		Native:    []ocispec.Platform{{OS: "linux", Architecture: "arm", Variant: "v6"}},
	})
	if err != nil || len(got) != 1 || got[0].Arch.Name != "s390x" || got[0].Version.Arch != "s390x" || got[0].Existing {
		t.Errorf("RegisterFound = %+v, %v, want just s390x", got, err)
	}
}

// One bad interpreter does not stop the others, nor does somebody else's entry.
func TestRegisterFoundPartly(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := t.TempDir()
	var want []string
	for _, arch := range foreign(t) {
		source := arch
		switch arch.Name {
		case "s390x": // a QEMU for something else
			source = emulation.Arches()[5]
		case "ppc64le": // taken by somebody else, below
		case "mips64": // cannot run
			writeFile(t, filepath.Join(dir, "qemu-mips64-static"), "\x7fELF, or not", 0o755)
			continue
		default:
			want = append(want, arch.Name+" "+filepath.Join(dir, "qemu-"+arch.Name)+" POCF")
		}
		path, err := source.FindQEMU()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, "qemu-"+arch.Name)); err != nil {
			t.Fatal(err)
		}
	}
	table := privateTable(t)
	taken := emulation.Handler{Name: "qemu-ppc64le", Interpreter: "/bin/sh", Extension: "ppc64le"}
	if err := table.Register(taken); err != nil {
		t.Fatal(err)
	}
	got, err := table.RegisterFound(t.Context(), emulation.RegisterOptions{Dirs: []string{dir}})
	if diff := cmp.Diff(want, summary(got)); diff != "" {
		t.Errorf("RegisterFound (-want +got):\n%s", diff)
	}
	if !errors.Is(err, emulation.ErrExists) || !errors.Is(err, emulation.ErrNoQEMU) {
		t.Errorf("RegisterFound: %v, want ErrExists and ErrNoQEMU", err)
	}
	for _, message := range []string{
		`registering handler "qemu-s390x": no usable QEMU: "` + dir + `/qemu-s390x" emulates riscv64`,
		`registering handler "qemu-ppc64le": already exists with interpreter "/bin/sh"`,
		`finding QEMU for linux/mips64: no usable QEMU: "` + dir + `/qemu-mips64-static" is not an ELF program`,
	} {
		if err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("error lacks %q: %v", message, err)
		}
	}
}

// Programs of every architecture run: the table, QEMU and the kernel agree.
func TestEveryArchitectureRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the Go runtime for every architecture")
	}
	const variable = "EMULATION_TEST_EMPTY_PROGRAMS"
	if os.Getenv(levelVariable) == "" {
		dir := t.TempDir()
		source := filepath.Join(dir, "empty.go")
		writeFile(t, source, "package main\n\nfunc main() {}\n", 0o644)
		for _, arch := range foreign(t) {
			if err := os.Rename(build(t, arch.Platform.Architecture, source), filepath.Join(dir, arch.Name)); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv(variable, dir)
	}
	if !inNamespace(t) {
		return
	}
	table := privateTable(t)
	if _, err := table.RegisterFound(t.Context(), emulation.RegisterOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, arch := range foreign(t) {
		t.Run(arch.Name, func(t *testing.T) {
			program := filepath.Join(os.Getenv(variable), arch.Name)
			if out, err := exec.CommandContext(t.Context(), program).CombinedOutput(); err != nil {
				t.Errorf("running: %v\n%s", err, out)
			}
		})
	}
}
