package foreign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// What [compareTrees] says of a path that only one tree has.
const (
	onlyFirst  = "only with native tools"
	onlySecond = "only without native tools"
)

// inode is a file, whatever its names.
type inode struct{ dev, ino uint64 }

// comparison is of two directories that were written by a step each.
type comparison struct {
	dirs  [2]string
	names [2]map[inode]string // of hard links, the first that was seen
	found map[string]string
}

// compareTrees returns the paths that two directory trees do not agree about, each
// with what differs: type, mode, owner, extended attributes, content, link or device,
// and which names are one file; not the times. What is below a path that only one
// tree has is not listed.
func compareTrees(ctx context.Context, first, second string) (map[string]string, error) {
	c := comparison{
		dirs: [2]string{first, second}, names: [2]map[inode]string{{}, {}}, found: map[string]string{},
	}
	if err := c.pair(ctx, "/"); err != nil {
		return nil, fmt.Errorf("comparing what a step left: %w", err)
	}
	return c.found, nil
}

// pair compares what both trees have at a path.
func (c *comparison) pair(ctx context.Context, name string) error {
	var stats [2]unix.Stat_t
	for i, dir := range c.dirs {
		if err := unix.Lstat(filepath.Join(dir, name), &stats[i]); err != nil {
			return &fs.PathError{Op: "lstat", Path: name, Err: err}
		}
	}
	what, err := c.differs(ctx, name, &stats[0], &stats[1])
	if err != nil {
		return err
	}
	if len(what) > 0 {
		c.found[name] = strings.Join(what, ", ")
	}
	if stats[0].Mode&unix.S_IFMT != unix.S_IFDIR || stats[1].Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	return c.children(ctx, name)
}

func (c *comparison) children(ctx context.Context, name string) error {
	var has [2]map[string]bool
	for i, dir := range c.dirs {
		has[i] = map[string]bool{}
		entries, err := os.ReadDir(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		for _, entry := range entries {
			has[i][entry.Name()] = true
		}
	}
	all := maps.Clone(has[0])
	maps.Copy(all, has[1])
	for _, child := range slices.Sorted(maps.Keys(all)) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		child, first, second := path.Join(name, child), has[0][child], has[1][child]
		switch {
		case !second:
			c.found[child] = onlyFirst
		case !first:
			c.found[child] = onlySecond
		default:
			if err := c.pair(ctx, child); err != nil {
				return err
			}
		}
	}
	return nil
}

// differs names what is different.
func (c *comparison) differs(ctx context.Context, name string, a, b *unix.Stat_t) ([]string, error) {
	kind := a.Mode & unix.S_IFMT
	if kind != b.Mode&unix.S_IFMT {
		return []string{"type"}, nil
	}
	var what []string
	note := func(different bool, text string) {
		if different {
			what = append(what, text)
		}
	}
	note(a.Mode != b.Mode, "mode")
	note(a.Uid != b.Uid || a.Gid != b.Gid, "owner")
	first, second := filepath.Join(c.dirs[0], name), filepath.Join(c.dirs[1], name)
	attrs, err := sameXattrs(first, second)
	note(!attrs, "extended attributes")
	if err != nil {
		return nil, err
	}
	switch kind {
	case unix.S_IFREG:
		note(c.linked(0, name, a) != c.linked(1, name, b), "hard links")
		note(a.Size != b.Size, "size")
		if a.Size == b.Size {
			same, err := sameContent(ctx, first, second)
			note(!same, "content")
			return what, err
		}
	case unix.S_IFLNK:
		x, err1 := os.Readlink(first)
		y, err2 := os.Readlink(second)
		note(x != y, "link")
		return what, errors.Join(err1, err2)
	case unix.S_IFCHR, unix.S_IFBLK: // whiteouts, too
		note(a.Rdev != b.Rdev, "device")
	}
	return what, nil
}

// linked returns the first name of a file in a tree.
func (c *comparison) linked(tree int, name string, stat *unix.Stat_t) string {
	if stat.Nlink == 1 {
		return name
	}
	file := inode{stat.Dev, stat.Ino}
	if _, ok := c.names[tree][file]; !ok {
		c.names[tree][file] = name
	}
	return c.names[tree][file]
}

// sameContent compares two regular files, in which nothing writes any more.
func sameContent(ctx context.Context, first, second string) (bool, error) {
	var files [2]*os.File
	for i, name := range []string{first, second} {
		file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		if err != nil {
			return false, err
		}
		defer file.Close()
		files[i] = file
	}
	var parts [2][64 << 10]byte
	for {
		if err := context.Cause(ctx); err != nil {
			return false, err
		}
		n, err := io.ReadFull(files[0], parts[0][:])
		m, err2 := io.ReadFull(files[1], parts[1][:])
		if !bytes.Equal(parts[0][:n], parts[1][:m]) {
			return false, nil
		}
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		switch {
		case err == nil && err2 == nil:
		case ended && (errors.Is(err2, io.EOF) || errors.Is(err2, io.ErrUnexpectedEOF)):
			return true, nil
		default:
			return false, errors.Join(err, err2)
		}
	}
}

func sameXattrs(first, second string) (bool, error) {
	a, err := xattrs(first)
	if err != nil {
		return false, err
	}
	b, err := xattrs(second)
	return maps.Equal(a, b), err
}

// bookkeeping are overlayfs's own attributes that say nothing of what is seen: where a
// file was copied from, and what to look for when a directory is read.
var bookkeeping = []string{"origin", "impure", "nlink", "uuid"}

func xattrs(name string) (map[string]string, error) {
	list, err := readXattr(func(dest []byte) (int, error) { return unix.Llistxattr(name, dest) })
	if errors.Is(err, unix.ENOTSUP) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "llistxattr", Path: name, Err: err}
	}
	values := map[string]string{}
	for attr := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		_, own, overlay := strings.Cut(attr, ".overlay.")
		if attr == "" || overlay && slices.Contains(bookkeeping, own) {
			continue
		}
		value, err := readXattr(func(dest []byte) (int, error) { return unix.Lgetxattr(name, attr, dest) })
		if err != nil {
			return nil, &fs.PathError{Op: "lgetxattr " + attr, Path: name, Err: err}
		}
		values[attr] = string(value)
	}
	return values, nil
}

// readXattr asks how long something is, and for it.
func readXattr(read func(dest []byte) (int, error)) ([]byte, error) {
	n, err := read(nil)
	if err != nil || n == 0 {
		return nil, err
	}
	dest := make([]byte, n)
	n, err = read(dest)
	return dest[:max(n, 0)], err
}

// forget takes the paths away that runs without native tools do not agree about either:
// clocks, random numbers. Where those leave names of their own in a directory, other
// names in it are no difference. It returns how many it took.
func forget(found, noise map[string]string) int {
	alone := func(what string) bool { return what == onlyFirst || what == onlySecond }
	renamed := map[string]bool{}
	for name, what := range noise {
		if alone(what) {
			renamed[path.Dir(name)] = true
		}
	}
	before := len(found)
	maps.DeleteFunc(found, func(name, what string) bool {
		return noise[name] != "" || alone(what) && renamed[path.Dir(name)]
	})
	return before - len(found)
}
