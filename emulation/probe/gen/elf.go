package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"

	"github.com/mabuild/mabuild/emulation"
)

const (
	// base is where programs are loaded: above what any system keeps free
	// (vm.mmap_min_addr), and a multiple of every page size.
	base = 0x400000
	// pageSize is the largest that Linux has on these architectures.
	pageSize = 0x10000
)

// flags are e_flags, the ABI of the program, where the architecture has any.
// The ELF supplements of the architectures define them; debug/elf does not.
func flags(machine elf.Machine) uint32 {
	switch machine {
	case elf.EM_ARM:
		return 0x05000000 // EABI version 5
	case elf.EM_PPC64:
		return 2 // ELFv2: the entry is code and not a descriptor
	case elf.EM_RISCV:
		return 0x5 // compressed instructions, double floats in registers
	case elf.EM_MIPS:
		return 0x20000004 // MIPS III, as the Go linker has it
	case elf.EM_LOONGARCH:
		return 0x43 // object ABI 1, double floats in registers
	default:
		return 0
	}
}

// wrap puts machine code into an executable: the header, one segment with the
// whole file, and the wish for a stack that is not executable.
func wrap(arch emulation.Arch, code []byte) ([]byte, error) {
	ident := [elf.EI_NIDENT]byte(arch.Magic[:elf.EI_NIDENT])
	var order binary.ByteOrder = binary.LittleEndian
	if elf.Data(ident[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	build := wrap64
	if elf.Class(ident[elf.EI_CLASS]) == elf.ELFCLASS32 {
		build = wrap32
	}
	var out bytes.Buffer
	for _, part := range build(ident, arch.Machine, len(code)) {
		if err := binary.Write(&out, order, part); err != nil {
			return nil, err
		}
	}
	out.Write(code)
	file, err := elf.NewFile(bytes.NewReader(out.Bytes()))
	if err != nil {
		return nil, fmt.Errorf("checking the result: %w", err)
	}
	return out.Bytes(), file.Close()
}

func wrap64(ident [elf.EI_NIDENT]byte, machine elf.Machine, code int) []any {
	const header, program = 64, 56
	const start = header + 2*program
	size := uint64(start + code)
	return []any{
		elf.Header64{
			Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
			Entry: base + start, Phoff: header, Flags: flags(machine),
			Ehsize: header, Phentsize: program, Phnum: 2,
		},
		elf.Prog64{
			Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X),
			Vaddr: base, Paddr: base, Filesz: size, Memsz: size, Align: pageSize,
		},
		elf.Prog64{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W), Align: 16},
	}
}

func wrap32(ident [elf.EI_NIDENT]byte, machine elf.Machine, code int) []any {
	const header, program = 52, 32
	const start = header + 2*program
	size := uint32(start + code)
	return []any{
		elf.Header32{
			Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
			Entry: base + start, Phoff: header, Flags: flags(machine),
			Ehsize: header, Phentsize: program, Phnum: 2,
		},
		elf.Prog32{
			Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X),
			Vaddr: base, Paddr: base, Filesz: size, Memsz: size, Align: pageSize,
		},
		elf.Prog32{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W), Align: 16},
	}
}
