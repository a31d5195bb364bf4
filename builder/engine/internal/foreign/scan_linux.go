package foreign

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// maxScan bounds how long a layer is searched: 20 µs per file are usual, so this is
// enough for 100 000 files.
const maxScan = 2 * time.Second

// findings are the native programs in what a step has written.
type findings struct {
	leaks  []string // tools of the view
	native int      // all others: a cross build makes them, a download may have them
	files  int
	// partial is set if time was over before all files were looked at.
	partial bool
}

// scanner looks for programs of this machine in a directory tree.
type scanner struct {
	machine elf.Machine
	// has reports whether a file with that sha256 in hexadecimal is a tool's.
	has      func(sha256 string) bool
	since    time.Time // skips files that were not changed after; zero looks at all
	deadline time.Time
	dir      string

	findings
}

// scan looks at the root file system after a step that began at a time. Of an overlay
// it walks what the step has written. Where the snapshotter copies whole file systems,
// it walks all and opens what has changed since: no program can set back the time
// of a file's last change.
func scan(root *rootfs, began time.Time, has func(sha256 string) bool) (findings, error) {
	s := scanner{machine: nativeMachine(), has: has, deadline: time.Now().Add(maxScan), dir: root.upper}
	if s.dir == "" {
		// Times of files are those of the last tick of the kernel's clock.
		s.dir, s.since = root.dir, began.Add(-20*time.Millisecond)
	}
	err := filepath.WalkDir(s.dir, s.visit)
	if errors.Is(err, fs.SkipAll) {
		err = nil
	}
	return s.findings, err
}

func nativeMachine() elf.Machine {
	if runtime.GOARCH == "arm64" {
		return elf.EM_AARCH64
	}
	return elf.EM_X86_64
}

func (s *scanner) visit(path string, entry fs.DirEntry, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a process that outlived the step's first one
	}
	if err != nil {
		return err
	}
	if !entry.Type().IsRegular() {
		return nil
	}
	if s.files++; s.files%256 == 0 && time.Now().After(s.deadline) {
		s.partial = true
		return fs.SkipAll
	}
	if !s.since.IsZero() {
		info, err := entry.Info()
		if err != nil {
			return nil //nolint:nilerr // it is gone
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if ok && time.Unix(stat.Ctim.Unix()).Before(s.since) {
			return nil
		}
	}
	return s.look(path)
}

// look opens a file. It was a regular one a moment ago; nothing else may block or be
// followed.
func (s *scanner) look(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	}
	if err != nil {
		return nil //nolint:nilerr // it is gone, or of an id that the engine does not have
	}
	var header [elfHeader]byte
	n, err := unix.Pread(fd, header[:], 0)
	if err != nil || n < len(header) || !isProgram(header[:], s.machine) {
		_ = unix.Close(fd)
		return nil
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	if time.Now().After(s.deadline) { // reading a whole file takes longer than finding it
		s.partial = true
		return fs.SkipAll
	}
	leaked, err := s.isTool(file)
	switch {
	case err != nil:
		return err
	case !leaked:
		s.native++
		return nil
	}
	s.leaks = append(s.leaks, strings.TrimPrefix(path, s.dir))
	return nil
}

// elfHeader is as much of an ELF file as tells its machine.
const elfHeader = 20

// isProgram reports whether a file that begins so is one of the machine.
func isProgram(header []byte, machine elf.Machine) bool {
	return bytes.HasPrefix(header, []byte(elf.ELFMAG)) &&
		elf.Data(header[elf.EI_DATA]) == elf.ELFDATA2LSB &&
		elf.Machine(binary.LittleEndian.Uint16(header[18:elfHeader])) == machine
}

// isTool reports whether a native program comes from the view: it is one of its
// files, or was made from one, since only a tool has its loader there.
func (s *scanner) isTool(file *os.File) (bool, error) {
	if strings.HasPrefix(interpreter(file), dispatch.Dir+"/") {
		return true, nil
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(file, 0, 1<<62)); err != nil {
		return false, err
	}
	return s.has(hex.EncodeToString(hash.Sum(nil))), nil
}

// interpreter is the loader that a program names; empty if it names none.
func interpreter(file io.ReaderAt) string {
	program, err := elf.NewFile(file)
	if err != nil {
		return ""
	}
	for _, segment := range program.Progs {
		if segment.Type != elf.PT_INTERP {
			continue
		}
		var name [256]byte
		n, _ := segment.ReadAt(name[:], 0)
		text, _, _ := bytes.Cut(name[:n], []byte{0})
		return string(text)
	}
	return ""
}
