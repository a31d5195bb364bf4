package transfer

import (
	"encoding/binary"
	"slices"
	"sort"
	"strings"
	"sync"
)

// perBlock is how many names have to be read, at most, to know one.
const perBlock = 16

// names are the paths that were sent, by number. Paths come in the order of a walk, so
// each has much in common with the one before: what they share is kept once.
type names struct {
	mu     sync.Mutex
	count  uint32
	last   string
	text   []byte
	blocks []uint32 // where in text they begin
}

// add appends a path. It is one that can be asked for, or not.
func (n *names) add(path string, file bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	shared := 0
	if n.count%perBlock == 0 {
		n.blocks = append(n.blocks, uint32(len(n.text))) //nolint:gosec // 4 GB are 400 million files
	} else {
		for shared < min(len(path), len(n.last)) && path[shared] == n.last[shared] {
			shared++
		}
	}
	kind := uint64(0)
	if file {
		kind = 1
	}
	n.text = binary.AppendUvarint(n.text, uint64(shared)<<1|kind) //nolint:gosec // not negative
	n.text = binary.AppendUvarint(n.text, uint64(len(path)-shared))
	n.text = append(n.text, path[shared:]...)
	n.last = path
	n.count++
}

// file returns the path with that number, if it is a file that can be asked for.
func (n *names) file(number uint32) (path string, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if number >= n.count {
		return "", false
	}
	for i, found := range n.block(int(number / perBlock)) {
		if i == int(number%perBlock) {
			return found.path, found.file
		}
	}
	return "", false
}

// has reports whether a file with that path was sent.
func (n *names) has(path string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	after := sort.Search(len(n.blocks), func(i int) bool {
		for _, first := range n.block(i) {
			return compare(first.path, path) > 0
		}
		return true
	})
	if after == 0 {
		return false
	}
	for _, found := range n.block(after - 1) {
		if found.path == path {
			return found.file
		}
	}
	return false
}

// named is one of the names.
type named struct {
	path string
	file bool
}

// block yields the names of a block, with their places in it.
func (n *names) block(number int) func(yield func(int, named) bool) {
	return func(yield func(int, named) bool) {
		text := n.text[n.blocks[number]:]
		if number+1 < len(n.blocks) {
			text = n.text[n.blocks[number]:n.blocks[number+1]]
		}
		var path []byte
		for i := 0; len(text) > 0; i++ {
			shared, size := binary.Uvarint(text)
			text = text[size:]
			length, size := binary.Uvarint(text)
			text = text[size:]
			path = append(path[:shared>>1], text[:length]...)
			text = text[length:]
			if !yield(i, named{string(path), shared&1 == 1}) {
				return
			}
		}
	}
}

// compare is the order of a walk: what is in a directory comes next after it.
func compare(a, b string) int {
	return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
}
