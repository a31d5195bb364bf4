package verify

import (
	"debug/elf"
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/verify/internal/header"
)

// machine is what ELF files for an architecture have in common.
type machine struct {
	arch    string // as in ocispec.Platform
	machine elf.Machine
	class   elf.Class
	data    elf.Data
	// names are how file names and directories call it.
	names []string
}

func machines() []machine {
	const (
		b32, b64 = elf.ELFCLASS32, elf.ELFCLASS64
		lsb, msb = elf.ELFDATA2LSB, elf.ELFDATA2MSB
	)
	return []machine{
		{"amd64", elf.EM_X86_64, b64, lsb, []string{"amd64", "x86_64", "x64"}},
		{"386", elf.EM_386, b32, lsb, []string{"386", "i386", "i486", "i586", "i686", "x86", "ia32", "lib32"}},
		{"arm64", elf.EM_AARCH64, b64, lsb, []string{"arm64", "aarch64"}},
		{"arm", elf.EM_ARM, b32, lsb, []string{"arm", "armhf", "armel", "armv5", "armv6", "armv6l", "armv7", "armv7a", "armv7l", "armeabi", "gnueabi", "gnueabihf", "musleabihf"}},
		{"ppc64le", elf.EM_PPC64, b64, lsb, []string{"ppc64le", "ppc64el", "powerpc64le"}},
		{"ppc64", elf.EM_PPC64, b64, msb, []string{"ppc64", "powerpc64"}},
		{"ppc", elf.EM_PPC, b32, msb, []string{"ppc", "powerpc"}},
		{"s390x", elf.EM_S390, b64, msb, []string{"s390x"}},
		{"riscv64", elf.EM_RISCV, b64, lsb, []string{"riscv64", "riscv64gc"}},
		{"loong64", elf.EM_LOONGARCH, b64, lsb, []string{"loong64", "loongarch64"}},
		{"mips64le", elf.EM_MIPS, b64, lsb, []string{"mips64le", "mips64el"}},
		{"mips64", elf.EM_MIPS, b64, msb, []string{"mips64"}},
		{"mipsle", elf.EM_MIPS, b32, lsb, []string{"mipsle", "mipsel"}},
		{"mips", elf.EM_MIPS, b32, msb, []string{"mips"}},
		{"sparc64", elf.EM_SPARCV9, b64, msb, []string{"sparc64"}},
	}
}

// machineOf returns the architecture that a file is for.
func machineOf(h header.Header) (machine, bool) {
	for _, m := range machines() {
		if m.machine == h.Machine && m.class == h.Class && m.data == h.Data {
			return m, true
		}
	}
	return machine{}, false
}

// want is what the files of a platform's image have to be.
type want struct {
	platform ocispec.Platform
	machine
	float header.Float
	arm   uint8 // highest version of the ARM architecture
	isa   uint8 // highest x86-64 level
}

// wanted returns what is wanted of a platform's files; it is not ok if there are
// no rules for it.
func wanted(platform ocispec.Platform) (want, bool) {
	platform = platforms.Normalize(platform)
	if platform.OS != "linux" {
		return want{}, false
	}
	for _, m := range machines() {
		if m.arch != platform.Architecture {
			continue
		}
		w := want{platform: platform, machine: m}
		version, _ := strconv.ParseUint(strings.TrimPrefix(platform.Variant, "v"), 10, 8)
		switch m.arch {
		case "arm":
			w.arm, w.float = uint8(version), header.FloatHard
			if w.arm < 6 {
				w.float = header.FloatSoft
			}
		case "amd64":
			// Distributions ask for level 2 without saying so in their images.
			w.isa = max(uint8(version), 2)
		}
		return w, true
	}
	return want{}, false
}

// verdict says what is wrong with a file.
type verdict uint8

const (
	fits      verdict = iota
	portable          // code for no CPU: BPF, GPUs
	exotic            // for a CPU that runs no images: firmware
	newer             // needs a newer CPU of the same kind, by its own words
	misfits           // for another CPU or ABI
	noProgram         // damaged
)

// judge compares a file with what is wanted, and says what it is in words.
func (w want) judge(h header.Header) (verdict, string) {
	switch h.Machine {
	case elf.EM_BPF, elf.EM_CUDA, elf.EM_AMDGPU:
		return portable, ""
	}
	of, known := machineOf(h)
	switch {
	case !known && h.Damaged:
		return noProgram, "is no complete ELF file"
	case !known && h.Machine == elf.EM_X86_64 && h.Class == elf.ELFCLASS32:
		return misfits, "is for x32, amd64 with 32-bit pointers"
	case !known && w.machine.machine == h.Machine:
		return misfits, fmt.Sprintf("is for %s with another word size or byte order", w.arch)
	case !known:
		return exotic, "is for " + strings.TrimPrefix(h.Machine.String(), "EM_")
	case of.arch != w.arch:
		return misfits, "is for linux/" + of.arch
	case h.Damaged:
		return noProgram, "is no complete ELF file"
	case w.arch == "arm":
		return w.judgeARM(h)
	case h.ISA > w.isa && w.isa > 0:
		return newer, fmt.Sprintf("needs a CPU of level x86-64-v%d", h.ISA)
	}
	return fits, ""
}

func (w want) judgeARM(h header.Header) (verdict, string) {
	linked := h.Dynamic || h.Interp != ""
	switch {
	case w.arm > 0 && h.ARM > w.arm:
		return misfits, fmt.Sprintf("is for linux/arm/v%d", h.ARM)
	case linked && h.Float == header.FloatHard && w.float == header.FloatSoft:
		return misfits, "passes floats in registers (hard float)"
	case linked && h.Float == header.FloatSoft && w.float == header.FloatHard:
		return misfits, "passes floats without floating point registers (soft float)"
	}
	return fits, ""
}

// names tells whether a name, or a directory's, says the architecture that h is
// for: a file for another platform is there on purpose then.
func names(name string, h header.Header) bool {
	of, known := machineOf(h)
	if h.Machine == elf.EM_X86_64 && h.Class == elf.ELFCLASS32 {
		of, known = machine{names: []string{"x32", "gnux32", "libx32"}}, true
	}
	if !known {
		return false
	}
	words := strings.FieldsFunc(strings.ToLower(name), func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_'
	})
	for _, word := range words {
		if of.arch == "386" && strings.Contains(word, "x86_64") {
			continue
		}
		for _, alias := range of.names {
			if word == alias || strings.HasSuffix(word, "_"+alias) || strings.HasPrefix(word, alias+"_") {
				return true
			}
		}
	}
	return false
}
