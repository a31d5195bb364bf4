package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mabuild/mabuild/emulation"
)

// DefaultConfigDir is where the administrator's files for systemd-binfmt are.
const DefaultConfigDir = "/etc/binfmt.d"

// marker begins every file that this package writes for systemd-binfmt, and
// tells them from those of others.
const marker = "# Written by mabuild; `mabuild emulation uninstall` removes it."

// ParseConfig returns the handlers that a binfmt.d file registers. Empty lines
// and comments (# and ;) are passed over; a line that the kernel would refuse is
// an error, and the others are returned along with it.
func ParseConfig(text []byte) ([]emulation.Handler, error) {
	var handlers []emulation.Handler
	var errs []error
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if isComment(line) {
			continue
		}
		h, err := emulation.ParseRegistration(line)
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", number, err))
			continue
		}
		handlers = append(handlers, h)
	}
	return handlers, errors.Join(errs...)
}

func isComment(line string) bool {
	return line == "" || line[0] == '#' || line[0] == ';'
}

// formatConfig returns a binfmt.d file that registers the handler.
func formatConfig(h emulation.Handler) ([]byte, error) {
	line, err := h.Registration()
	if err != nil {
		return nil, err
	}
	return []byte(marker + "\n" + line + "\n"), nil
}

// without returns a binfmt.d file that registers what text does, but for the
// handlers of these names.
func without(text []byte, names map[string]bool) []byte {
	out := []byte(marker + "\n# It stands in for a file of the same name of another package.\n")
	for line := range strings.Lines(string(text)) {
		if names[ruleName(line)] {
			continue
		}
		out = append(out, line...)
	}
	return out
}

// ruleName returns the name of a line's handler, which is all that systemd looks
// at itself; "" for a comment.
func ruleName(line string) string {
	line = strings.TrimSpace(line)
	if isComment(line) {
		return ""
	}
	name, _, _ := strings.Cut(line[1:], line[:1])
	return name
}

// isOurs reports whether the file was written by this package.
func isOurs(path string) bool {
	text, err := os.ReadFile(path)
	return err == nil && bytes.HasPrefix(text, []byte(marker+"\n"))
}

// configPath is where the file for an architecture goes.
func configPath(dir string, arch emulation.Arch) string {
	return filepath.Join(dir, "mabuild-qemu-"+arch.Name+".conf")
}

// writeFile puts a file in place, whole or not at all: whoever reads it, even
// after a crash, finds the old content or the new one. A leftover of a writer
// that was killed does not end in .conf and is read by nobody.
func writeFile(path string, content []byte, mode fs.FileMode) (err error) {
	dir := filepath.Dir(path)
	file, err := os.CreateTemp(dir, temporary(path))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close(), os.Remove(file.Name()))
		}
	}()
	if _, err := file.Write(content); err != nil {
		return err
	}
	if err := file.Chmod(mode); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	return errors.Join(file.Close(), syncDir(dir))
}

// temporary is the pattern of the names that files have before they are complete.
func temporary(path string) string { return "." + filepath.Base(path) + ".tmp*" }

// sweep removes what killed writers of the file left behind.
func sweep(path string) error {
	leftovers, err := filepath.Glob(filepath.Join(filepath.Dir(path), temporary(path)))
	for _, leftover := range leftovers {
		err = errors.Join(err, os.Remove(leftover))
	}
	return err
}

// syncDir makes a rename survive a crash of the machine.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// removeFile removes a file; that there is none is fine.
func removeFile(path string) (removed bool, err error) {
	err = os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
