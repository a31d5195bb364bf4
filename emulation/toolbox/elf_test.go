package toolbox_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

// testELF describes a program for tests: a real ELF file with just the parts that
// matter here.
type testELF struct {
	machine elf.Machine
	buildID string // hexadecimal
	behind  bool   // the note is behind the segment, as Go's linker has it
	interp  string
	needs   []string
	texts   []string // strings in it, each between two NULs
}

// bytes builds the file: headers, notes, loader's name, dynamic section, strings.
func (e testELF) bytes(t testing.TB) []byte {
	t.Helper()
	id, err := hex.DecodeString(e.buildID)
	if err != nil {
		t.Fatal(err)
	}
	const headers = 64 + 2*56
	var body bytes.Buffer
	at := func() uint64 { return headers + uint64(body.Len()) }
	note := at()
	size := uint64(0)
	if e.behind {
		body.WriteString("\x04\x00\x00\x00\x04\x00\x00\x00\x04\x00\x00\x00Go\x00\x00text")
		size = uint64(body.Len())
	}
	if len(id) > 0 {
		for _, n := range []uint32{4, uint32(len(id)), 3} {
			body.Write(binary.LittleEndian.AppendUint32(nil, n))
		}
		body.WriteString("GNU\x00")
		body.Write(id)
		if !e.behind {
			size = uint64(body.Len())
		}
	}
	interp := at()
	if e.interp != "" {
		body.WriteString(e.interp + "\x00")
	}
	interpSize := at() - interp
	strtab, dynamic := at(), []uint64{}
	body.WriteByte(0)
	for _, name := range e.needs {
		dynamic = append(dynamic, uint64(elf.DT_NEEDED), at()-strtab)
		body.WriteString(name + "\x00")
	}
	strtabSize := at() - strtab
	dynamicAt := at()
	for _, word := range append(dynamic, 0, 0) {
		body.Write(binary.LittleEndian.AppendUint64(nil, word))
	}
	dynamicSize := at() - dynamicAt
	body.WriteString("\x00" + strings.Join(e.texts, "\x00") + "\x00")
	sections := at()
	_ = binary.Write(&body, binary.LittleEndian, []elf.Section64{
		{},
		{Type: uint32(elf.SHT_STRTAB), Off: strtab, Size: strtabSize},
		{Type: uint32(elf.SHT_DYNAMIC), Off: dynamicAt, Size: dynamicSize, Link: 1, Entsize: 16},
	})
	segments := []elf.Prog64{
		{Type: uint32(elf.PT_NOTE), Off: note, Filesz: size},
		{Type: uint32(elf.PT_NULL)},
	}
	if e.interp != "" {
		segments[1] = elf.Prog64{Type: uint32(elf.PT_INTERP), Off: interp, Filesz: interpSize}
	}
	return append(e.headers(sections, segments), body.Bytes()...)
}

// headers are what the file begins with.
func (e testELF) headers(sections uint64, segments []elf.Prog64) []byte {
	var file bytes.Buffer
	_ = binary.Write(&file, binary.LittleEndian, elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, Type: uint16(elf.ET_DYN), Machine: uint16(e.machine), Version: 1,
		Phoff: 64, Shoff: sections, Ehsize: 64, Phentsize: 56, Phnum: 2, Shentsize: 64, Shnum: 3, Shstrndx: 1,
	})
	_ = binary.Write(&file, binary.LittleEndian, segments)
	return file.Bytes()
}
