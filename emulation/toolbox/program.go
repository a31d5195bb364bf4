package toolbox

import (
	"bytes"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
)

// program is what has to be known of an executable or a library.
type program struct {
	machine elf.Machine
	bits    int
	buildID string
	needs   []string  // names of the libraries that it is linked to
	interp  fileRange // where its loader is named; empty if it needs none
}

type fileRange struct{ offset, size uint64 }

// maxProgram bounds what is read of one file; the largest compiler has 40 MB.
const maxProgram = 512 << 20

var errNoProgram = errors.New("not an ELF program")

// readProgram reads an ELF executable or shared library.
func readProgram(data []byte) (program, error) {
	if len(data) > maxProgram {
		return program{}, errNoProgram
	}
	file, err := elf.NewFile(bytes.NewReader(data))
	if err != nil || file.Type != elf.ET_EXEC && file.Type != elf.ET_DYN {
		return program{}, errNoProgram
	}
	p := program{machine: file.Machine, bits: 32, buildID: buildID(file, data)}
	if file.Class == elf.ELFCLASS64 {
		p.bits = 64
	}
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP && inside(data, segment.Off, segment.Filesz) {
			p.interp = fileRange{segment.Off, segment.Filesz}
		}
	}
	if p.needs, err = file.ImportedLibraries(); err != nil {
		return program{}, fmt.Errorf("reading the libraries of a program: %w", err)
	}
	return p, nil
}

func inside(data []byte, offset, size uint64) bool {
	return offset <= uint64(len(data)) && size <= uint64(len(data))-offset
}

// goNote is how far behind the notes Go's linker puts the build-id's.
const goNote = 36

// buildID returns the GNU build-id, as the stub of package dispatch finds it.
func buildID(file *elf.File, data []byte) string {
	for _, segment := range file.Progs {
		if segment.Type != elf.PT_NOTE || !inside(data, segment.Off, segment.Filesz) {
			continue
		}
		end := min(segment.Off+segment.Filesz+goNote, uint64(len(data)))
		if id := noteID(file, data[segment.Off:end]); id != "" {
			return id
		}
	}
	return ""
}

func noteID(file *elf.File, notes []byte) string {
	for len(notes) >= 12 {
		name, size := uint64(file.ByteOrder.Uint32(notes)), uint64(file.ByteOrder.Uint32(notes[4:]))
		text := 12 + (name+3)&^3
		if text+size > uint64(len(notes)) {
			return ""
		}
		if file.ByteOrder.Uint32(notes[8:]) == 3 && string(notes[12:12+name]) == "GNU\x00" && size >= 8 && size <= 32 {
			return hex.EncodeToString(notes[text : text+size])
		}
		notes = notes[min(text+(size+3)&^3, uint64(len(notes))):]
	}
	return ""
}

// bindLoader makes a program name the loader of a toolbox. It changes the bytes.
func bindLoader(data []byte, p program, slot string) error {
	if p.interp.size == 0 {
		return nil
	}
	name := root + "/" + slot + "/" + loaderName
	if uint64(len(name)) >= p.interp.size {
		return fmt.Errorf("naming the loader %s: there are %d bytes for it", name, p.interp.size)
	}
	place := data[p.interp.offset : p.interp.offset+p.interp.size]
	clear(place[copy(place, name):])
	return nil
}

// bindDirectories makes a loader look for libraries in a toolbox alone. The new names
// are as long as the old ones, whose lengths are compiled in.
func bindDirectories(data []byte, host machine, slot string) error {
	at := root + "/" + slot
	names := [][2]string{
		{"/lib/" + host.triplet + "/", at + "/lib/"},
		{"/usr/lib/" + host.triplet + "/", at + "/usr/lib/"},
		{"/etc/ld.so.cache\x00", at + "c\x00"},
		{"/etc/ld.so.preload\x00", at + "p\x00"},
	}
	for i := range names[:2] { // to be the same length: x/ for amd64
		fill := len(names[i][0]) - len(names[i][1]) - 1
		if fill < 1 {
			return fmt.Errorf("binding the loader of %s: %q has no place for %q", host.debian, names[i][0], names[i][1])
		}
		names[i][1] += "xxxxxxxxxxxx"[:fill] + "/"
	}
	names[0], names[1] = names[1], names[0] // the longer one has the other one in it
	for _, name := range names {
		old, bound := []byte(name[0]), []byte(name[1])
		if !bytes.Contains(data, old) {
			return fmt.Errorf("binding the loader of %s: it has no %q", host.debian, name[0])
		}
		bound = append(bound, make([]byte, max(0, len(old)-len(bound)))...)
		for i := bytes.Index(data, old); i >= 0; i = bytes.Index(data, old) {
			copy(data[i:], bound)
		}
	}
	return nil
}

// libraryDir is where [bindDirectories] makes a loader look, below the slot.
func libraryDir(host machine) string {
	return "lib/" + "xxxxxxxxxxxx"[:len(host.triplet)-len(root)-len("/s")]
}
