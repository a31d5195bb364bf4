package assist

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Content reads what a registry has. *registry.Client is one.
type Content interface {
	// Fetch returns the content of a manifest.
	Fetch(ctx context.Context, ref string, desc ocispec.Descriptor) ([]byte, error)
	// Open returns a reader of a layer. Its last read is an error if the content is
	// not what the digest says.
	Open(ctx context.Context, ref string, desc ocispec.Descriptor) (io.ReadCloser, error)
}

// What a layer may have. The largest that are known have a tenth of it.
const (
	maxUnpacked = 16 << 30
	maxEntries  = 4 << 20
	maxWanted   = 16 << 10 // entries that are kept
	maxContent  = 64 << 10 // bytes of a file in Kit.Read
	maxLayers   = 512
)

// filter says what of an image is wanted.
type filter struct {
	content []string // files
	below   []string // directories with everything in them, or single paths
	exist   []string // paths whose presence alone counts
}

// complete reports whether the layers below can only have what the layers read so
// far replace. What the tools' directory has in a lower layer and not in the one
// with the version file is left over from another release.
func (f filter) complete(tree Tree) bool {
	for _, name := range f.content {
		if !tree.has(name) {
			return false
		}
	}
	for _, dir := range f.below {
		if found, ok := tree[dir]; len(tree.names(dir)) == 0 && (!ok || found.Dir) {
			return false
		}
	}
	return len(f.content) > 0 && len(f.exist) == 0
}

func (f filter) wants(name string) (content, any bool) {
	for _, file := range f.content {
		if name == file {
			return true, true
		}
	}
	for _, dir := range f.below {
		if name == dir || strings.HasPrefix(name, dir+"/") {
			return false, true
		}
	}
	for _, p := range f.exist {
		if name == p || strings.HasPrefix(p, name+"/") {
			return false, true
		}
	}
	return false, false
}

// hides reports whether the removal of a path concerns what is wanted.
func (f filter) hides(name string) bool {
	for _, list := range [][]string{f.content, f.below, f.exist} {
		for _, p := range list {
			if p == name || strings.HasPrefix(p, name+"/") || strings.HasPrefix(name, p+"/") || name == "/" {
				return true
			}
		}
	}
	return false
}

// readTree reads an image from its last layer downward until everything is found.
func readTree(ctx context.Context, content Content, img Image, manifest ocispec.Descriptor, wanted filter) (Tree, error) {
	body, err := content.Fetch(ctx, img.Ref, manifest)
	if err != nil {
		return nil, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("reading the manifest %s: %w", manifest.Digest, err)
	}
	if len(m.Layers) > maxLayers {
		return nil, fmt.Errorf("reading the manifest %s: it has %d layers", manifest.Digest, len(m.Layers))
	}
	tree, hidden := Tree{}, map[string]bool{}
	for i := len(m.Layers) - 1; i >= 0; i-- {
		layer, removed, err := readLayer(ctx, content, img.Ref, m.Layers[i], wanted)
		if err != nil {
			return nil, fmt.Errorf("reading the layer %s: %w", m.Layers[i].Digest, err)
		}
		tree.merge(layer, hidden)
		for name := range removed {
			hidden[name] = true
		}
		if wanted.complete(tree) {
			break
		}
	}
	return tree, nil
}

// readLayer reads a layer to its end: before that nothing in it can be trusted.
// Removed are the paths that hide those of the layers below; with a slash at the
// end, only what is in them.
func readLayer(ctx context.Context, content Content, ref string, desc ocispec.Descriptor, wanted filter) (tree Tree, removed map[string]bool, err error) {
	blob, err := content.Open(ctx, ref, desc)
	if err != nil {
		return nil, nil, err
	}
	defer blob.Close()
	unpacked, closeUnpacked, err := decompress(blob)
	if err != nil {
		return nil, nil, err
	}
	defer closeUnpacked()
	limited := &limitedReader{done: ctx.Done(), r: unpacked, left: maxUnpacked}
	tree, removed, err = readTar(limited, wanted)
	if err == nil {
		_, err = io.Copy(io.Discard, limited)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, blob) // up to what verifies the digest
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return tree, removed, err
}

func readTar(r io.Reader, wanted filter) (Tree, map[string]bool, error) {
	tree, removed := Tree{}, map[string]bool{}
	archive := tar.NewReader(r)
	for entries := 0; ; entries++ {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return tree, removed, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if entries > maxEntries || len(tree) > maxWanted || len(removed) > maxWanted {
			return nil, nil, errors.New("it has too many entries")
		}
		name := path.Clean("/" + header.Name)
		if base := path.Base(name); strings.HasPrefix(base, ".wh.") {
			gone := path.Join(path.Dir(name), strings.TrimPrefix(base, ".wh."))
			if base == ".wh..wh..opq" {
				gone = path.Dir(name)
			}
			if wanted.hides(gone) {
				if base == ".wh..wh..opq" {
					gone += "/"
				}
				removed[gone] = true
			}
			continue
		}
		isContent, isWanted := wanted.wants(name)
		if !isWanted && (header.Typeflag == tar.TypeDir || !wanted.hides(name)) {
			continue
		}
		file := File{Dir: header.Typeflag == tar.TypeDir, Size: header.Size}
		switch header.Typeflag {
		case tar.TypeSymlink:
			file.Link = header.Linkname
		case tar.TypeReg:
			if err := file.read(archive, isContent); err != nil {
				return nil, nil, fmt.Errorf("reading %s: %w", name, err)
			}
		}
		tree[name] = file
	}
}

func (f *File) read(r io.Reader, whole bool) error {
	if !whole {
		var err error
		f.Head, err = io.ReadAll(io.LimitReader(r, headSize))
		return err
	}
	if f.Size > maxContent {
		return fmt.Errorf("it has %d bytes", f.Size)
	}
	var err error
	f.Content, err = io.ReadAll(r)
	return err
}

// decompress recognises a layer's compression by its first bytes; media types are
// often wrong.
func decompress(r io.Reader) (io.Reader, func(), error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	magic, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		unpacked, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, nil, err
		}
		return unpacked, func() {}, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		unpacked, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, nil, err
		}
		return unpacked, unpacked.Close, nil
	}
	return buffered, func() {}, nil
}

// limitedReader ends when nobody waits for it any more, or there is too much.
type limitedReader struct {
	done <-chan struct{}
	r    io.Reader
	left int64
}

func (l *limitedReader) Read(p []byte) (int, error) {
	select {
	case <-l.done:
		return 0, context.Canceled
	default:
	}
	if l.left <= 0 {
		return 0, fmt.Errorf("it has more than %d bytes", int64(maxUnpacked))
	}
	if int64(len(p)) > l.left {
		p = p[:l.left]
	}
	n, err := l.r.Read(p)
	l.left -= int64(n)
	return n, err
}
