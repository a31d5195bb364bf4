package assist

import (
	"archive/tar"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// Difference is a path that two builds of the same thing don't agree about.
type Difference struct {
	Name string
	What string // what is different: content, mode …; "missing" or "new" in the second build
}

func (d Difference) String() string { return d.Name + ": " + d.What }

// entry is what counts of a file. The time does not: two builds never have the same.
type entry struct {
	kind         byte
	mode         int64
	uid, gid     int
	size         int64
	link         string
	major, minor int64
	xattrs       string
	sum          [sha256.Size]byte
}

// CompareTars compares the files of two builds byte for byte: names, types,
// modes, owners, links, extended attributes and content, but not times. It is the
// proof that native tools change nothing.
func CompareTars(plain, assisted io.Reader) ([]Difference, error) {
	a, err := readEntries(plain)
	if err != nil {
		return nil, fmt.Errorf("reading the files of the plain build: %w", err)
	}
	b, err := readEntries(assisted)
	if err != nil {
		return nil, fmt.Errorf("reading the files of the assisted build: %w", err)
	}
	var differences []Difference
	for name, x := range a {
		y, ok := b[name]
		switch {
		case !ok:
			differences = append(differences, Difference{name, "missing"})
		case x != y:
			differences = append(differences, Difference{name, x.differs(y)})
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			differences = append(differences, Difference{name, "new"})
		}
	}
	slices.SortFunc(differences, func(x, y Difference) int { return cmp.Compare(x.Name, y.Name) })
	return differences, nil
}

func readEntries(r io.Reader) (map[string]entry, error) {
	entries := make(map[string]entry)
	archive := tar.NewReader(r)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		e := entry{
			kind: header.Typeflag, mode: header.Mode, uid: header.Uid, gid: header.Gid, size: header.Size,
			link: header.Linkname, major: header.Devmajor, minor: header.Devminor, xattrs: xattrs(header),
		}
		hash := sha256.New()
		if _, err := io.Copy(hash, archive); err != nil {
			return nil, err
		}
		hash.Sum(e.sum[:0])
		entries[strings.TrimPrefix(path.Clean("/"+header.Name), "/")] = e
	}
}

func xattrs(header *tar.Header) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(header.PAXRecords)) {
		if strings.HasPrefix(key, "SCHILY.xattr.") {
			fmt.Fprintf(&b, "%q=%q\n", key, header.PAXRecords[key])
		}
	}
	return b.String()
}

// differs names what is different.
func (e entry) differs(other entry) string {
	var what []string
	note := func(different bool, name string) {
		if different {
			what = append(what, name)
		}
	}
	note(e.kind != other.kind, "type")
	note(e.mode != other.mode, "mode")
	note(e.uid != other.uid || e.gid != other.gid, "owner")
	note(e.link != other.link, "link")
	note(e.major != other.major || e.minor != other.minor, "device")
	note(e.xattrs != other.xattrs, "extended attributes")
	note(e.size != other.size, "size")
	note(e.size == other.size && e.sum != other.sum, "content")
	return strings.Join(what, ", ")
}
