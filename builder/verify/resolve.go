package verify

import (
	"errors"
	"strings"

	"github.com/mabuild/mabuild/builder/verify/internal/layer"
)

// Errors of finding a path, with the words of the system call.
var (
	errMissing = errors.New("no such file or directory")
	errNotDir  = errors.New("not a directory")
	errLoop    = errors.New("too many levels of symbolic links")
)

const (
	maxLinks = 40 // as Linux's
	// maxParts bounds what the targets of links may add up to.
	maxParts = 2048
	// maxSteps bounds all that is found in one image. Real ones take a thousandth.
	maxSteps = 50_000_000
)

// found is what a path leads to.
type found struct {
	path string // without links
	kind kind
	exec bool
	node uint32 // 0 if it has none
	// layer is where it comes from, counting from 0.
	layer int
}

// place is a directory on the way.
type place struct {
	name string
	hash layer.Hash
}

// find follows a path from the image's root, links and ".." included, which do not
// lead out of it.
func (v *view) find(path string) (found, error) {
	todo := strings.Split(path, "/")
	var way []place
	links := 0
	for len(todo) > 0 {
		if v.steps++; v.steps > maxSteps {
			return found{}, errLoop
		}
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			way = way[:max(len(way)-1, 0)]
			continue
		}
		here := place{name: name, hash: hashAt(way).Child(name)}
		n, ok := v.index[here.hash]
		ok = ok && v.live(n)
		if ok && v.nodes[n].kind == symlink {
			target := v.texts[v.nodes[n].ref]
			if links++; links > maxLinks || target == "" {
				return found{}, errLoop
			}
			if strings.HasPrefix(target, "/") {
				way = way[:0]
			}
			todo = append(strings.Split(target, "/"), todo...)
			v.steps += len(todo)
			if len(todo) > maxParts {
				return found{}, errLoop
			}
			continue
		}
		way = append(way, here)
		if ok && v.nodes[n].kind != dir {
			if strings.Join(todo, "") != "" {
				return found{}, errNotDir
			}
			return found{path: join(way), kind: v.nodes[n].kind, exec: v.nodes[n].exec, node: n, layer: int(v.nodes[n].layer)}, nil
		}
	}
	return v.end(way)
}

// end says what a way of directories leads to that met no node but theirs.
func (v *view) end(way []place) (found, error) {
	hash := hashAt(way)
	if n, ok := v.index[hash]; ok && v.live(n) {
		return found{path: join(way), kind: dir, node: n, layer: int(v.nodes[n].layer)}, nil
	}
	for i := len(v.layers) - 1; i >= 0; i-- {
		plain, ok := v.layers[i].Lookup(hash)
		if !ok || v.hidden(way, i) {
			continue
		}
		f := found{path: join(way), kind: file, exec: plain == layer.PlainExec, layer: i}
		if plain == layer.PlainDir {
			f.kind = dir
		}
		return f, nil
	}
	return found{}, errMissing
}

// hidden tells whether something that layer i has was removed since.
func (v *view) hidden(way []place, i int) bool {
	if int(v.nodes[0].below) > i {
		return true
	}
	for at, p := range way {
		n, ok := v.index[p.hash]
		if !ok {
			continue
		}
		last := at == len(way)-1
		if last && int(v.nodes[n].layer) > i || int(v.nodes[n].below) > i || !last && v.nodes[n].kind != dir {
			return true
		}
	}
	return false
}

func hashAt(way []place) layer.Hash {
	if len(way) == 0 {
		return layer.Root
	}
	return way[len(way)-1].hash
}

func join(way []place) string {
	var b strings.Builder
	for _, p := range way {
		b.WriteByte('/')
		b.WriteString(p.name)
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}
