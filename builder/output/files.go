package output

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Files brings the files of images into directories when all of them are here: a
// build that fails or is interrupted leaves the directories as they were, and not
// with half of a file.
type Files struct {
	// Dest is the directory, made if it is missing. All places are in it.
	Dest string
	// Replace deletes what else is in a place.
	Replace bool

	staging string // beside Dest or in it, so that files can be renamed into their places

	mu     sync.Mutex // guards what follows: archives come when the exporter likes
	staged []stagedFiles
	closed bool
}

// stagedFiles are those that come into one place.
type stagedFiles struct {
	dir, place string
	unpacking  *unpacking // of the archive that they come in, if they do
}

// Prepare makes room for the files of the places; [Files.Close] removes it. They can
// have a place in common.
func (f *Files) Prepare(places ...string) error {
	// What is mounted at Dest is another file system than the one around it.
	parent := f.Dest
	if info, err := os.Stat(f.Dest); err != nil || !info.IsDir() {
		parent = filepath.Dir(f.Dest)
	}
	err := os.MkdirAll(parent, 0o755)
	if err == nil {
		f.staging, err = os.MkdirTemp(parent, ".mabuild-files-*")
	}
	if err != nil {
		return fmt.Errorf("creating a directory for the images' files: %w", err)
	}
	for i, place := range places {
		f.staged = append(f.staged, stagedFiles{dir: filepath.Join(f.staging, strconv.Itoa(i)), place: place})
	}
	return nil
}

// Stage is the directory for what comes into the i-th place. It is not there yet; a
// place whose directory is not made stays as it is.
func (f *Files) Stage(i int) string { return f.staged[i].dir }

// Discard throws away what came for the i-th place: its job failed, whatever it has
// exported. It ends what is still being unpacked.
func (f *Files) Discard(i int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.staged[i]
	if s.unpacking != nil {
		s.unpacking.abandon()
	}
	_ = removeAll(s.dir) // or Close does, and says why it cannot
	s.dir += "+"         // nothing is published of what is left
}

// Close removes what was not published. It ends what is still being unpacked.
func (f *Files) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.abandonAll()
	if f.staging == "" {
		return nil
	}
	return removeAll(f.staging)
}

// removeAll removes a directory of an image's, which need not be writable, also not for
// who has it.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if errors.Is(err, fs.ErrPermission) {
		_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				_ = os.Chmod(path, 0o700)
			}
			return nil
		})
		err = os.RemoveAll(dir)
	}
	return err
}

// Publish moves the files into their places, in the order of the places. It is not
// interrupted: to rename takes no time.
func (f *Files) Publish(context.Context, []ocispec.Descriptor) (ocispec.Descriptor, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.abandonAll() // of platforms that the result goes without
	if err := f.checkShared(); err != nil {
		return ocispec.Descriptor{}, err
	}
	for _, s := range f.staged {
		if err := f.publish(s); err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("writing the files in %s: %w", s.place, err)
		}
	}
	return ocispec.Descriptor{}, nil
}

func (f *Files) publish(s stagedFiles) error {
	children, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) { // the result goes without this platform
		return nil
	}
	if err != nil {
		return err
	}
	// The modes that the directories have with BuildKit's own client.
	if err := os.MkdirAll(f.Dest, 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(s.place, 0o755); err != nil {
		return err
	}
	if f.Replace {
		if err := removeOthers(s.place, children, f.staging); err != nil {
			return err
		}
	}
	return moveAll(children, s.dir, s.place, f.Replace)
}

// removeOthers deletes what is in dir and not among the children, but never keep.
func removeOthers(dir string, children []fs.DirEntry, keep string) error {
	there, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range there {
		path := filepath.Join(dir, entry.Name())
		wanted := slices.ContainsFunc(children, func(child fs.DirEntry) bool { return child.Name() == entry.Name() })
		if wanted || path == keep {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

func moveAll(children []fs.DirEntry, from, to string, replace bool) error {
	for _, child := range children {
		if err := move(filepath.Join(from, child.Name()), filepath.Join(to, child.Name()), replace); err != nil {
			return err
		}
	}
	return nil
}

// move puts one file or directory in its place. Directories that are on both sides
// are merged, and have the mode and the time of the new one.
func move(from, to string, replace bool) error {
	source, err := os.Lstat(from)
	if err != nil {
		return err
	}
	target, err := os.Lstat(to)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch {
	case err != nil: // nothing is there
	case source.IsDir() != target.IsDir():
		if err := os.RemoveAll(to); err != nil {
			return err
		}
	case source.IsDir() && !replace:
		return merge(from, to, source)
	case source.IsDir():
		if err := os.RemoveAll(to); err != nil {
			return err
		}
	}
	if !source.IsDir() {
		return os.Rename(from, to)
	}
	return moveDirectory(from, to, source)
}

// moveDirectory renames a directory, in which the entry of its parent changes.
func moveDirectory(from, to string, info fs.FileInfo) error {
	err := os.Rename(from, to)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if err := os.Chmod(from, 0o700); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return os.Chmod(to, info.Mode())
}

func merge(from, to string, info fs.FileInfo) error {
	for _, dir := range []string{from, to} {
		if err := os.Chmod(dir, info.Mode()|0o700); err != nil {
			return err
		}
	}
	children, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := moveAll(children, from, to, false); err != nil {
		return err
	}
	return errors.Join(os.Chmod(to, info.Mode()), os.Chtimes(to, info.ModTime(), info.ModTime()))
}
