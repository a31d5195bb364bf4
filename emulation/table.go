package emulation

import (
	"debug/elf"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Arch is an architecture that QEMU's user-mode emulation can run.
type Arch struct {
	Name        string           // as QEMU spells it: "aarch64"
	Platform    ocispec.Platform // as images spell it, normalised: linux/arm64
	Machine     elf.Machine      // e_machine of its programs
	Magic, Mask []byte           // how its programs begin, see [Handler]
}

// The first 18 bytes of an ELF executable: identification, then e_type, which
// is ET_EXEC here. The masks below clear the bit that tells it from ET_DYN, so
// that position-independent executables match too.
const (
	le32 = "\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00"
	le64 = "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00"
	be64 = "\x7fELF\x02\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"
)

// The masks ignore the operating system byte (EI_OSABI), which linkers set to
// GNU as soon as a program has, say, an IFUNC.
const (
	maskLE = "\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
	maskBE = "\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff"
	// x86: the lowest bits of the data and version bytes are ignored too.
	maskX86 = "\xff\xff\xff\xff\xff\xfe\xfe\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
	// POWER: so is the high byte of e_machine.
	maskPPC = "\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\x00"
	// MIPS: so is the ABI version, which its toolchains use.
	maskMIPSLE = "\xff\xff\xff\xff\xff\xff\xff\x00\x00\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
	maskMIPSBE = "\xff\xff\xff\xff\xff\xff\xff\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff"
	// LoongArch: as MIPS, but the operating system is one from System V (0) to
	// GNU (3).
	maskLoong = "\xff\xff\xff\xff\xff\xff\xff\xfc\x00\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
)

// Arches returns the architectures that this package knows, in the order in
// which tonistiigi/binfmt lists them. Names, magics and masks are those of that
// project (cmd/binfmt/config.go), which follows QEMU's qemu-binfmt-conf.sh.
// The caller owns the result.
func Arches() []Arch {
	arch := func(name, architecture, variant string, machine elf.Machine, magic, mask string) Arch {
		return Arch{
			Name:     name,
			Platform: ocispec.Platform{OS: "linux", Architecture: architecture, Variant: variant},
			Machine:  machine,
			Magic:    []byte(magic),
			Mask:     []byte(mask),
		}
	}
	return []Arch{
		arch("x86_64", "amd64", "", elf.EM_X86_64, le64+"\x3e\x00", maskX86),
		arch("aarch64", "arm64", "", elf.EM_AARCH64, le64+"\xb7\x00", maskLE),
		arch("arm", "arm", "v7", elf.EM_ARM, le32+"\x28\x00", maskLE),
		arch("s390x", "s390x", "", elf.EM_S390, be64+"\x00\x16", maskBE),
		arch("ppc64le", "ppc64le", "", elf.EM_PPC64, le64+"\x15\x00", maskPPC),
		arch("riscv64", "riscv64", "", elf.EM_RISCV, le64+"\xf3\x00", maskLE),
		arch("i386", "386", "", elf.EM_386, le32+"\x03\x00", maskX86),
		arch("mips64el", "mips64le", "", elf.EM_MIPS, le64+"\x08\x00", maskMIPSLE),
		arch("mips64", "mips64", "", elf.EM_MIPS, be64+"\x00\x08", maskMIPSBE),
		arch("loongarch64", "loong64", "", elf.EM_LOONGARCH, le64+"\x02\x01", maskLoong),
	}
}

// Lookup returns the architecture that runs programs of the platform. The
// variant does not matter: one QEMU runs linux/arm/v5 to linux/arm/v7, and
// every level of amd64 that it implements. A platform that no QEMU runs gives
// an error that is [ErrUnsupported].
func Lookup(platform ocispec.Platform) (Arch, error) {
	want := platforms.Normalize(platform)
	arches := Arches()
	at := slices.IndexFunc(arches, func(a Arch) bool {
		return a.Platform.OS == want.OS && a.Platform.Architecture == want.Architecture
	})
	if at < 0 {
		return Arch{}, &Error{
			Op:   "looking up an emulator for " + platforms.FormatAll(want),
			Err:  fmt.Errorf("%w: QEMU does not run that platform", ErrUnsupported),
			Hint: "build it on a node of that platform",
		}
	}
	return arches[at], nil
}

// ParseArch returns the architecture that a user means by QEMU's name of it
// (aarch64), by the one that images have for it (arm64), or by a platform
// (linux/arm64/v8). A platform that no QEMU runs is [ErrUnsupported], anything
// else is [ErrInvalid].
func ParseArch(name string) (Arch, error) {
	arches := Arches()
	if at := slices.IndexFunc(arches, func(a Arch) bool { return a.Name == name }); at >= 0 {
		return arches[at], nil
	}
	specifier, isWord := name, !strings.Contains(name, "/")
	if isWord {
		specifier = "linux/" + name
	}
	platform, err := platforms.Parse(specifier)
	if err == nil {
		arch, err := Lookup(platform)
		if err == nil || !isWord {
			return arch, err
		}
	}
	e := &Error{Op: fmt.Sprintf("looking up architecture %q", name), Err: fmt.Errorf("%w: unknown", ErrUnsupported)}
	if err != nil {
		e.Err = fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var names []string
	for _, a := range arches {
		names = append(names, a.Platform.Architecture)
	}
	e.Hint = "name one of " + strings.Join(names, ", ")
	return Arch{}, e
}

// Handler returns the handler that runs the architecture's programs with the
// interpreter, an absolute path to a QEMU. Its name is "qemu-" and QEMU's name
// of the architecture, as everywhere else; its flags are POCF.
func (a Arch) Handler(interpreter string) Handler {
	return Handler{
		Name:        "qemu-" + a.Name,
		Interpreter: interpreter,
		Magic:       slices.Clone(a.Magic),
		Mask:        slices.Clone(a.Mask),
		Flags:       "POCF",
		Enabled:     true,
	}
}

// ServedBy returns the first of the handlers, as [Table.Handlers] returns
// them, that runs the architecture's programs in containers: it is enabled,
// takes such programs and has the F flag. ok is false if there is none.
func (a Arch) ServedBy(handlers []Handler) (handler Handler, ok bool) {
	at := slices.IndexFunc(handlers, func(h Handler) bool {
		return h.Enabled && h.Has('F') && h.Matches(a.Magic)
	})
	if at < 0 {
		return Handler{}, false
	}
	return handlers[at], true
}
