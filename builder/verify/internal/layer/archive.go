package layer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/flate"

	"github.com/mabuild/mabuild/builder/verify/internal/header"
)

const (
	maxMembers = 16 // of different machines
	zipLocal   = 0x04034b50
	zipDesc    = 0x08074b50
	zipStored  = 0
	zipDeflate = 8

	zipEncrypted  = 1 << 0
	zipDescriptor = 1 << 3
)

// isArchive tells whether a name is that of a zip archive that programs are loaded
// from.
func isArchive(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".jar", ".war", ".ear", ".whl", ".egg", ".zip", ".aar", ".apk", ".nupkg", ".pex", ".pyz":
		return true
	}
	return false
}

// errOpaque says that a zip archive cannot be read forward.
var errOpaque = errors.New("its contents cannot be told from a stream")

// archive reads a zip archive forward, by the headers before its members. It
// returns a member for each machine, and whether it had to give up before the end.
// The error is that of r.
func (s *scanner) archive(r io.Reader) (members []Member, unread bool, err error) {
	z := &zipReader{in: bufio.NewReaderSize(r, 16<<10), budget: &s.budget}
	seen := map[header.Header]bool{}
	for {
		name, head, ok, err := z.next()
		if errors.Is(err, errOpaque) {
			return members, true, nil
		}
		if err != nil || !ok {
			return members, false, err
		}
		if !header.Is(head) {
			continue
		}
		h, err := header.Read(head, nil, int64(len(head)))
		if err != nil || seen[h] {
			continue
		}
		if len(members) == maxMembers {
			return members, true, nil
		}
		seen[h] = true
		members = append(members, Member{Path: strings.ToValidUTF8(name[:min(len(name), maxWord)], "?"), Header: h})
	}
}

// zipReader reads the members of a zip archive in the order in which they are.
type zipReader struct {
	in     *bufio.Reader
	budget *int64
	body   bufio.Reader
	flate  io.ReadCloser
	head   [header.Prefix]byte
}

// next returns the next member's name and beginning. It is not ok at the end of
// the members.
func (z *zipReader) next() (name string, head []byte, ok bool, err error) {
	var fixed [30]byte
	if _, err := io.ReadFull(z.in, fixed[:]); err != nil {
		return "", nil, false, ended(err)
	}
	le := binary.LittleEndian
	if le.Uint32(fixed[:]) != zipLocal {
		return "", nil, false, nil
	}
	flags, method := le.Uint16(fixed[6:]), le.Uint16(fixed[8:])
	packed, size := int64(le.Uint32(fixed[18:])), int64(le.Uint32(fixed[22:]))
	text := make([]byte, int(le.Uint16(fixed[26:]))+int(le.Uint16(fixed[28:])))
	if _, err := io.ReadFull(z.in, text); err != nil {
		return "", nil, false, ended(err)
	}
	name, extra := string(text[:le.Uint16(fixed[26:])]), text[le.Uint16(fixed[26:]):]
	wide := size == 0xffffffff || packed == 0xffffffff
	if wide {
		if packed, ok = zip64(extra, size == 0xffffffff, packed); !ok {
			return "", nil, false, errOpaque
		}
	}
	switch {
	case flags&zipDescriptor == 0:
		head, err = z.sized(packed, method, flags)
	case method == zipDeflate && flags&zipEncrypted == 0:
		head, err = z.unsized(hasZip64(extra))
	default:
		err = errOpaque
	}
	return name, head, err == nil, ended(err)
}

// ended takes the end of a stream for the end of the members: an archive that
// was cut off holds what could be read.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// sized reads the beginning of a member whose packed size is known.
func (z *zipReader) sized(packed int64, method, flags uint16) (head []byte, err error) {
	body := io.LimitReader(z.in, packed)
	if flags&zipEncrypted == 0 && (method == zipStored || method == zipDeflate) {
		r := body
		if method == zipDeflate {
			// Its own buffer keeps the decoder from reading on.
			z.body.Reset(body)
			r = z.inflate(&z.body)
		}
		n, err := io.ReadFull(r, z.head[:])
		head = z.head[:n]
		*z.budget -= int64(n)
		// Whatever is wrong with the deflated data, the stream goes on behind it.
		var corrupt flate.CorruptInputError
		if err != nil && !errors.As(err, &corrupt) && ended(err) != nil {
			return nil, err
		}
	}
	_, err = io.Copy(io.Discard, body)
	if *z.budget < 0 {
		err = errOpaque
	}
	return head, err
}

// unsized reads a deflated member whose size follows it.
func (z *zipReader) unsized(wide bool) (head []byte, err error) {
	r := z.inflate(z.in)
	n, err := io.ReadFull(r, z.head[:])
	*z.budget -= int64(n)
	if err == nil {
		var skipped int64
		skipped, err = io.CopyN(io.Discard, r, max(*z.budget, 0)+1)
		*z.budget -= skipped
		if err == nil {
			return nil, errOpaque // more than the budget
		}
	}
	var corrupt flate.CorruptInputError
	if errors.As(err, &corrupt) {
		return nil, errOpaque
	}
	if ended(err) != nil {
		return nil, err
	}
	// The descriptor: an optional signature, the checksum and two sizes.
	rest := 12
	if wide {
		rest = 20
	}
	if sign, err := z.in.Peek(4); err == nil && binary.LittleEndian.Uint32(sign) == zipDesc {
		rest += 4
	}
	_, err = z.in.Discard(rest)
	return z.head[:n], ended(err)
}

func (z *zipReader) inflate(r io.Reader) io.Reader {
	if z.flate == nil {
		z.flate = flate.NewReader(r)
		return z.flate
	}
	if resetter, ok := z.flate.(flate.Resetter); ok {
		_ = resetter.Reset(r, nil) // it has no error to report
	}
	return z.flate
}

// zip64 returns the packed size in the extra field of a large member.
func zip64(extra []byte, sized bool, packed int64) (int64, bool) {
	field := extraField(extra)
	if packed != 0xffffffff {
		return packed, true
	}
	if sized {
		if len(field) < 16 {
			return 0, false
		}
		field = field[8:]
	}
	if len(field) < 8 {
		return 0, false
	}
	size := binary.LittleEndian.Uint64(field)
	return int64(size & (1<<62 - 1)), size < 1<<62
}

func hasZip64(extra []byte) bool { return extraField(extra) != nil }

// extraField returns the extra field with the 64-bit sizes.
func extraField(extra []byte) []byte {
	for len(extra) >= 4 {
		id, size := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if 4+size > len(extra) {
			return nil
		}
		if id == 1 {
			return extra[4 : 4+size]
		}
		extra = extra[4+size:]
	}
	return nil
}
