package probe_test

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/probe"
)

// The programs are what their sources say.
func TestProgramsCanBeMade(t *testing.T) {
	dir := t.TempDir()
	gen, made := filepath.Join(dir, "gen"), filepath.Join(dir, "programs.go")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", gen, "./gen").CombinedOutput(); err != nil {
		t.Fatalf("go build ./gen: %v\n%s", err, out)
	}
	// A caller's settings for other builds must not matter.
	cmd := exec.CommandContext(t.Context(), gen, "-o", made)
	cmd.Env = append(os.Environ(), "GOAMD64=v3", "GOARM=7", "GOPPC64=power10", "GORISCV64=rva23u64", "GOFLAGS=-race")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gen: %v\n%s", err, out)
	}
	want, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("programs.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("programs.go is not what gen makes: run `go generate ./emulation/probe` and look at the difference")
	}
}

func TestPrograms(t *testing.T) {
	total := 0
	for _, arch := range emulation.Arches() {
		program := probe.Program(arch)
		total += len(program)
		if !arch.Handler("/q").Matches(program) {
			t.Errorf("%s: its handler does not take the program", arch.Name)
		}
		for _, other := range emulation.Arches() {
			if other.Name != arch.Name && other.Handler("/q").Matches(program) {
				t.Errorf("%s: the handler of %s takes the program", arch.Name, other.Name)
			}
		}
		file, err := elf.NewFile(bytes.NewReader(program))
		if err != nil {
			t.Fatalf("%s: %v", arch.Name, err)
		}
		if file.Machine != arch.Machine || file.Type != elf.ET_EXEC || len(file.Sections) != 0 || len(file.Progs) != 2 {
			t.Errorf("%s: %+v", arch.Name, file)
		}
		if slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Flags&elf.PF_X != 0 && p.Flags&elf.PF_W != 0 }) {
			t.Errorf("%s: memory that is writable and executable", arch.Name)
		}
		program[0]++ // the caller's own
		if probe.Program(arch)[0] == program[0] {
			t.Errorf("%s: Program returns the same bytes twice", arch.Name)
		}
	}
	if total > 5000 {
		t.Errorf("the programs have %d bytes together", total)
	}
	if got := probe.Program(emulation.Arch{Name: "alpha"}); got != nil {
		t.Errorf("a program for alpha: %x", got)
	}
}

func TestResult(t *testing.T) {
	r := probe.Result{Checks: []probe.Check{{Name: "run", Outcome: probe.Passed}, {Name: "setuid", Outcome: probe.Skipped}}}
	if !r.OK() || r.Check("run").Outcome != probe.Passed || r.Check("other").Outcome != "" {
		t.Errorf("%+v", r)
	}
	r.Checks[1].Outcome = probe.Failed
	if r.OK() {
		t.Errorf("%+v is OK", r)
	}
}
