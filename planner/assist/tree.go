package assist

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Tree is what an image has at the paths that a kit is about.
type Tree map[string]File

// File is an entry of a [Tree]. Only regular files have content.
type File struct {
	Dir     bool
	Link    string // of a symbolic link
	Size    int64
	Content []byte // of the files in Kit.Read
	Head    []byte // the first bytes of the others
}

// names lists what is below a directory, by relative path.
func (t Tree) names(dir string) []string {
	var names []string
	for name := range t {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			names = append(names, rest)
		}
	}
	slices.Sort(names)
	return names
}

// has reports whether there is a path.
func (t Tree) has(name string) bool { _, ok := t[path.Clean(name)]; return ok }

// merge puts a layer below those that have been read before.
func (t Tree) merge(below Tree, hidden map[string]bool) {
	for name, file := range below {
		if _, ok := t[name]; ok || covered(t, hidden, name) {
			continue
		}
		t[name] = file
	}
}

// covered reports whether layers above remove a path, or have something else than a
// directory where one of its parents was.
func covered(above Tree, hidden map[string]bool, name string) bool {
	for dir := name; dir != "/" && dir != "."; dir = path.Dir(dir) {
		if hidden[dir] || dir != name && hidden[dir+"/"] {
			return true
		}
		if file, ok := above[dir]; ok && dir != name && !file.Dir {
			return true
		}
	}
	return hidden["//"]
}

// headSize is how much of a program is kept: its header and program headers.
const headSize = 4 << 10

// checkProgram reports whether a program is one for the architecture.
func checkProgram(head []byte, architecture string) error {
	file, err := elfHeader(head)
	if err != nil {
		return err
	}
	if want, ok := machines[architecture]; !ok || file.Machine != want {
		return fmt.Errorf("it is a program for %s", file.Machine)
	}
	return nil
}

// checkStatic reports whether a program starts without a loader and libraries,
// which the target does not have.
func checkStatic(head []byte) error {
	file, err := elfHeader(head)
	if err != nil {
		return err
	}
	for _, prog := range file.Progs {
		if prog.Type == elf.PT_INTERP {
			return errors.New("it needs a loader")
		}
	}
	return nil
}

// elfHeader reads as much of a program as its first bytes tell.
func elfHeader(head []byte) (*elf.File, error) {
	if len(head) < 64 || !bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		return nil, errors.New("it is no program")
	}
	// The section headers are at the end of the file.
	cut := bytes.Clone(head)
	if cut[elf.EI_CLASS] == byte(elf.ELFCLASS64) {
		clear(cut[0x28:0x30])
		clear(cut[0x3a:0x40])
	} else {
		clear(cut[0x20:0x24])
		clear(cut[0x2e:0x34])
	}
	file, err := elf.NewFile(bytes.NewReader(cut))
	if err != nil {
		return nil, fmt.Errorf("reading its header: %w", err)
	}
	return file, nil
}
