package layer

import (
	"iter"
	"slices"

	"github.com/mabuild/mabuild/builder/verify/internal/header"
)

// Kind says what a record is about.
type Kind uint8

// The kinds of records. File and Dir are written for paths that had a record
// before in the same layer.
const (
	ELF     Kind = iota + 1
	Script       // begins with #!
	Archive      // a zip archive with ELF files in it
	Foreign      // a program of another operating system
	Symlink
	Hardlink // to what is not known from this layer alone, or has a record itself
	File
	Dir
	Whiteout // removes the path from the layers below
	Opaque   // removes what the layers below have in the directory
)

// Entry is a record.
type Entry struct {
	Path string // clean, relative to the root
	Kind Kind
	Exec bool
	// Header is that of an ELF file.
	Header header.Header
	// Text is the target of a link, what [ParseScript] makes of a script, or the
	// format of a foreign program: PE, Mach-O.
	Text string
	// Members are the ELF files of an archive, one for each machine. Unread is set
	// if it could not be read to its end.
	Members []Member
	Unread  bool
}

// Member is a file of an archive.
type Member struct {
	Path   string
	Header header.Header
}

// Layer is what is known about a layer.
type Layer struct {
	// Files is how many files the layer has, hard links counted.
	Files int

	// plain are the hashes with their Plain, sorted. They are in one part, or in one
	// for each value of their upper ten bits.
	plain   [][]uint64
	plains  int
	records []byte
	count   int
	headers []header.Header
}

// Entries is how many paths the layer has.
func (l *Layer) Entries() int { return l.plains + l.count }

// Records is how many records the layer has.
func (l *Layer) Records() int { return l.count }

// Plain yields the paths without a record, in no order that means something.
func (l *Layer) Plain() iter.Seq2[Hash, Plain] {
	return func(yield func(Hash, Plain) bool) {
		for _, part := range l.plain {
			for _, v := range part {
				if !yield(Hash(v&^3), Plain(v&3)) {
					return
				}
			}
		}
	}
}

// Lookup returns what a path without a record is.
func (l *Layer) Lookup(h Hash) (Plain, bool) {
	if len(l.plain) == 0 {
		return 0, false
	}
	part := l.plain[0]
	if len(l.plain) > 1 {
		part = l.plain[h>>54]
	}
	at, _ := slices.BinarySearch(part, uint64(h))
	if at < len(part) && Hash(part[at]&^3) == h {
		return Plain(part[at] & 3), true
	}
	return 0, false
}

// All yields the records in the layer's order. Records of a damaged encoding end
// early; [Decode] makes sure that there are none.
func (l *Layer) All() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		d := decoder{buf: l.records, headers: l.headers}
		for len(d.buf) > 0 {
			e := d.entry()
			if d.bad || !yield(e) {
				return
			}
		}
	}
}
