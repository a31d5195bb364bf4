package layer

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/mabuild/mabuild/builder/verify/internal/header"
)

// Rules is the version of everything that decides what a Layer says. It changes
// whenever the same blob would give another Layer.
const Rules = "1"

// writer encodes records as they come: paths as what they do not share with the
// one before, headers as numbers.
type writer struct {
	Layer
	last    string
	numbers map[header.Header]uint64
}

func (w *writer) add(e Entry) {
	shared := 0
	for shared < min(len(w.last), len(e.Path)) && w.last[shared] == e.Path[shared] {
		shared++
	}
	w.last = e.Path
	b := w.records
	b = binary.AppendUvarint(b, uint64(shared))
	b = appendText(b, e.Path[shared:])
	kind := byte(e.Kind) << 1
	if e.Exec {
		kind |= 1
	}
	b = append(b, kind)
	switch e.Kind {
	case ELF:
		b = binary.AppendUvarint(b, w.number(e.Header))
	case Script, Foreign, Symlink, Hardlink:
		b = appendText(b, e.Text)
	case Archive:
		n := uint64(len(e.Members)) << 1
		if e.Unread {
			n |= 1
		}
		b = binary.AppendUvarint(b, n)
		for _, m := range e.Members {
			b = appendText(b, m.Path)
			b = binary.AppendUvarint(b, w.number(m.Header))
		}
	}
	w.records = b
	w.count++
}

func (w *writer) number(h header.Header) uint64 {
	n, ok := w.numbers[h]
	if !ok {
		if w.numbers == nil {
			w.numbers = map[header.Header]uint64{}
		}
		n = uint64(len(w.headers))
		w.numbers[h] = n
		w.headers = append(w.headers, h)
	}
	return n
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decoder is bad from the first thing on that is no encoding.
type decoder struct {
	buf     []byte
	headers []header.Header
	path    []byte
	bad     bool
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.buf)
	if n <= 0 {
		d.bad, d.buf = true, nil
		return 0
	}
	d.buf = d.buf[n:]
	return v
}

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.buf)) {
		d.bad, d.buf = true, nil
		return nil
	}
	b := d.buf[:n]
	d.buf = d.buf[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) text() string { return string(d.bytes(d.uint())) }

func (d *decoder) header() (h header.Header) {
	if n := d.uint(); n < uint64(len(d.headers)) {
		return d.headers[n]
	}
	d.bad = true
	return h
}

func (d *decoder) entry() (e Entry) {
	shared := d.uint()
	if shared > uint64(len(d.path)) {
		d.bad = true
		return e
	}
	d.path = append(d.path[:shared], d.bytes(d.uint())...)
	kind := d.byte()
	e.Path, e.Kind, e.Exec = string(d.path), Kind(kind>>1), kind&1 != 0
	switch e.Kind {
	case ELF:
		e.Header = d.header()
	case Script, Foreign, Symlink, Hardlink:
		e.Text = d.text()
	case Archive:
		n := d.uint()
		e.Unread = n&1 != 0
		for i := uint64(0); i < n>>1 && !d.bad; i++ {
			e.Members = append(e.Members, Member{Path: d.text(), Header: d.header()})
		}
	case File, Dir, Whiteout, Opaque:
	default:
		d.bad = true
	}
	return e
}

var errDamaged = errors.New("the encoding is damaged")

// Encode returns the layer in the form that [Decode] reads, with a checksum.
func (l *Layer) Encode() []byte {
	b := make([]byte, 0, 64+len(l.records)+8*l.plains+32*len(l.headers))
	b = appendText(b, "mabuild layer "+Rules)
	for _, n := range []int{l.Files, l.count, len(l.headers), l.plains, len(l.records)} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	for _, h := range l.headers {
		b = binary.AppendUvarint(b, uint64(h.Machine))
		dynamic, damaged := byte(0), byte(0)
		if h.Dynamic {
			dynamic = 1
		}
		if h.Damaged {
			damaged = 1
		}
		b = append(b, byte(h.Class), byte(h.Data), byte(h.Float), dynamic, h.ISA, h.ARM, damaged)
		b = appendText(b, h.Interp)
	}
	for hash, plain := range l.Plain() {
		b = binary.LittleEndian.AppendUint64(b, uint64(hash)|uint64(plain))
	}
	b = append(b, l.records...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// Decode reads what [Layer.Encode] returned. It keeps body.
func Decode(body []byte) (*Layer, error) {
	if len(body) < sha256.Size {
		return nil, errDamaged
	}
	body, sum := body[:len(body)-sha256.Size], body[len(body)-sha256.Size:]
	if got := sha256.Sum256(body); !slices.Equal(got[:], sum) {
		return nil, errDamaged
	}
	d := decoder{buf: body}
	if version := d.text(); version != "mabuild layer "+Rules {
		return nil, fmt.Errorf("it is of version %q", version)
	}
	l := &Layer{Files: int(d.uint()), count: int(d.uint())}
	headers, plain, records := d.uint(), d.uint(), d.uint()
	if d.bad || headers > uint64(len(d.buf))/9 || plain > uint64(len(d.buf))/8 {
		return nil, errDamaged
	}
	l.headers = make([]header.Header, 0, headers)
	for range headers {
		h := header.Header{Machine: elf.Machine(d.uint())}
		h.Class, h.Data, h.Float = elf.Class(d.byte()), elf.Data(d.byte()), header.Float(d.byte())
		h.Dynamic, h.ISA, h.ARM, h.Damaged = d.byte() != 0, d.byte(), d.byte(), d.byte() != 0
		h.Interp = d.text()
		l.headers = append(l.headers, h)
	}
	raw := d.bytes(plain * 8)
	part := make([]uint64, len(raw)/8)
	for i := range part {
		part[i] = binary.LittleEndian.Uint64(raw[8*i:])
	}
	l.plain, l.plains = [][]uint64{part}, len(part)
	l.records = d.bytes(records)
	if d.bad || len(d.buf) != 0 || !l.whole() {
		return nil, errDamaged
	}
	return l, nil
}

// whole tells whether all records can be read.
func (l *Layer) whole() bool {
	d := decoder{buf: l.records, headers: l.headers}
	n := 0
	for ; len(d.buf) > 0 && !d.bad; n++ {
		d.entry()
	}
	return !d.bad && n == l.count && slices.IsSorted(l.plain[0])
}
