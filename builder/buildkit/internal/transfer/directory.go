package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
)

// directory is a directory as fsutil.NewFS has it. It remembers those files alone that
// have several names.
type directory struct{ root string }

// Open returns the files of a directory.
func Open(dir string) (fsutil.FS, error) {
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("finding a directory: %w", err)
	}
	info, err := os.Stat(root)
	if err == nil && !info.IsDir() {
		err = &os.PathError{Op: "open", Path: root, Err: syscall.ENOTDIR}
	}
	if err != nil {
		return nil, fmt.Errorf("opening a directory: %w", err)
	}
	return directory{root}, nil
}

// Open implements fsutil.FS.
func (d directory) Open(name string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(d.root, name))
}

// Walk implements fsutil.FS. What disappears meanwhile is left out.
func (d directory) Walk(ctx context.Context, target string, visit fs.WalkDirFunc) error {
	names := make(map[uint64]string)
	return filepath.WalkDir(filepath.Join(d.root, target), func(path string, found fs.DirEntry, walkErr error) error {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		name, err := filepath.Rel(d.root, path)
		if err != nil || name == "." {
			return err
		}
		var seen fs.DirEntry
		if found != nil {
			seen = &entry{DirEntry: found, path: path, name: name, names: names}
		}
		err = visit(name, seen, walkErr)
		if !disappeared(err) {
			return err
		}
		if found != nil && !found.IsDir() {
			return nil
		}
		return fs.SkipDir
	})
}

// disappeared reports whether an error is that a file is not there any more, or what is
// above it is no directory any more.
func disappeared(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// entry is a file or directory of a walk. Nothing is asked about it before somebody
// wants to know.
type entry struct {
	fs.DirEntry
	path, name string
	names      map[uint64]string // the first name of every file that has several
	stat       *types.Stat
}

// Info returns what fsutil's walks return.
func (e *entry) Info() (fs.FileInfo, error) {
	if e.stat == nil {
		info, err := e.DirEntry.Info()
		if err != nil {
			return nil, err
		}
		stat, err := fsutil.Stat(e.path)
		if err != nil {
			return nil, err
		}
		stat.Path = e.name
		if file, several := inode(info); several {
			if first, found := e.names[file]; found {
				stat.Linkname = first
			} else {
				e.names[file] = filepath.ToSlash(e.name)
			}
		}
		e.stat = stat
	}
	return &fsutil.StatInfo{Stat: e.stat.Clone()}, nil
}
