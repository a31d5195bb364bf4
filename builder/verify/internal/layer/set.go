package layer

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
)

// Hash stands for the path of a file. Different paths have different hashes for
// all that matters here; the lowest two bits are zero.
type Hash uint64

// Root is the hash of the root directory.
const Root Hash = 0

// Child returns the hash of what has that name in the directory d.
func (d Hash) Child(name string) Hash {
	var block [8 + 256]byte
	binary.LittleEndian.PutUint64(block[:], uint64(d))
	n := 8 + copy(block[8:], name)
	if len(name) > 256 {
		// Longer than file systems allow.
		long := sha256.Sum256([]byte(name))
		n = 8 + copy(block[8:], long[:]) + 1
	}
	sum := sha256.Sum256(block[:n])
	return Hash(binary.LittleEndian.Uint64(sum[:]) &^ 3)
}

// HashOf returns the hash of a clean path that is relative to the root.
func HashOf(path string) Hash {
	hash := Root
	for name := range strings.SplitSeq(path, "/") {
		if name != "" {
			hash = hash.Child(name)
		}
	}
	return hash
}

// hasher hashes paths of which many are in the same directory.
type hasher struct {
	dir  string
	hash Hash
}

func (h *hasher) of(path string) Hash {
	slash := strings.LastIndexByte(path, '/')
	if slash < 0 {
		return Root.Child(path)
	}
	if dir := path[:slash]; dir != h.dir {
		h.dir, h.hash = strings.Clone(dir), HashOf(dir)
	}
	return h.hash.Child(path[slash+1:])
}

// Plain is what is known about a path that has no record.
type Plain uint8

// The kinds of plain paths.
const (
	PlainFile Plain = iota
	PlainExec       // a file with an execute bit
	PlainDir
	PlainOther // a device, a pipe
)

// set holds hashes with what they stand for, eight bytes each and no more, also
// while it grows: buckets are sorted slices.
type set struct {
	buckets [1 << 10][]uint64
	n       int
}

func (s *set) find(h Hash) (bucket *[]uint64, at int, found bool) {
	bucket = &s.buckets[h>>54]
	at, _ = slices.BinarySearch(*bucket, uint64(h))
	return bucket, at, at < len(*bucket) && Hash((*bucket)[at]&^3) == h
}

func (s *set) add(h Hash, kind Plain) {
	bucket, at, found := s.find(h)
	if found {
		(*bucket)[at] = uint64(h) | uint64(kind)
		return
	}
	*bucket = slices.Insert(*bucket, at, uint64(h)|uint64(kind))
	s.n++
}

func (s *set) has(h Hash) bool {
	_, _, found := s.find(h)
	return found
}

// maxFlat is the size of the largest set that is worth a copy.
const maxFlat = 1 << 14

// sorted returns what is in the set, in parts as [Layer] keeps them. A large set
// gives away its buckets, so that nothing is there twice.
func (s *set) sorted() [][]uint64 {
	if s.n > maxFlat {
		return s.buckets[:]
	}
	return [][]uint64{slices.Concat(s.buckets[:]...)}
}
