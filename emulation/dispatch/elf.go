package dispatch

import (
	"debug/elf"
	"encoding/binary"
)

// The layout of 64-bit ELF files: System V ABI, "ELF Header" and "Program Header".
const (
	elfHeaderSize     = 64
	elfType           = 16
	elfMachine        = 18
	elfEntry          = 24
	elfTable          = 32
	elfEntrySize      = 54
	elfCount          = 56
	programHeaderSize = 56
)

// elfHeader is what matters of an executable. debug/elf would do, but reads more
// than the program headers, and refuses files for what does not matter here.
type elfHeader struct {
	entry, table uint64
	segments     []segment
}

type segment struct {
	kind                                  elf.ProgType
	flags                                 elf.ProgFlag
	offset, address, fileSize, memorySize uint64
}

// readHeader reads the headers of a position-independent executable for amd64,
// and checks that all segments are in the file. Errors are [*RefusedError].
func readHeader(file []byte) (*elfHeader, error) {
	le := binary.LittleEndian
	switch {
	case len(file) < elfHeaderSize || string(file[:4]) != elf.ELFMAG:
		return nil, refuse("it is not an ELF file")
	case elf.Class(file[elf.EI_CLASS]) != elf.ELFCLASS64,
		elf.Data(file[elf.EI_DATA]) != elf.ELFDATA2LSB,
		elf.Machine(le.Uint16(file[elfMachine:])) != elf.EM_X86_64:
		return nil, refuse("it is not a program for amd64")
	case elf.Type(le.Uint16(file[elfType:])) != elf.ET_DYN:
		return nil, refuse("it is not position-independent")
	}
	header := &elfHeader{entry: le.Uint64(file[elfEntry:]), table: le.Uint64(file[elfTable:])}
	size, count := uint64(len(file)), uint64(le.Uint16(file[elfCount:]))
	if le.Uint16(file[elfEntrySize:]) != programHeaderSize ||
		header.table > size || count > (size-header.table)/programHeaderSize {
		return nil, refuse("its program headers are not in the file")
	}
	for i := range count {
		s := readSegment(file[header.table+i*programHeaderSize:])
		if s.offset > size || s.fileSize > size-s.offset {
			return nil, refuse("it is cut off")
		}
		if s.kind == elf.PT_LOAD && (s.fileSize > s.memorySize || s.address > maxMemory || s.memorySize > maxMemory) {
			return nil, refuse("it has a segment that no kernel loads")
		}
		header.segments = append(header.segments, s)
	}
	return header, nil
}

func readSegment(header []byte) segment {
	le := binary.LittleEndian
	return segment{
		kind:       elf.ProgType(le.Uint32(header)),
		flags:      elf.ProgFlag(le.Uint32(header[4:])),
		offset:     le.Uint64(header[8:]),
		address:    le.Uint64(header[16:]),
		fileSize:   le.Uint64(header[32:]),
		memorySize: le.Uint64(header[40:]),
	}
}
