package emulation

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// DefaultDir is where binfmt_misc is mounted.
const DefaultDir = "/proc/sys/fs/binfmt_misc"

// Table is a mounted binfmt_misc file system. It keeps nothing in memory:
// every method reads or writes the file system, so that several processes can
// work on one table. The methods may be called concurrently.
type Table struct {
	dir string
}

// Open returns the table that is mounted at dir; "" means [DefaultDir]. It
// needs no privilege. Errors are [ErrNotMounted], [ErrPermission] or, on a
// system that is not Linux, [ErrUnsupported].
func Open(dir string) (*Table, error) {
	if dir == "" {
		dir = DefaultDir
	}
	t := &Table{dir: dir}
	if runtime.GOOS != "linux" && dir == DefaultDir {
		return nil, &Error{
			Op:   "opening " + dir,
			Err:  fmt.Errorf("%w: binfmt_misc is a part of Linux", ErrUnsupported),
			Hint: "build on a remote node or in a Linux virtual machine",
		}
	}
	if _, err := t.Enabled(); err != nil {
		return nil, err
	}
	return t, nil
}

// Dir returns the directory that the table was opened at.
func (t *Table) Dir() string { return t.dir }

// Enabled reports whether the kernel uses the table at all. One switch, the
// file "status", turns all handlers off; this package never writes to it.
func (t *Table) Enabled() (bool, error) {
	text, err := os.ReadFile(filepath.Join(t.dir, "status"))
	if err != nil {
		return false, t.accessError("opening "+t.dir, "", err)
	}
	switch string(bytes.TrimSpace(text)) {
	case "enabled":
		return true, nil
	case "disabled":
		return false, nil
	}
	return false, &Error{
		Op:   "opening " + t.dir,
		Err:  fmt.Errorf("%w: its status file says %q", ErrNotMounted, text),
		Hint: t.mountHint(),
	}
}

// Writable returns nil if the caller could register and remove handlers now.
// Otherwise the error is [ErrReadOnly], [ErrPermission] or [ErrNotMounted].
// Nothing is changed.
func (t *Table) Writable() error {
	op := "opening " + t.dir + " for writing"
	file, err := t.open(op, "", "register")
	if errors.Is(err, ErrPermission) && mountedReadOnly(t.dir) {
		// The kernel looks at permissions first. It takes more than those here.
		return t.accessError(op, "", syscall.EROFS)
	}
	if err != nil {
		return err
	}
	return file.Close()
}

// Handlers returns the handlers of the table, sorted by name. If some entries
// cannot be read, the others are returned along with the error.
func (t *Table) Handlers() ([]Handler, error) {
	entries, err := os.ReadDir(t.dir) // sorted by name
	if err != nil {
		return nil, t.accessError("reading "+t.dir, "", err)
	}
	var handlers []Handler
	var errs []error
	for _, entry := range entries {
		if name := entry.Name(); name == "register" || name == "status" {
			continue
		}
		h, err := t.Handler(entry.Name())
		switch {
		case err == nil:
			handlers = append(handlers, h)
		case errors.Is(err, fs.ErrNotExist): // removed since the directory was read
		default:
			errs = append(errs, err)
		}
	}
	return handlers, errors.Join(errs...)
}

// Handler returns one handler. An unknown name gives an error that is
// [fs.ErrNotExist].
func (t *Table) Handler(name string) (Handler, error) {
	if err := checkName(name); err != nil {
		return Handler{}, &Error{Op: "reading", Handler: name, Err: err}
	}
	text, err := os.ReadFile(filepath.Join(t.dir, name))
	if err != nil {
		return Handler{}, t.accessError("reading", name, err)
	}
	return ParseHandler(name, text)
}

// Register makes sure that the handler is in the table and switched on.
//
// A handler that is there already is left alone, or switched on again. A
// different one of the same name is not replaced: the error is [ErrExists]. A
// handler that breaks a rule of the kernel is [ErrInvalid], and so is one that
// would take its own interpreter, since every program that it takes, which may
// be every program of the machine, would then fail with ELOOP. An interpreter
// that is missing or not executable is [fs.ErrNotExist] or [fs.ErrPermission].
// Further errors are those of [Table.Writable].
func (t *Table) Register(h Handler) error {
	line, err := h.registration()
	if err == nil {
		err = h.checkInterpreter()
	}
	if err != nil {
		return &Error{Op: "registering", Handler: h.Name, Err: err}
	}
	existing, err := t.Handler(h.Name)
	// Others may register the name meanwhile, and remove it, as [Table.Repair] does.
	for range 100 {
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err = t.add(h, line); !errors.Is(err, fs.ErrExist) {
			return err
		}
		existing, err = t.Handler(h.Name)
	}
	if err != nil {
		return err
	}
	if difference := existing.Difference(h); difference != "" {
		return &Error{
			Op: "registering", Handler: h.Name,
			Err:  fmt.Errorf("%w with %s", ErrExists, difference),
			Hint: fmt.Sprintf("remove it first: run `echo -1 | sudo tee %s`", filepath.Join(t.dir, h.Name)),
		}
	}
	if existing.Enabled {
		return nil
	}
	return t.change("switching on", h.Name, "1")
}

// Remove removes one handler. An unknown name gives an error that is
// [fs.ErrNotExist]; further errors are those of [Table.Writable].
func (t *Table) Remove(name string) error {
	if err := checkName(name); err != nil {
		return &Error{Op: "removing", Handler: name, Err: err}
	}
	return t.change("removing", name, "-1")
}

// Disable switches one handler off; [Table.Register] switches it on again. Errors
// are those of [Table.Remove].
func (t *Table) Disable(name string) error {
	if err := checkName(name); err != nil {
		return &Error{Op: "switching off", Handler: name, Err: err}
	}
	return t.change("switching off", name, "0")
}

// add writes a registration, and explains the kernel's answer.
func (t *Table) add(h Handler, line string) error {
	file, err := t.open("registering", h.Name, "register")
	if err != nil {
		return err
	}
	if err = put(file, line); err == nil {
		return nil
	}
	e := &Error{Op: "registering", Handler: h.Name, Err: err}
	interpreter := fmt.Errorf("opening interpreter %q: %w", h.Interpreter, err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Err, e.Hint = interpreter, "install it, or name one that exists"
	case errors.Is(err, fs.ErrPermission):
		e.Err, e.Hint = interpreter, "make it executable, on a file system that is not mounted noexec"
	case errors.Is(err, syscall.EINVAL):
		e.Err = fmt.Errorf("%w: the kernel refuses it: %w", ErrInvalid, err)
	}
	return e
}

// change writes a command to the handler's own file.
func (t *Table) change(op, name, command string) error {
	file, err := t.open(op, name, name)
	if err != nil {
		return err
	}
	if err := put(file, command); err != nil {
		return &Error{Op: op, Handler: name, Err: err}
	}
	return nil
}

// open must neither create the file nor truncate it.
func (t *Table) open(op, handler, name string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(t.dir, name), os.O_WRONLY, 0)
	if err != nil {
		return nil, t.accessError(op, handler, err)
	}
	return file, nil
}

// put writes the text at once, as the kernel wants it, and closes the file.
func put(file *os.File, text string) error {
	_, err := io.WriteString(file, text)
	return errors.Join(err, file.Close())
}

// checkInterpreter refuses a handler that takes its own interpreter. It looks
// at the interpreter only as far as it may: what is missing or unreadable is
// the kernel's to judge.
func (h Handler) checkInterpreter() error {
	loops := h.Extension != "" && strings.HasSuffix(h.Interpreter, "."+h.Extension)
	if header, ok := readHeader(h.Interpreter); ok {
		loops = loops || h.Matches(header)
	}
	if loops {
		return invalid("its interpreter %q is itself a program that it takes; this machine runs such programs without it", h.Interpreter)
	}
	return nil
}

// readHeader returns how a program begins. Opening anything but a regular file
// could block.
func readHeader(path string) (header []byte, ok bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil, false
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, false
	}
	defer file.Close()
	header, err = io.ReadAll(io.LimitReader(file, maxHeader))
	return header, err == nil
}

// accessError classifies an error of opening a file of the table.
func (t *Table) accessError(op, handler string, err error) error {
	e := &Error{Op: op, Handler: handler, Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if handler != "" && t.mounted() {
			e.Err = fmt.Errorf("no such handler: %w", err)
			break
		}
		e.Err, e.Hint = fmt.Errorf("%w: %w", ErrNotMounted, err), t.mountHint()
	case errors.Is(err, fs.ErrPermission):
		e.Err, e.Hint = fmt.Errorf("%w: %w", ErrPermission, err), "run the command as root"
	case errors.Is(err, syscall.EROFS):
		e.Err = fmt.Errorf("%w: %w", ErrReadOnly, err)
		e.Hint = fmt.Sprintf("run the command outside the container, or run `mount -o remount,rw %s` as root", t.dir)
	}
	return e
}

func (t *Table) mounted() bool {
	_, err := os.Stat(filepath.Join(t.dir, "status"))
	return err == nil
}

func (t *Table) mountHint() string {
	return fmt.Sprintf("run `modprobe binfmt_misc; mount -t binfmt_misc binfmt_misc %s` as root", t.dir)
}
