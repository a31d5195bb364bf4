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
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// maxScan bounds how long it is searched what a step left: 20 µs per file are usual, so
// this is enough for 100 000 files. Half of it is for archives: whoever downloads large
// ones may copy a tool as well.
const maxScan = 2 * time.Second

// maxName is longer than any path that a program can open.
const maxName = 4096

// errLate ends a search that took too long.
var errLate = errors.New("the time for the search is over")

// stopwatch measures how long a search takes. What nobody looks at it for does not
// count: a machine that sleeps, or has others to serve, is no reason to search less.
type stopwatch struct {
	looked time.Time
	total  time.Duration
}

// moment is more than what is done between two looks at a stopwatch.
const moment = 5 * time.Millisecond

func (w *stopwatch) elapsed() time.Duration {
	now := time.Now()
	w.total += min(now.Sub(w.looked), moment)
	w.looked = now
	return w.total
}

// findings are the native programs in what a step has written.
type findings struct {
	leaks  []string // tools of the view, or archives of some
	native int      // all other files: a cross build makes them, a download may have them
	files  int
	// partial is set if time was over before all files were looked at.
	partial bool
}

// scanner looks for programs of this machine in directory trees.
type scanner struct {
	machine elf.Machine
	// has reports whether a file with that sha256 in hexadecimal is a tool's.
	has      func(sha256 string) bool
	watch    stopwatch
	archives time.Duration // what is left of the time for them
	until    time.Duration // when the file that is looked at takes too long
	since    time.Time     // skips files that were not changed after; zero looks at all
	// leaked is called for each leak, if it is set: a file in a directory, which the
	// step has at a path.
	leaked func(dir *os.File, name, path string)
	// Buffers for what is in so many others.
	heads [maxNested + 1][headSize]byte
	gzips [maxNested]gzip.Reader

	findings
}

func newScanner(has func(sha256 string) bool) *scanner {
	return &scanner{machine: nativeMachine(), has: has, archives: maxScan / 2}
}

// changedSince makes the scanner skip what was not changed since the step began: no
// program can set back the time of a file's last change.
func (s *scanner) changedSince(began time.Time) {
	s.since = began.Add(-20 * time.Millisecond) // the last tick of the kernel's clock
}

// layer looks at the root file system after a step that began at a time. Of an overlay
// it walks what the step has written. Where the snapshotter copies whole file systems,
// it walks all and opens what has changed since.
func (s *scanner) layer(root *rootfs, began time.Time) error {
	dir := root.upper
	if dir == "" {
		dir = root.dir
		s.changedSince(began)
	}
	top, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer top.Close()
	return s.walk(top, "")
}

func nativeMachine() elf.Machine {
	if runtime.GOARCH == "arm64" {
		return elf.EM_AARCH64
	}
	return elf.EM_X86_64
}

// walk looks at a directory that the step has at a path. Others may write to it: that
// cannot lead the scanner out of it, since no link is followed.
func (s *scanner) walk(dir *os.File, at string) error {
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, entry := range entries {
		path := at + "/" + entry.Name()
		if len(path) > maxName || s.watch.elapsed() > maxScan {
			s.partial = true
			return nil
		}
		switch entry.Type() {
		case fs.ModeDir:
			err = s.enter(dir, entry.Name(), path)
		case 0:
			err = s.file(dir, entry.Name(), path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// enter looks at a directory in another.
func (s *scanner) enter(parent *os.File, name, path string) error {
	fd, err := unix.Openat(int(parent.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a process that outlived the step's first one
	}
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	dir := os.NewFile(uintptr(fd), filepath.Join(parent.Name(), name)) // by which entries without a type are looked at
	defer dir.Close()
	return s.walk(dir, path)
}

// file looks at a file. It was a regular one a moment ago; nothing else may block.
func (s *scanner) file(dir *os.File, name, path string) error {
	s.files++
	at := int(dir.Fd())
	var stat unix.Stat_t
	if !s.since.IsZero() && (unix.Fstatat(at, name, &stat, unix.AT_SYMLINK_NOFOLLOW) != nil || time.Unix(stat.Ctim.Unix()).Before(s.since)) {
		return nil
	}
	fd, err := openQuietly(at, name)
	if err != nil {
		return nil //nolint:nilerr // it is gone, or of an id that the engine does not have
	}
	head := s.heads[0][:]
	n, err := unix.Pread(fd, head, 0)
	kind := s.kindOf(head[:max(n, 0)])
	if err != nil || kind == other {
		return unix.Close(fd)
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	s.until = maxScan
	if kind != program {
		began := s.watch.elapsed()
		s.until = began + s.archives
		defer func() { s.archives -= s.watch.elapsed() - began }()
	}
	leak, err := s.content(path, io.NewSectionReader(file, 0, math.MaxInt64), 0)
	if errors.Is(err, errLate) {
		s.partial = true
		return nil
	}
	if leak != "" {
		s.leaks = append(s.leaks, leak)
		if s.leaked != nil {
			s.leaked(dir, name, path)
		}
	}
	return err
}

// openQuietly opens a file without leaving a trace, if it can.
func openQuietly(dir int, name string) (int, error) {
	const flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_NONBLOCK
	fd, err := unix.Openat(dir, name, flags|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) {
		return unix.Openat(dir, name, flags, 0)
	}
	return fd, err
}

// elfHeader is as much of an ELF file as tells its machine.
const elfHeader = 20

// isProgram reports whether a file that begins so is one of the machine.
func isProgram(header []byte, machine elf.Machine) bool {
	return len(header) >= elfHeader && bytes.HasPrefix(header, []byte(elf.ELFMAG)) &&
		elf.Data(header[elf.EI_DATA]) == elf.ELFDATA2LSB &&
		elf.Machine(binary.LittleEndian.Uint16(header[18:elfHeader])) == machine
}

// isTool reports whether a native program comes from the view: it is one of its
// files, or was made from one, since only a tool has its loader there.
func (s *scanner) isTool(head []byte, whole io.Reader) (bool, error) {
	if strings.HasPrefix(interpreter(head), dispatch.Dir+"/") {
		return true, nil
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, whole); err != nil {
		return false, err
	}
	return s.has(hex.EncodeToString(hash.Sum(nil))), nil
}

// interpreter is the loader that a program names, by its beginning: linkers put the name
// behind the program headers. It is empty if it names none.
func interpreter(head []byte) string {
	if len(head) < 64 {
		return ""
	}
	// The section headers are at the end of the file, where debug/elf would look.
	cut := bytes.Clone(head)
	clear(cut[0x28:0x30])
	clear(cut[0x3a:0x40])
	program, err := elf.NewFile(bytes.NewReader(cut))
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
