package tools_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"runtime"
	"testing"
)

// elfOptions change a program of the test's own.
type elfOptions struct {
	machine     elf.Machine // default: this machine's
	interpreter string      // makes it dynamically linked
	object      bool        // makes it no program
}

// program makes a static program for this machine that prints a text and ends, in
// some 200 bytes.
func program(t testing.TB, text string, opts elfOptions) []byte {
	t.Helper()
	machine, code := instructions(t, len(text))
	if opts.machine == 0 {
		opts.machine = machine
	}
	const base, headers = 0x400000, 64 + 2*56
	entry := uint64(headers + len(opts.interpreter) + 1)
	entry = (entry + 7) / 8 * 8
	size := entry + uint64(len(code)+len(text))
	kind := elf.ET_EXEC
	if opts.object {
		kind = elf.ET_REL
	}
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(kind), Machine: uint16(opts.machine), Version: uint32(elf.EV_CURRENT),
		Entry: base + entry, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64,
	}
	segments := []elf.Prog64{{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X),
		Vaddr: base, Paddr: base, Filesz: size, Memsz: size, Align: 0x1000,
	}, {}}
	if opts.interpreter != "" {
		header.Phnum = 2
		segments[1] = elf.Prog64{
			Type: uint32(elf.PT_INTERP), Flags: uint32(elf.PF_R), Off: headers, Vaddr: base + headers, Paddr: base + headers,
			Filesz: uint64(len(opts.interpreter) + 1), Memsz: uint64(len(opts.interpreter) + 1), Align: 1,
		}
	}
	var out bytes.Buffer
	for _, part := range []any{header, segments} {
		if err := binary.Write(&out, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	out.WriteString(opts.interpreter)
	out.Write(make([]byte, int(entry)-out.Len()))
	out.Write(code)
	out.WriteString(text)
	return out.Bytes()
}

// instructions are write(1, text, length) and exit(0) in front of the text.
func instructions(t testing.TB, length int) (elf.Machine, []byte) {
	t.Helper()
	switch runtime.GOARCH {
	case "amd64":
		code := []byte{
			0xb8, 1, 0, 0, 0, // mov eax, 1
			0xbf, 1, 0, 0, 0, // mov edi, 1
			0x48, 0x8d, 0x35, 16, 0, 0, 0, // lea rsi, [rip+16]
			0xba, 0, 0, 0, 0, // mov edx, length
			0x0f, 0x05, // syscall
			0xb8, 60, 0, 0, 0, // mov eax, 60
			0x31, 0xff, // xor edi, edi
			0x0f, 0x05, // syscall
		}
		binary.LittleEndian.PutUint32(code[18:], uint32(length))
		return elf.EM_X86_64, code
	case "arm64":
		words := []uint32{
			0xd2800808, 0xd2800020, // mov x8, #64; mov x0, #1
			0x100000c1,                         // adr x1, .+24
			0xd2800002 | uint32(length)<<5,     // mov x2, #length
			0xd4000001,                         // svc #0
			0xd2800ba8, 0xd2800000, 0xd4000001, // mov x8, #93; mov x0, #0; svc #0
		}
		code := make([]byte, 0, 4*len(words))
		for _, word := range words {
			code = binary.LittleEndian.AppendUint32(code, word)
		}
		return elf.EM_AARCH64, code
	}
	t.Skipf("there are no instructions for %s here", runtime.GOARCH)
	return 0, nil
}

// qemu is a program that answers --version as QEMU does.
func qemu(t testing.TB, arch, version string) []byte {
	t.Helper()
	return program(t, "qemu-"+arch+" version "+version+"\nCopyright\n", elfOptions{})
}

// runc is a program that answers --version as runc does.
func runc(t testing.TB, version string) []byte {
	t.Helper()
	return program(t, "runc version "+version+"\nspec: 1.2.1\nlibseccomp: 2.6.0\n", elfOptions{})
}
