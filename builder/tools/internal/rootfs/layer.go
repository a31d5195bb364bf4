package rootfs

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	maxUnpacked = 2 << 30   // bytes of an unpacked layer
	maxListing  = 64 << 20  // bytes of the list of what is in a layer
	maxWindow   = 128 << 20 // of zstd, which keeps that much in memory
)

// kind is what a path of a layer is.
type kind int

const (
	folder   kind = iota
	file          // a regular file
	symlink       // link is its target
	hardlink      // link is the path of the file
	other         // a device, a pipe
)

// entry is one path of a layer.
type entry struct {
	kind kind
	link string
	size int64
	// content is where the content of a wanted file was put.
	content string
}

// layer is the list of what is in a layer. Its paths have no slash at either end;
// the root is "".
type layer struct {
	entries map[string]entry
	removed map[string]bool // whiteouts: these paths of lower layers are gone
	opaque  map[string]bool // folders without what lower layers have in them
	size    int             // about how much memory this takes
}

// hides reports whether what lower layers have at the path can't be seen.
func (l *layer) hides(name string) bool {
	if l.removed[name] {
		return true
	}
	for dir := name; dir != ""; {
		dir = parent(dir)
		e, there := l.entries[dir]
		if l.removed[dir] || l.opaque[dir] || there && e.kind != folder {
			return true
		}
	}
	return false
}

// parent returns the folder of a path of a layer.
func parent(name string) string {
	if at := strings.LastIndexByte(name, '/'); at >= 0 {
		return name[:at]
	}
	return ""
}

// saver returns the place for the content of a file, "" if it isn't wanted.
type saver func(name string, size int64) string

// scan lists a layer, and writes the files that save has a place for.
func scan(ctx context.Context, packed io.Reader, save saver) (*layer, error) {
	unpacked, err := unpack(&heedfulReader{ctx: ctx, reader: packed})
	if err != nil {
		return nil, err
	}
	defer unpacked.Close()
	l := &layer{entries: map[string]entry{}, removed: map[string]bool{}, opaque: map[string]bool{}}
	archive := tar.NewReader(&limitedReader{reader: unpacked, left: maxUnpacked})
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return l, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the archive: %w", err)
		}
		if err := l.add(header, archive, save); err != nil {
			return nil, fmt.Errorf("reading %.200q in the archive: %w", header.Name, err)
		}
		if l.size > maxListing {
			return nil, errors.New("reading the archive: it has too many entries")
		}
	}
}

// add adds one entry of the archive.
func (l *layer) add(header *tar.Header, content io.Reader, save saver) error {
	name, mark, err := cleanEntry(header.Name)
	if err != nil {
		return err
	}
	l.size += len(name) + len(header.Linkname) + 64
	switch mark {
	case markRemoved:
		l.removed[name] = true
	case markOpaque:
		l.opaque[name] = true
	}
	if mark != markNone {
		l.addFolders(name)
		return nil
	}
	e := entry{kind: other}
	switch header.Typeflag {
	case tar.TypeDir:
		e.kind = folder
	case tar.TypeSymlink:
		e = entry{kind: symlink, link: header.Linkname}
	case tar.TypeLink:
		target, _, err := cleanEntry(header.Linkname)
		if err != nil {
			return fmt.Errorf("its target: %w", err)
		}
		e = entry{kind: hardlink, link: target}
	case tar.TypeReg:
		e = entry{kind: file, size: header.Size, content: save(name, header.Size)}
		if e.content == "" {
			break
		}
		if err := writeContent(e.content, content, header.Size); err != nil {
			return err
		}
	}
	l.entries[name] = e
	l.addFolders(name)
	return nil
}

// addFolders adds the folders that a path is in: not every archive lists them.
func (l *layer) addFolders(name string) {
	for name != "" {
		name = parent(name)
		if _, there := l.entries[name]; there {
			return
		}
		l.entries[name] = entry{kind: folder}
		l.size += 64
	}
}

func writeContent(place string, content io.Reader, size int64) error {
	out, err := os.OpenFile(place, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.CopyN(out, content, size)
	return errors.Join(err, out.Close())
}

// mark tells what an entry's name means beside a path.
type mark int

const (
	markNone    mark = iota
	markRemoved      // .wh.NAME: NAME is removed
	markOpaque       // .wh..wh..opq: the folder hides what is below it
	markOther        // .wh..wh.…: AUFS' own
)

// cleanEntry returns the path that an entry of a layer is about. Nothing is ever
// written there, but a layer with paths that lead out of the image is hostile.
func cleanEntry(name string) (string, mark, error) {
	if strings.IndexByte(name, 0) >= 0 {
		return "", markNone, errors.New("its name has a zero byte")
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", markNone, errors.New("its name leads out of the image")
		}
	}
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	base, white := strings.CutPrefix(path.Base(clean), ".wh.")
	switch {
	case !white:
		return clean, markNone, nil
	case base == ".wh..opq":
		return parent(clean), markOpaque, nil
	case strings.HasPrefix(base, ".wh."):
		return parent(clean), markOther, nil
	case base == "" || base == "." || base == "..":
		return "", markNone, errors.New("it removes nothing that has a name")
	}
	return strings.TrimPrefix(path.Join("/", parent(clean), base), "/"), markRemoved, nil
}

// unpack decompresses by what the content is: media types are wrong now and then.
func unpack(packed io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(packed, 1<<16)
	start, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b}):
		return gzip.NewReader(buffered)
	case bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		decoder, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxWindow))
		if err != nil {
			return nil, err
		}
		return decoder.IOReadCloser(), nil
	}
	return io.NopCloser(buffered), nil
}

// heedfulReader stops reading when its context ends.
type heedfulReader struct {
	ctx    context.Context //nolint:containedctx // an io.Reader is given none
	reader io.Reader
}

func (r *heedfulReader) Read(p []byte) (int, error) {
	if cause := context.Cause(r.ctx); cause != nil {
		return 0, cause
	}
	return r.reader.Read(p)
}

// limitedReader fails where [io.LimitReader] would end.
type limitedReader struct {
	reader io.Reader
	left   int64
}

func (r *limitedReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, fmt.Errorf("it unpacks to more than %d bytes", int64(maxUnpacked))
	}
	n, err := r.reader.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}
