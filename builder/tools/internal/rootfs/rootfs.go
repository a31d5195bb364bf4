package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// maxLinks is how many links a path may lead through; the kernel's number.
const maxLinks = 40

// ErrNotExist says that a path leads to nothing, or to something that is no regular file.
var ErrNotExist = errors.New("there is no such file")

// Options describe an image.
type Options struct {
	// Layers is the number of layers. They are numbered from the top, 0.
	Layers int
	// Open returns the archive of a layer, compressed or not. It is called for the
	// layers from the top, as far down as paths make it necessary, and may be called
	// again for the same layer.
	Open func(ctx context.Context, layer int) (io.ReadCloser, error)
	// Dir is a folder for extracted files. The caller removes it.
	Dir string
	// MaxFile is the size in bytes of the largest file to extract.
	MaxFile int64
	// Wanted are paths that will be asked for. Each layer is read once if all are,
	// and none is a link.
	Wanted []string
}

// FS is the file system of an image. It isn't safe for concurrent use.
type FS struct {
	opts   Options
	wanted map[string]bool
	layers []*layer // nil where not read yet
	files  int      // so many were extracted
}

// New returns the file system of an image. It opens no layer yet.
func New(opts Options) *FS {
	f := &FS{opts: opts, wanted: map[string]bool{}, layers: make([]*layer, opts.Layers)}
	for _, name := range opts.Wanted {
		f.wanted[strings.TrimPrefix(name, "/")] = true
	}
	return f
}

// Extract follows a path, with its links, inside the image, and returns a file in
// Dir with the content of what is there. The error is [ErrNotExist] if there is no
// regular file. Files with more bytes than MaxFile, endless links and archives
// that break the rules are errors, too.
func (f *FS) Extract(ctx context.Context, name string) (string, error) {
	links := 0
	at, err := f.follow(ctx, name, 0, &links)
	if err != nil {
		return "", err
	}
	if at.entry.size > f.opts.MaxFile {
		return "", fmt.Errorf("extracting %q: it has %d bytes, more than %d", name, at.entry.size, f.opts.MaxFile)
	}
	if at.entry.content != "" {
		return at.entry.content, nil
	}
	// The end of a link: it wasn't known to be wanted when the layer was read.
	again, err := f.scan(ctx, at.layer, func(name string) bool { return name == at.name })
	if err != nil {
		return "", err
	}
	return again.entries[at.name].content, nil
}

// place is a regular file of the image.
type place struct {
	layer int
	name  string
	entry entry
}

// follow finds a path in the layers from top downwards.
func (f *FS) follow(ctx context.Context, name string, top int, links *int) (place, error) {
	at, left := "", strings.Split(name, "/")
	for len(left) > 0 {
		part := left[0]
		left = left[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = parent(at)
			continue
		}
		next := strings.TrimPrefix(at+"/"+part, "/")
		n, e, err := f.lookup(ctx, next, top)
		if err != nil {
			return place{}, err
		}
		switch {
		case e.kind == folder:
			at = next
			continue
		case e.kind == other, e.kind != symlink && len(left) > 0:
			return place{}, ErrNotExist
		case e.kind == file:
			return place{layer: n, name: next, entry: e}, nil
		}
		if *links++; *links > maxLinks {
			return place{}, fmt.Errorf("following the links of %.200q: there are more than %d", name, maxLinks)
		}
		if e.kind == hardlink {
			// It was made when the layers above weren't there yet.
			return f.follow(ctx, e.link, n, links)
		}
		if strings.HasPrefix(e.link, "/") {
			at = ""
		}
		left = append(strings.Split(e.link, "/"), left...)
	}
	return place{}, ErrNotExist
}

// lookup returns the entry of a path, all of whose folders exist.
func (f *FS) lookup(ctx context.Context, name string, top int) (int, entry, error) {
	for n := top; n < len(f.layers); n++ {
		if f.layers[n] == nil {
			l, err := f.scan(ctx, n, func(name string) bool { return f.wanted[name] })
			if err != nil {
				return 0, entry{}, err
			}
			f.layers[n] = l
		}
		if e, there := f.layers[n].entries[name]; there {
			return n, e, nil
		}
		if f.layers[n].hides(name) {
			break
		}
	}
	return 0, entry{}, ErrNotExist
}

// scan lists a layer and extracts the files that are wanted.
func (f *FS) scan(ctx context.Context, n int, want func(name string) bool) (*layer, error) {
	packed, err := f.opts.Open(ctx, n)
	if err != nil {
		return nil, err
	}
	defer packed.Close()
	return scan(ctx, packed, func(name string, size int64) string {
		if size > f.opts.MaxFile || !want(name) {
			return ""
		}
		f.files++
		return filepath.Join(f.opts.Dir, fmt.Sprintf("file-%d", f.files))
	})
}
