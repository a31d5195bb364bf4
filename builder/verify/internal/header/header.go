package header

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
)

const (
	// Prefix is how much of a file's beginning [Read] wants to be given. Linkers
	// put the program headers, the interpreter's name and the notes there.
	Prefix = 4 << 10
	// Shortest is the length of the shortest beginning that names a machine.
	Shortest = 20

	maxProgs  = 128
	maxInterp = 512
	maxNote   = 4 << 10
	maxOffset = 1 << 48
)

// Header is what is known about an ELF file. Two files for the same machine that
// are loaded the same way have equal headers.
type Header struct {
	Machine elf.Machine
	Class   elf.Class
	Data    elf.Data
	// Float is the ARM float ABI.
	Float Float
	// Interp is the interpreter that PT_INTERP names.
	Interp string
	// Dynamic is set if the file is linked at run time.
	Dynamic bool
	// ISA is the x86-64 level (1 to 4) without which the file does not run, 0 if it
	// does not say.
	ISA uint8
	// ARM is the version of the ARM architecture that the code needs, 0 if the file
	// does not say.
	ARM uint8
	// Damaged is set if the file begins as an ELF file and goes on as none.
	Damaged bool
}

// Float is a float ABI of ARM.
type Float uint8

// The float ABIs. Files that pass no floats, and files of Go before version 5 of
// the EABI, name none.
const (
	FloatAny Float = iota
	FloatSoft
	FloatHard
)

// Bits of e_flags in 32-bit ARM files.
const (
	armFloatSoft = 0x200
	armFloatHard = 0x400
)

// Is tells whether a file that begins like this is an ELF file.
func Is(prefix []byte) bool {
	return len(prefix) >= Shortest && bytes.HasPrefix(prefix, []byte(elf.ELFMAG))
}

// Read reads the header of a file of size bytes, for whose beginning [Is] holds:
// at least [Prefix] bytes or all of it. rest is what follows, nil if that is not
// worth reading. The error is that of rest; files that are no good are Damaged.
func Read(prefix []byte, rest io.Reader, size int64) (Header, error) {
	h := Header{
		Class:   elf.Class(prefix[elf.EI_CLASS]),
		Data:    elf.Data(prefix[elf.EI_DATA]),
		Machine: elf.Machine(binary.LittleEndian.Uint16(prefix[18:])),
	}
	p := parser{in: forward{prefix: prefix, rest: rest, pos: int64(len(prefix))}, size: size, order: binary.LittleEndian}
	if h.Data == elf.ELFDATA2MSB {
		h.Machine = elf.Machine(binary.BigEndian.Uint16(prefix[18:]))
		p.order = binary.BigEndian
	}
	layout, ok := p.layout(h.Class)
	if !ok || h.Data != elf.ELFDATA2LSB && h.Data != elf.ELFDATA2MSB {
		h.Damaged = true
		return h, nil
	}
	if h.Machine == elf.EM_ARM && h.Class == elf.ELFCLASS32 {
		switch {
		case layout.flags&armFloatHard != 0:
			h.Float = FloatHard
		case layout.flags&armFloatSoft != 0:
			h.Float = FloatSoft
		}
	}
	err := p.programs(&h, layout)
	if err == nil && h.Machine == elf.EM_ARM && h.Class == elf.ELFCLASS32 {
		h.ARM, err = p.armVersion(layout)
	}
	if errors.Is(err, errShort) {
		h.Damaged, err = true, nil
	}
	return h, err
}

// errShort says that a file has not got what it points to.
var errShort = errors.New("it ends too early")

// forward reads a stream at increasing offsets. The beginning stays readable.
type forward struct {
	prefix []byte
	rest   io.Reader
	pos    int64 // of rest
}

// at returns n bytes at an offset, nil if they cannot be read any more.
func (f *forward) at(off int64, n int) ([]byte, error) {
	if off < 0 || off > maxOffset || n <= 0 {
		return nil, errShort
	}
	if off+int64(n) <= int64(len(f.prefix)) {
		return f.prefix[off : off+int64(n)], nil
	}
	contiguous := f.pos == int64(len(f.prefix))
	if f.rest == nil || off < f.pos && !contiguous {
		return nil, nil
	}
	buf := make([]byte, n)
	have := 0
	if off < f.pos {
		have = copy(buf, f.prefix[off:])
	}
	skipped, err := io.CopyN(io.Discard, f.rest, max(off-f.pos, 0))
	f.pos += skipped
	if err != nil {
		return nil, short(err)
	}
	read, err := io.ReadFull(f.rest, buf[have:])
	f.pos += int64(read)
	return buf, short(err)
}

// short takes the stream's end for the file's: whoever reads the stream on learns
// whether it was cut.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errShort
	}
	return err
}

type parser struct {
	in    forward
	size  int64
	order binary.ByteOrder
}

// layout says where the tables of a file are.
type layout struct {
	class                  elf.Class
	progs, sections        int64
	progSize, sectionSize  int
	progCount, sectionsLen int
	names                  int // index of the section with the sections' names
	flags                  uint32
}

// layout reads the file header; it is not ok if there is none.
func (p *parser) layout(class elf.Class) (layout, bool) {
	b := p.in.prefix
	l := layout{class: class}
	var tail []byte // from e_ehsize
	switch {
	case class == elf.ELFCLASS32 && len(b) >= 52:
		l.progs, l.sections = int64(p.order.Uint32(b[28:])), int64(p.order.Uint32(b[32:]))
		l.flags, tail = p.order.Uint32(b[36:]), b[40:52]
	case class == elf.ELFCLASS64 && len(b) >= 64:
		l.progs, l.sections = int64(p.order.Uint64(b[32:])), int64(p.order.Uint64(b[40:]))
		l.flags, tail = p.order.Uint32(b[48:]), b[52:64]
	default:
		return l, false
	}
	l.progSize, l.progCount = int(p.order.Uint16(tail[2:])), int(p.order.Uint16(tail[4:]))
	l.sectionSize, l.sectionsLen = int(p.order.Uint16(tail[6:])), int(p.order.Uint16(tail[8:]))
	l.names = int(p.order.Uint16(tail[10:]))
	return l, true
}

// segment is a program header.
type segment struct {
	kind      elf.ProgType
	off, size int64
}

func (p *parser) segment(class elf.Class, b []byte) segment {
	s := segment{kind: elf.ProgType(p.order.Uint32(b))}
	if class == elf.ELFCLASS32 {
		s.off, s.size = int64(p.order.Uint32(b[4:])), int64(p.order.Uint32(b[16:]))
	} else {
		s.off, s.size = int64(p.order.Uint64(b[8:])), int64(p.order.Uint64(b[32:]))
	}
	return s
}

// programs reads the program headers and what they point to.
func (p *parser) programs(h *Header, l layout) error {
	least := 32
	if l.class == elf.ELFCLASS64 {
		least = 56
	}
	if l.progCount == 0 {
		return nil
	}
	if l.progSize < least || l.progSize > 4*least || l.progs <= 0 {
		return errShort
	}
	table, err := p.in.at(l.progs, l.progSize*min(l.progCount, maxProgs))
	if err != nil || table == nil {
		return err
	}
	var notes, interps []segment
	for ; len(table) >= l.progSize; table = table[l.progSize:] {
		switch s := p.segment(l.class, table); s.kind {
		case elf.PT_DYNAMIC:
			h.Dynamic = true
		case elf.PT_INTERP:
			interps = append(interps, s)
		case elf.PT_NOTE:
			notes = append(notes, s)
		}
	}
	if h.Machine == elf.EM_X86_64 {
		for _, s := range notes {
			// Notes beyond the beginning would have to be read in order.
			if s.off >= 0 && s.off < Prefix && s.size > 0 && s.size <= maxNote && s.off+s.size <= int64(len(p.in.prefix)) {
				h.ISA = max(h.ISA, isaNeeded(p.in.prefix[s.off:s.off+s.size], l.class))
			}
		}
	}
	if len(interps) == 0 {
		return nil
	}
	// The kernel takes the first.
	s := interps[0]
	if s.off <= 0 || s.size < 2 || s.off > p.size-s.size {
		return errShort
	}
	name, err := p.in.at(s.off, int(min(s.size, maxInterp)))
	if err != nil {
		return err
	}
	name, _, _ = bytes.Cut(name, []byte{0})
	h.Interp = string(name)
	return nil
}
