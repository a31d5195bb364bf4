package emulation_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/emulation"
)

// program describes an ELF header.
type program struct {
	class   elf.Class
	data    elf.Data
	machine elf.Machine
	kind    elf.Type
	osabi   elf.OSABI
}

func (p program) String() string {
	return fmt.Sprintf("%v %v %v %v %v", p.class, p.data, p.machine, p.kind, p.osabi)
}

// header returns the bytes of the ELF header, made without the package's table.
func (p program) header(t *testing.T) []byte {
	t.Helper()
	var ident [elf.EI_NIDENT]byte
	copy(ident[:], elf.ELFMAG)
	ident[elf.EI_CLASS] = byte(p.class)
	ident[elf.EI_DATA] = byte(p.data)
	ident[elf.EI_VERSION] = byte(elf.EV_CURRENT)
	ident[elf.EI_OSABI] = byte(p.osabi)

	var order binary.ByteOrder = binary.LittleEndian
	if p.data == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	var header any = &elf.Header64{Ident: ident, Type: uint16(p.kind), Machine: uint16(p.machine), Version: 1, Entry: 0x10000}
	if p.class == elf.ELFCLASS32 {
		header = &elf.Header32{Ident: ident, Type: uint16(p.kind), Machine: uint16(p.machine), Version: 1, Entry: 0x10000}
	}
	var out bytes.Buffer
	if err := binary.Write(&out, order, header); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// known are the executables of the architectures, by the platform's name.
var known = map[string]program{
	"amd64":    {class: elf.ELFCLASS64, data: elf.ELFDATA2LSB, machine: elf.EM_X86_64},
	"arm64":    {class: elf.ELFCLASS64, data: elf.ELFDATA2LSB, machine: elf.EM_AARCH64},
	"arm":      {class: elf.ELFCLASS32, data: elf.ELFDATA2LSB, machine: elf.EM_ARM},
	"s390x":    {class: elf.ELFCLASS64, data: elf.ELFDATA2MSB, machine: elf.EM_S390},
	"ppc64le":  {class: elf.ELFCLASS64, data: elf.ELFDATA2LSB, machine: elf.EM_PPC64},
	"riscv64":  {class: elf.ELFCLASS64, data: elf.ELFDATA2LSB, machine: elf.EM_RISCV},
	"386":      {class: elf.ELFCLASS32, data: elf.ELFDATA2LSB, machine: elf.EM_386},
	"mips64le": {class: elf.ELFCLASS64, data: elf.ELFDATA2LSB, machine: elf.EM_MIPS},
	"mips64":   {class: elf.ELFCLASS64, data: elf.ELFDATA2MSB, machine: elf.EM_MIPS},
	"loong64":  {class: elf.ELFCLASS64, data: elf.ELFDATA2LSB, machine: elf.EM_LOONGARCH},
}

// strangers are programs that no handler of ours may take.
var strangers = []program{
	{class: elf.ELFCLASS32, data: elf.ELFDATA2LSB, machine: elf.EM_MIPS},
	{class: elf.ELFCLASS32, data: elf.ELFDATA2MSB, machine: elf.EM_MIPS},
	{class: elf.ELFCLASS64, data: elf.ELFDATA2MSB, machine: elf.EM_PPC64},
	{class: elf.ELFCLASS32, data: elf.ELFDATA2MSB, machine: elf.EM_PPC},
	{class: elf.ELFCLASS32, data: elf.ELFDATA2LSB, machine: elf.EM_RISCV},
	{class: elf.ELFCLASS32, data: elf.ELFDATA2LSB, machine: elf.EM_X86_64}, // the x32 ABI
	{class: elf.ELFCLASS32, data: elf.ELFDATA2MSB, machine: elf.EM_ARM},
	{class: elf.ELFCLASS64, data: elf.ELFDATA2MSB, machine: elf.EM_AARCH64},
	{class: elf.ELFCLASS32, data: elf.ELFDATA2LSB, machine: elf.EM_LOONGARCH},
	{class: elf.ELFCLASS32, data: elf.ELFDATA2MSB, machine: elf.EM_S390},
	{class: elf.ELFCLASS64, data: elf.ELFDATA2MSB, machine: elf.EM_SPARCV9},
}

func TestMagicsMatchTheirOwnProgramsOnly(t *testing.T) {
	arches := emulation.Arches()
	if len(arches) != len(known) {
		t.Fatalf("%d architectures, want %d", len(arches), len(known))
	}
	// takers are the architectures whose handler takes the program.
	takers := func(p program) (names []string) {
		header := p.header(t)
		for _, arch := range arches {
			if arch.Handler("/qemu").Matches(header) {
				names = append(names, arch.Platform.Architecture)
			}
		}
		return names
	}
	for name, p := range known {
		for _, p.kind = range []elf.Type{elf.ET_EXEC, elf.ET_DYN} {
			for _, p.osabi = range []elf.OSABI{elf.ELFOSABI_NONE, elf.ELFOSABI_LINUX} {
				if diff := cmp.Diff([]string{name}, takers(p)); diff != "" {
					t.Errorf("%v is taken by (-want +got):\n%s", p, diff)
				}
			}
		}
		for _, p.kind = range []elf.Type{elf.ET_NONE, elf.ET_REL, elf.ET_CORE} {
			if got := takers(p); got != nil {
				t.Errorf("%v, which is no program, is taken by %q", p, got)
			}
		}
	}
	for _, p := range strangers {
		p.kind = elf.ET_EXEC
		if got := takers(p); got != nil {
			t.Errorf("%v is taken by %q", p, got)
		}
	}
	for _, text := range []string{"", "\x7fELF", "#!/bin/sh\n", "MZ"} {
		for _, arch := range arches {
			if arch.Handler("/qemu").Matches([]byte(text)) {
				t.Errorf("%s takes %q", arch.Name, text)
			}
		}
	}
}

func TestArches(t *testing.T) {
	for _, arch := range emulation.Arches() {
		t.Run(arch.Name, func(t *testing.T) {
			want := known[arch.Platform.Architecture]
			if arch.Machine != want.machine {
				t.Errorf("Machine = %v, want %v", arch.Machine, want.machine)
			}
			if got := platforms.Normalize(arch.Platform); !platforms.Only(got).Match(arch.Platform) || got.Variant != arch.Platform.Variant {
				t.Errorf("Platform %v is not normalised: %v", arch.Platform, got)
			}
			found, err := emulation.Lookup(arch.Platform)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(arch, found); diff != "" {
				t.Errorf("Lookup (-table +found):\n%s", diff)
			}
			h := arch.Handler("/usr/bin/qemu-" + arch.Name)
			if _, err := h.Registration(); err != nil {
				t.Error(err)
			}
			if h.Name != "qemu-"+arch.Name || h.Flags != "POCF" || !h.Enabled {
				t.Errorf("Handler = %+v", h)
			}
			// The caller owns what it gets.
			arch.Magic[0], h.Magic[1], h.Mask[0] = 0, 0, 0
			if again, err := emulation.Lookup(found.Platform); err != nil || !cmp.Equal(again, found) {
				t.Errorf("the table changed: %v, %v", again, err)
			}
		})
	}
}

func TestLookup(t *testing.T) {
	for platform, want := range map[string]string{
		"linux/amd64":      "x86_64",
		"linux/amd64/v3":   "x86_64",
		"linux/arm64":      "aarch64",
		"linux/arm64/v8":   "aarch64",
		"linux/aarch64":    "aarch64",
		"linux/arm":        "arm",
		"linux/arm/v6":     "arm",
		"linux/i386":       "i386",
		"linux/ppc64le":    "ppc64le",
		"linux/loong64":    "loongarch64",
		"linux/mips64le":   "mips64el",
		"windows/amd64":    "",
		"darwin/arm64":     "",
		"linux/sparc64":    "",
		"freebsd/riscv64":  "",
		"linux/mips":       "",
		"wasip1/wasm":      "",
		"linux/riscv32/v1": "",
	} {
		t.Run(platform, func(t *testing.T) {
			arch, err := emulation.Lookup(platforms.MustParse(platform))
			if want == "" {
				if !errors.Is(err, emulation.ErrUnsupported) {
					t.Errorf("Lookup = %q, %v, want ErrUnsupported", arch.Name, err)
				}
				return
			}
			if err != nil || arch.Name != want {
				t.Errorf("Lookup = %q, %v, want %q", arch.Name, err, want)
			}
		})
	}
	// A platform from an image, not normalised by anyone.
	if arch, err := emulation.Lookup(ocispec.Platform{OS: "Linux", Architecture: "x86-64"}); err != nil || arch.Name != "x86_64" {
		t.Errorf("Lookup = %q, %v", arch.Name, err)
	}
}

// TestGoPrograms compares with what a real linker writes.
func TestGoPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the Go runtime for ten architectures")
	}
	source := filepath.Join(t.TempDir(), "empty.go")
	writeFile(t, source, "package main\n\nfunc main() {}\n", 0o644)
	for _, arch := range emulation.Arches() {
		t.Run(arch.Platform.Architecture, func(t *testing.T) {
			text, err := os.ReadFile(build(t, arch.Platform.Architecture, source))
			if err != nil {
				t.Fatal(err)
			}
			for _, other := range emulation.Arches() {
				want := other.Name == arch.Name
				if got := other.Handler("/qemu").Matches(text[:64]); got != want {
					t.Errorf("%s matches: %v, want %v", other.Name, got, want)
				}
			}
		})
	}
}

// TestDistributionHandlers compares with the handlers that the distribution's
// QEMU package would register: ours must take every program that they take.
func TestDistributionHandlers(t *testing.T) {
	compared := 0
	for _, arch := range emulation.Arches() {
		path := "/usr/lib/binfmt.d/qemu-" + arch.Name + ".conf"
		line, err := os.ReadFile(path)
		if err != nil {
			continue // Debian's amd64 package has none for amd64 and 386
		}
		theirs, err := emulation.ParseRegistration(string(line))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		compared++
		ours := arch.Handler(theirs.Interpreter)
		if theirs.Name != ours.Name {
			t.Errorf("%s has the name %q, ours is %q", path, theirs.Name, ours.Name)
		}
		if !bytes.Equal(theirs.Magic, ours.Magic) {
			t.Errorf("%s has the magic %x, ours is %x", path, theirs.Magic, ours.Magic)
		}
		stricter := func(i int) bool { return ours.Mask[i]&^theirs.Mask[i] != 0 }
		indexes := make([]int, len(ours.Mask))
		for i := range indexes {
			indexes[i] = i
		}
		if at := slices.IndexFunc(indexes, stricter); at >= 0 {
			t.Errorf("%s has the mask %x, ours is stricter in byte %d: %x", path, theirs.Mask, at, ours.Mask)
		}
	}
	if compared == 0 {
		t.Skip("there are no handlers for QEMU in /usr/lib/binfmt.d")
	}
}

func TestServedBy(t *testing.T) {
	arm64, err := emulation.Lookup(platforms.MustParse("linux/arm64"))
	if err != nil {
		t.Fatal(err)
	}
	amd64, err := emulation.Lookup(platforms.MustParse("linux/amd64"))
	if err != nil {
		t.Fatal(err)
	}
	good := arm64.Handler("/qemu")
	good.Name = "of-somebody-else"
	disabled, lazy := good, good
	disabled.Enabled = false
	lazy.Flags = "POC" // case 22: enabled, and broken in every container
	for _, test := range []struct {
		name     string
		arch     emulation.Arch
		handlers []emulation.Handler
		want     bool
	}{
		{"empty table", arm64, nil, false},
		{"other architecture", amd64, []emulation.Handler{good}, false},
		{"other name", arm64, []emulation.Handler{amd64.Handler("/qemu"), good}, true},
		{"switched off", arm64, []emulation.Handler{disabled}, false},
		{"without F", arm64, []emulation.Handler{lazy}, false},
		{"extension", arm64, []emulation.Handler{{Name: "x", Extension: "arm64", Flags: "F", Enabled: true}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, ok := test.arch.ServedBy(test.handlers)
			if ok != test.want || ok && h.Name != good.Name {
				t.Errorf("ServedBy = %q, %v, want %v", h.Name, ok, test.want)
			}
		})
	}
}
