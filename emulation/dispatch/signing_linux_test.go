package dispatch_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"testing"

	"github.com/mabuild/mabuild/emulation/emulationtest"
)

// Programs for 64-bit ARM sign return addresses with QEMU's own cipher, unless a
// variable says what processor it is.
func TestSigning(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	table := emulationtest.Table(t)
	arch, path := qemu(t, "arm64")
	register(t, table, arch.Handler(injected(t, path)))
	b := newBox(t)
	b.write(t, "/cipher", cipherProgram(t), 0o755)
	for variable, want := range map[string]int{
		"NONE=": 11, "QEMU_CPU=max,pauth-impdef=off": 10, "QEMU_CPU=max,pauth-impdef=on": 11,
		"QEMU_CPU=cortex-a57": 10, // cannot sign at all
	} {
		t.Run(variable, func(t *testing.T) {
			cmd := b.command(t, "/cipher", "cipher", "an argument")
			cmd.Env = append(os.Environ(), variable)
			out, err := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != want {
				t.Errorf("exit code %d, want %d: %v\n%s", got, want, err, out)
			}
		})
	}
}

// cipherProgram is a static program for arm64 whose exit code is 10 and the field API
// of ID_AA64ISAR1_EL1: 0 means that there is no cipher of the implementation's own.
// Arm Architecture Reference Manual, D19.2.62.
func cipherProgram(t *testing.T) []byte {
	t.Helper()
	const base, headers = 0x400000, 64 + 56
	code := []uint32{
		0xd5380620, // mrs x0, id_aa64isar1_el1
		0xd3482c00, // ubfx x0, x0, #8, #4
		0x91002800, // add x0, x0, #10: QEMU's own is 1
		0xd2800ba8, // mov x8, #93: exit
		0xd4000001, // svc #0
	}
	size := uint64(headers + 4*len(code))
	header := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_AARCH64), Version: uint32(elf.EV_CURRENT),
		Entry: base + headers, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
	}
	copy(header.Ident[:], fmt.Sprintf("%s%c%c%c", elf.ELFMAG, elf.ELFCLASS64, elf.ELFDATA2LSB, elf.EV_CURRENT))
	load := elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: base, Paddr: base,
		Filesz: size, Memsz: size, Align: 0x10000,
	}
	var file bytes.Buffer
	for _, part := range []any{header, load, code} {
		if err := binary.Write(&file, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return file.Bytes()
}
