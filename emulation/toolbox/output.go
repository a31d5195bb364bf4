package toolbox

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// output writes a toolbox: every file has one of two modes and no time, so that
// equal toolboxes are equal archives.
type output struct {
	dir, slot string
	files     map[string]File
}

// newOutput begins a toolbox in a directory, which must be empty or not be there.
func newOutput(dir, slot string) (*output, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("the directory %s is not empty; give a new one", dir)
	}
	return &output{dir, slot, make(map[string]File)}, os.MkdirAll(dir, 0o755)
}

// add writes a file below the slot.
func (o *output) add(name string, data []byte, mode fs.FileMode) error {
	name = o.slot + "/" + name
	sum := sha256.Sum256(data)
	o.files[name] = File{Path: name, Mode: mode, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
	return o.write(name, data, mode)
}

func (o *output) write(name string, data []byte, mode fs.FileMode) error {
	file := filepath.Join(o.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, data, mode); err != nil {
		return err
	}
	return os.Chmod(file, mode) // whatever the umask is
}

// finish writes the description and sets the times.
func (o *output) finish(box *Box) error {
	for _, file := range o.files {
		box.Files = append(box.Files, file)
	}
	box.sort()
	if err := box.check(); err != nil {
		return err
	}
	text, err := box.encode()
	if err != nil {
		return err
	}
	if err := o.write(BoxName, text, 0o644); err != nil {
		return err
	}
	return setTimes(o.dir)
}

// setTimes gives all files and directories the time zero, directories last.
func setTimes(dir string) error {
	var names []string
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			err = os.Chmod(name, 0o755)
		}
		names = append(names, name)
		return err
	})
	for i := len(names) - 1; err == nil && i >= 0; i-- {
		err = os.Chtimes(names[i], time.Unix(0, 0), time.Unix(0, 0))
	}
	return err
}
