package verify

import (
	"slices"
	"strings"

	"github.com/mabuild/mabuild/builder/verify/internal/header"
	"github.com/mabuild/mabuild/builder/verify/internal/layer"
)

// kind is what a path of the image is.
type kind uint8

const (
	gone kind = iota // was removed, or never was
	dir
	file // that is nothing of what follows
	program
	script
	archive
	foreign
	symlink
)

// node is a path of the image that had a record in a layer, or a directory above
// one. Two hundred thousand of them fit into 16 MB with their index.
type node struct {
	parent uint32
	name   uint32 // offset in names
	length uint16
	layer  uint16
	// below hides everything in the directory that came with a layer before it.
	below uint16
	kind  kind
	exec  bool
	ref   uint32 // what there is to know, in the table of the kind
}

// view is what a container sees of the layers: the last one's files, without what
// a later one removed.
type view struct {
	layers  []*layer.Layer
	nodes   []node // the first is the root
	names   []byte
	index   map[layer.Hash]uint32
	headers []header.Header
	numbers map[header.Header]uint32
	texts   []string // of links and scripts
	members []layer.Entry
	steps   int // that were taken to find paths

	// The directory that was added to last.
	lastDir  string
	lastHash layer.Hash
	lastNode uint32
}

func newView() *view {
	return &view{
		nodes:   []node{{kind: dir}},
		index:   map[layer.Hash]uint32{layer.Root: 0},
		numbers: map[header.Header]uint32{},
	}
}

// apply puts a layer on top. Layers remove from those below only, wherever in the
// archive the marks are.
func (v *view) apply(l *layer.Layer) {
	i := uint16(len(v.layers)) // at most maxLayers
	v.layers = append(v.layers, l)
	for e := range l.All() {
		switch e.Kind {
		case layer.Whiteout:
			n := v.add(e.Path, i)
			v.nodes[n] = v.with(n, node{kind: gone, layer: i, below: i})
		case layer.Opaque:
			n := v.add(e.Path, i)
			v.enter(n, i)
			v.nodes[n].below = i
		}
	}
	v.lastDir, v.lastNode = "", 0
	for hash, plain := range l.Plain() {
		if n, ok := v.index[hash]; ok && n != 0 {
			v.put(n, i, plain)
		}
	}
	for e := range l.All() {
		if e.Kind != layer.Whiteout && e.Kind != layer.Opaque {
			v.record(e, i)
		}
	}
	v.lastDir, v.lastNode = "", 0
}

// with returns what is to stand for node n from now on, in the same place.
func (v *view) with(n uint32, fresh node) node {
	old := v.nodes[n]
	fresh.parent, fresh.name, fresh.length = old.parent, old.name, old.length
	fresh.below = max(fresh.below, old.below)
	return fresh
}

func (v *view) put(n uint32, i uint16, plain layer.Plain) {
	switch {
	case plain != layer.PlainDir:
		v.nodes[n] = v.with(n, node{kind: file, exec: plain == layer.PlainExec, layer: i, below: i})
	case v.nodes[n].kind != dir:
		v.nodes[n] = v.with(n, node{kind: dir, layer: i})
	default:
		v.nodes[n].layer = i
	}
}

func (v *view) record(e layer.Entry, i uint16) {
	n := v.add(e.Path, i)
	if n == 0 {
		return
	}
	fresh := node{layer: i, below: i, exec: e.Exec}
	switch e.Kind {
	case layer.Dir:
		v.enter(n, i)
		return
	case layer.File:
		fresh.kind = file
	case layer.ELF:
		fresh.kind, fresh.ref = program, v.header(e.Header)
	case layer.Script, layer.Foreign, layer.Symlink:
		fresh.kind, fresh.ref = textKind(e.Kind), uint32(len(v.texts))
		v.texts = append(v.texts, e.Text)
	case layer.Archive:
		fresh.kind, fresh.ref = archive, uint32(len(v.members))
		v.members = append(v.members, layer.Entry{Members: e.Members, Unread: e.Unread})
	case layer.Hardlink:
		fresh = v.linked(e.Text, i)
	default:
		return
	}
	v.nodes[n] = v.with(n, fresh)
}

func textKind(k layer.Kind) kind {
	switch k {
	case layer.Script:
		return script
	case layer.Foreign:
		return foreign
	default:
		return symlink
	}
}

// linked returns what a hard link to target is, which is the target's file.
func (v *view) linked(target string, i uint16) node {
	fresh := node{kind: file, layer: i, below: i}
	if found, err := v.find("/" + target); err == nil {
		fresh.kind, fresh.exec = found.kind, found.exec
		if found.node != 0 {
			fresh.ref = v.nodes[found.node].ref
		}
	}
	if fresh.kind == dir {
		fresh.kind = file
	}
	return fresh
}

// enter makes a directory of a node.
func (v *view) enter(n uint32, i uint16) {
	if v.nodes[n].kind != dir {
		v.nodes[n] = v.with(n, node{kind: dir, layer: i, below: i})
	}
	v.nodes[n].layer = max(v.nodes[n].layer, i)
}

// add returns the node of a path that layer i has, and makes it and the directories
// above it if they are not there. Directories that are links in the layers below
// are followed, as engines do when they unpack.
func (v *view) add(path string, i uint16) uint32 {
	if path == "" {
		return 0
	}
	name := path
	parent, hash := uint32(0), layer.Root
	if slash := strings.LastIndexByte(path, '/'); slash >= 0 {
		name = path[slash+1:]
		parent, hash = v.directory(path[:slash], i)
	}
	n, _ := v.child(parent, hash, name, i)
	return n
}

func (v *view) child(parent uint32, hash layer.Hash, name string, i uint16) (uint32, layer.Hash) {
	hash = hash.Child(name)
	n, ok := v.index[hash]
	if !ok {
		n = uint32(len(v.nodes))
		v.nodes = append(v.nodes, node{parent: parent, name: uint32(len(v.names)), length: uint16(len(name)), layer: i})
		v.names = append(v.names, name...)
		v.index[hash] = n
	}
	return n, hash
}

func (v *view) directory(path string, i uint16) (uint32, layer.Hash) {
	if path == v.lastDir && v.lastNode != 0 {
		return v.lastNode, v.lastHash
	}
	n, hash := uint32(0), layer.Root
	for name := range strings.SplitSeq(path, "/") {
		n, hash = v.child(n, hash, name, i)
		if v.nodes[n].kind == symlink && v.live(n) {
			if found, err := v.find(v.path(n)); err == nil && found.kind == dir {
				// A directory that has no node yet is made under its real name.
				n, hash = v.directory(strings.TrimPrefix(found.path, "/"), i)
				continue
			}
		}
		v.enter(n, i)
	}
	v.lastDir, v.lastHash, v.lastNode = strings.Clone(path), hash, n
	return n, hash
}

func (v *view) header(h header.Header) uint32 {
	n, ok := v.numbers[h]
	if !ok {
		n = uint32(len(v.headers))
		v.headers, v.numbers[h] = append(v.headers, h), n
	}
	return n
}

// live tells whether a node is in the image: not gone, and no directory above it
// gone or replaced since.
func (v *view) live(n uint32) bool {
	if v.nodes[n].kind == gone {
		return false
	}
	came := v.nodes[n].layer
	for n != 0 {
		n = v.nodes[n].parent
		if v.nodes[n].kind != dir || came < v.nodes[n].below {
			return false
		}
	}
	return true
}

// path returns a node's path, from the root.
func (v *view) path(n uint32) string {
	var parts []string
	for ; n != 0; n = v.nodes[n].parent {
		at := v.nodes[n].name
		parts = append(parts, string(v.names[at:at+uint32(v.nodes[n].length)]))
	}
	slices.Reverse(parts)
	return "/" + strings.Join(parts, "/")
}
