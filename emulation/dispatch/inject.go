package dispatch

import (
	"bytes"
	"debug/elf"
	_ "embed" // the stub
	"encoding/binary"
	"slices"
)

//go:generate sh stub/build.sh stub

//go:embed stub/stub_amd64.bin
var stub []byte

// The head of the stub: entry_amd64.S.
const (
	stubMagic     = "MBSTUB01"
	stubDistance  = 8  // where the distance from here to QEMU's entry goes
	stubProcessor = 12 // whether QEMU is told what processor it emulates: 1
	stubEntry     = 16 // where the code begins
)

// fastSigning is a property of the processors that QEMU for 64-bit ARM knows: they
// sign addresses with a cipher of QEMU's own. QEMU's documentation, "A-profile CPU
// architecture support", "TCG VCPU Features"; in user mode since 6.0.
const fastSigning = "pauth-impdef"

const (
	pageSize  = 0x1000
	maxMemory = 1 << 29 // far more than any QEMU has; a distance, in 32 bits, is of two
)

// RefusedError is returned by [Inject] for a file that the stub cannot be put
// into. Used as it is, it emulates every program.
type RefusedError struct {
	// Reason says what is wrong with the file: "it is not an ELF file".
	Reason string
}

func (e *RefusedError) Error() string {
	return "putting the dispatcher into QEMU: " + e.Reason +
		"; install a qemu-user-static that is a static-pie executable, such as Debian's"
}

func refuse(reason string) error {
	return &RefusedError{Reason: reason}
}

// Patch is what stands at a position of a QEMU that the stub is in.
type Patch struct {
	Offset int64
	Bytes  []byte
}

// Patches returns what makes the QEMU one with the stub in it: a statically linked,
// position-independent executable for Linux on amd64. The stub is behind the file's
// end, with zeros up to it, the header that describes QEMU's notes describes the stub
// instead, and the kernel enters there. Errors are [*RefusedError].
//
// Apply them to a copy and rename that: a QEMU that is registered with the flag F is
// busy.
func Patches(qemu []byte) ([]Patch, error) {
	header, err := readHeader(qemu)
	if err != nil {
		return nil, err
	}
	plan, err := header.plan(qemu)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	code := slices.Clone(stub)
	le.PutUint32(code[stubDistance:], uint32(header.entry-(plan.address+stubDistance)))
	if bytes.Contains(qemu, []byte(fastSigning)) {
		le.PutUint32(code[stubProcessor:], 1)
	}
	segment := le.AppendUint32(nil, uint32(elf.PT_LOAD))
	segment = le.AppendUint32(segment, uint32(elf.PF_R|elf.PF_X))
	size := uint64(len(code))
	for _, field := range []uint64{plan.offset, plan.address, plan.address, size, size, pageSize} {
		segment = le.AppendUint64(segment, field)
	}
	return []Patch{
		{elfEntry, le.AppendUint64(nil, plan.address+stubEntry)},
		{int64(header.table) + int64(plan.note)*programHeaderSize, segment},
		{int64(plan.offset), code},
	}, nil
}

// Inject returns a copy of the QEMU with the [Patches].
func Inject(qemu []byte) ([]byte, error) {
	patches, err := Patches(qemu)
	if err != nil {
		return nil, err
	}
	last := patches[len(patches)-1]
	out := make([]byte, last.Offset+int64(len(last.Bytes)))
	copy(out, qemu)
	for _, p := range patches {
		copy(out[p.Offset:], p.Bytes)
	}
	return out, nil
}

// Injected reports whether the file is a QEMU with a stub in it, of this or of
// another version.
func Injected(file []byte) bool {
	header, err := readHeader(file)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(header.segments, func(s segment) bool {
		at := header.entry - stubEntry - s.address
		return s.kind == elf.PT_LOAD && at < s.fileSize &&
			bytes.HasPrefix(file[s.offset+at:], []byte(stubMagic))
	})
}

// placement is where the stub goes.
type placement struct {
	note            int // the program header that becomes the stub's
	offset, address uint64
}

// plan finds a place for the stub. The kernel wants segments in the order of
// their addresses, so the header to use must come after those of all others.
func (h *elfHeader) plan(file []byte) (placement, error) {
	if Injected(file) {
		return placement{}, refuse("it has a dispatcher already")
	}
	note, last, end := -1, -1, uint64(0)
	for i, s := range h.segments {
		switch s.kind {
		case elf.PT_LOAD:
			if s.address < end {
				return placement{}, refuse("its segments overlap or are not in the order of their addresses")
			}
			last, end = i, s.address+s.memorySize
		case elf.PT_NOTE:
			note = i
		case elf.PT_INTERP, elf.PT_SHLIB:
			return placement{}, refuse("it is dynamically linked")
		}
	}
	switch {
	case last < 0:
		return placement{}, refuse("it has no segment to load")
	case note < 0:
		return placement{}, refuse("it has no notes, whose program header the dispatcher would take")
	case note < last:
		return placement{}, refuse("the program header of its notes is before those of other segments")
	case !h.entered():
		return placement{}, refuse("its entry is not in its code")
	}
	return placement{
		note:   note,
		offset: align(uint64(len(file))),
		// At least a page of nothing behind QEMU's variables.
		address: align(end) + pageSize,
	}, nil
}

func (h *elfHeader) entered() bool {
	return slices.ContainsFunc(h.segments, func(s segment) bool {
		return s.kind == elf.PT_LOAD && s.flags&elf.PF_X != 0 &&
			h.entry >= s.address && h.entry-s.address < s.fileSize
	})
}

func align(n uint64) uint64 { return (n + pageSize - 1) &^ (pageSize - 1) }
