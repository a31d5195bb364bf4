package header

import (
	"debug/elf"
	"encoding/binary"
	"math/bits"
)

const (
	noteGNUProperty = 5          // NT_GNU_PROPERTY_TYPE_0
	propertyISA     = 0xc0008002 // GNU_PROPERTY_X86_ISA_1_NEEDED
)

// isaNeeded returns the x86-64 level in a segment of notes, 0 if there is none.
// x86 is little-endian.
func isaNeeded(notes []byte, class elf.Class) uint8 {
	align := 8
	if class == elf.ELFCLASS32 {
		align = 4
	}
	order := binary.LittleEndian
	for len(notes) >= 16 {
		nameSize, descSize, kind := order.Uint32(notes), order.Uint32(notes[4:]), order.Uint32(notes[8:])
		if nameSize > maxNote || descSize > maxNote {
			return 0
		}
		desc := 12 + int(nameSize+3)&^3
		end := desc + int(descSize)
		if end > len(notes) {
			return 0
		}
		if kind == noteGNUProperty && string(notes[12:16]) == "GNU\x00" {
			return isaProperty(notes[desc:end], align)
		}
		notes = notes[min((end+3)&^3, len(notes)):]
	}
	return 0
}

func isaProperty(props []byte, align int) uint8 {
	order := binary.LittleEndian
	for len(props) >= 12 {
		kind, size := order.Uint32(props), order.Uint32(props[4:])
		if size > maxNote || 8+int(size) > len(props) {
			return 0
		}
		if kind == propertyISA && size >= 4 {
			// Bit 0 is the baseline, bit 3 is x86-64-v4.
			return uint8(bits.Len32(order.Uint32(props[8:]) & 0xf))
		}
		props = props[min((8+int(size)+align-1)&^(align-1), len(props)):]
	}
	return 0
}
