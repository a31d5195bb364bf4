package toolbox

import (
	"debug/elf"
	"fmt"
	"slices"
)

// machine is an architecture by all the names that it has.
type machine struct {
	arch    string // Go's
	debian  string
	triplet string
	elf     elf.Machine
	bits    int
}

// machines are the architectures that Debian or Ubuntu have and QEMU emulates. Those
// that have two ports under one name of Go's come in the order of preference.
func machines() []machine {
	return []machine{
		{"amd64", "amd64", "x86_64-linux-gnu", elf.EM_X86_64, 64},
		{"arm64", "arm64", "aarch64-linux-gnu", elf.EM_AARCH64, 64},
		{"arm", "armhf", "arm-linux-gnueabihf", elf.EM_ARM, 32},
		{"arm", "armel", "arm-linux-gnueabi", elf.EM_ARM, 32},
		{"ppc64le", "ppc64el", "powerpc64le-linux-gnu", elf.EM_PPC64, 64},
		{"s390x", "s390x", "s390x-linux-gnu", elf.EM_S390, 64},
		{"riscv64", "riscv64", "riscv64-linux-gnu", elf.EM_RISCV, 64},
		{"loong64", "loong64", "loongarch64-linux-gnu", elf.EM_LOONGARCH, 64},
		{"mips64le", "mips64el", "mips64el-linux-gnuabi64", elf.EM_MIPS, 64},
	}
}

// byDebian returns the machine that Debian calls so.
func byDebian(name string) (machine, error) {
	return find(name, func(m machine) bool { return m.debian == name })
}

// byArch returns the machine that Go calls so.
func byArch(name string) (machine, error) {
	return find(name, func(m machine) bool { return m.arch == name })
}

func find(name string, is func(machine) bool) (machine, error) {
	all := machines()
	if i := slices.IndexFunc(all, is); i >= 0 {
		return all[i], nil
	}
	return machine{}, fmt.Errorf("architecture %q: %w", name, ErrUnsuited)
}
