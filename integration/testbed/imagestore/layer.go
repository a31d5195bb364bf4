package imagestore

import (
	"archive/tar"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Epoch is the time of everything in an image: its bytes depend on its content
// alone.
func Epoch() time.Time { return time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC) }

// Entry is one file of a layer.
type Entry struct {
	// Name is the path without a leading slash.
	Name string
	// Type is one of archive/tar's type flags.
	Type byte
	// Mode holds the permission bits as the kernel counts them (setuid is 04000).
	Mode     int64
	UID, GID int
	// Link is the target of a symbolic or hard link.
	Link string
	Size int64
	// Open returns the content of a regular file that has a Size.
	Open func() (io.ReadCloser, error)
}

// Dir is a folder.
func Dir(name string, mode int64) Entry {
	return Entry{Name: name, Type: tar.TypeDir, Mode: mode}
}

// File is a regular file.
func File(name string, mode int64, content []byte) Entry {
	return Entry{
		Name: name, Type: tar.TypeReg, Mode: mode, Size: int64(len(content)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
	}
}

// Symlink is a symbolic link.
func Symlink(name, target string) Entry {
	return Entry{Name: name, Type: tar.TypeSymlink, Mode: 0o777, Link: target}
}

// WriteLayer writes entries as a tar archive whose bytes do not depend on their
// order or on the clock. Hard links come last, when their targets are there.
func WriteLayer(w io.Writer, entries []Entry) error {
	sorted := slices.Clone(entries)
	slices.SortFunc(sorted, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.Name, b.Name))
	})
	archive := tar.NewWriter(w)
	for _, file := range sorted {
		if err := writeEntry(archive, file); err != nil {
			return fmt.Errorf("adding %q to the layer: %w", file.Name, err)
		}
	}
	return archive.Close()
}

// rank puts hard links behind all others.
func rank(file Entry) int {
	if file.Type == tar.TypeLink {
		return 1
	}
	return 0
}

func writeEntry(archive *tar.Writer, file Entry) error {
	header := &tar.Header{
		Name: file.Name, Typeflag: file.Type, Linkname: file.Link,
		Mode: file.Mode, Uid: file.UID, Gid: file.GID, Size: file.Size, ModTime: Epoch(),
	}
	if file.Type == tar.TypeDir {
		header.Name += "/"
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	if file.Size == 0 {
		return nil
	}
	content, err := file.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	_, err = io.Copy(archive, content)
	return err
}
