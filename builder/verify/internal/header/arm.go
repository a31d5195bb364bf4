package header

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

const (
	sectionARMAttributes = 0x70000003 // SHT_ARM_ATTRIBUTES
	// maxTail is how much of a file's end is searched for the attributes. Linkers put
	// them between the data and the section headers, strip leaves little else there.
	maxTail = 64 << 10

	tagFile    = 1
	tagCPUArch = 6
)

// armVersion returns the architecture in the attributes of a 32-bit ARM file, 0 if
// there are none or they are not near its end.
func (p *parser) armVersion(l layout) (uint8, error) {
	if l.sections <= 0 || l.sectionsLen == 0 || l.sectionSize < 40 || l.sections < p.size-maxTail {
		return 0, nil
	}
	tail, start, err := p.tail()
	if err != nil || tail == nil {
		return 0, err
	}
	part := func(off, size int64) []byte {
		if off < start || size <= 0 || size > maxTail || off+size > start+int64(len(tail)) {
			return nil
		}
		return tail[off-start : off-start+size]
	}
	for i := range l.sectionsLen {
		s := part(l.sections+int64(i*l.sectionSize), int64(l.sectionSize))
		if s == nil {
			break
		}
		if p.order.Uint32(s[4:]) == sectionARMAttributes {
			return armArch(part(int64(p.order.Uint32(s[16:])), int64(p.order.Uint32(s[20:]))), p.order), nil
		}
	}
	return 0, nil
}

// tail reads the stream to its end and returns the last maxTail bytes and their
// offset.
func (p *parser) tail() ([]byte, int64, error) {
	f := &p.in
	buf := make([]byte, 0, 2*maxTail)
	if f.pos == int64(len(f.prefix)) {
		buf = append(buf, f.prefix...)
	}
	for f.rest != nil {
		n, err := f.rest.Read(buf[len(buf):min(len(buf)+maxTail, cap(buf))])
		buf, f.pos = buf[:len(buf)+n], f.pos+int64(n)
		if len(buf) == cap(buf) {
			buf = buf[:copy(buf, buf[len(buf)-maxTail:])]
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, 0, err
		}
	}
	return buf, f.pos - int64(len(buf)), nil
}

// armArch returns the version of the architecture that a section of build
// attributes names (ABI for the ARM Architecture, Addenda: build attributes).
func armArch(attrs []byte, order binary.ByteOrder) uint8 {
	if len(attrs) < 5 || attrs[0] != 'A' {
		return 0
	}
	size := int(min(order.Uint32(attrs[1:]), maxTail))
	attrs = attrs[5:min(max(size+1, 5), len(attrs))]
	vendor, attrs, ok := bytes.Cut(attrs, []byte{0})
	if !ok || string(vendor) != "aeabi" || len(attrs) < 5 || attrs[0] != tagFile {
		return 0
	}
	attrs = attrs[5:]
	for len(attrs) > 0 {
		tag, n := binary.Uvarint(attrs)
		if n <= 0 {
			return 0
		}
		attrs = attrs[n:]
		text := tag == 4 || tag == 5 || tag > 32 && tag%2 == 1
		if !text {
			value, n := binary.Uvarint(attrs)
			if n <= 0 {
				return 0
			}
			if tag == tagCPUArch {
				return armOf(value)
			}
			attrs = attrs[n:]
		}
		if text || tag == 32 {
			_, attrs, _ = bytes.Cut(attrs, []byte{0})
		}
	}
	return 0
}

// armOf returns the major version for a value of Tag_CPU_arch.
func armOf(value uint64) uint8 {
	switch {
	case value >= 1 && value <= 2:
		return 4
	case value >= 3 && value <= 5:
		return 5
	case value >= 6 && value <= 9, value == 11, value == 12: // v6, v6KZ, v6T2, v6K, v6-M, v6S-M
		return 6
	case value == 10, value == 13:
		return 7
	case value >= 14 && value <= 22:
		return 8
	default:
		return 0
	}
}
