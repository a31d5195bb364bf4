package imagestore

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Tree lists the files below root, but for those that skip names (given as
// paths without a leading slash; a skipped folder is skipped with all below it).
// Devices, sockets and pipes are left out, and extended attributes: a minimal Debian has none.
func Tree(root string, skip func(name string) bool) ([]Entry, error) {
	var entries []Entry
	links := map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, found fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
		if skip(name) {
			if found.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := found.Info()
		if err != nil {
			return err
		}
		file, ok, err := treeEntry(path, name, info, links)
		if ok {
			entries = append(entries, file)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the files of %q: %w", root, err)
	}
	return entries, nil
}

// treeEntry describes one file; links remembers the first name of each inode with
// several. The walk is in lexical order, so that first name is always the same.
func treeEntry(path, name string, info fs.FileInfo, links map[uint64]string) (Entry, bool, error) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Entry{}, false, fmt.Errorf("reading the owner of %q: the system doesn't say", path)
	}
	file := Entry{Name: name, Mode: int64(stat.Mode & 0o7777), UID: int(stat.Uid), GID: int(stat.Gid)}
	switch {
	case info.IsDir():
		file.Type = tar.TypeDir
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		if err != nil {
			return Entry{}, false, err
		}
		file.Type, file.Mode, file.Link = tar.TypeSymlink, 0o777, target
	case info.Mode().IsRegular():
		if first, seen := links[stat.Ino]; seen {
			file.Type, file.Link = tar.TypeLink, first
			return file, true, nil
		}
		if stat.Nlink > 1 {
			links[stat.Ino] = name
		}
		file.Type, file.Size = tar.TypeReg, info.Size()
		file.Open = func() (io.ReadCloser, error) { return os.Open(path) }
	default:
		return Entry{}, false, nil
	}
	return file, true, nil
}
