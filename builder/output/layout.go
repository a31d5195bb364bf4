package output

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/distribution/reference"
	"github.com/gofrs/flock"
	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// imageName is containerd's annotation for a full reference; the OCI annotation
// ref.name holds the tag alone by the convention of containerd and skopeo.
const imageName = "io.containerd.image.name"

// ErrNotFound is returned for images that a layout does not have.
var ErrNotFound = errors.New("no such image")

// DefaultStore returns the directory of the caller's image store:
// $XDG_DATA_HOME/mabuild/images, by default ~/.local/share/mabuild/images.
func DefaultStore() (string, error) {
	base := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(base) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("finding a place for the image store: %w", err)
		}
		base = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(base, "mabuild", "images"), nil
}

// Layout is an OCI image layout in a directory. It is safe for concurrent use,
// by several processes too.
type Layout struct {
	dir   string
	blobs *blobs
}

// Entry is one image of a layout.
type Entry struct {
	// Name is the full reference, empty for an image without one.
	Name       string
	Descriptor ocispec.Descriptor
	// Created is when the image came into the layout.
	Created time.Time
}

// OpenLayout opens the layout in dir and makes an empty one if there is none.
func OpenLayout(dir string) (*Layout, error) {
	if err := os.MkdirAll(filepath.Join(dir, ocispec.ImageBlobsDir), 0o755); err != nil {
		return nil, fmt.Errorf("creating the image layout: %w", err)
	}
	store, err := local.NewStore(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the image layout in %s: %w", dir, err)
	}
	l := &Layout{dir: dir, blobs: newBlobs(store)}
	version, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return nil, err
	}
	marker := filepath.Join(dir, ocispec.ImageLayoutFile)
	if _, err := os.Stat(marker); errors.Is(err, fs.ErrNotExist) {
		if err := writeFile(marker, version); err != nil {
			return nil, fmt.Errorf("creating the image layout: %w", err)
		}
	}
	return l, nil
}

// Blobs is where the layout's content is.
func (l *Layout) Blobs() content.Store { return l.blobs }

// Open reads a blob; it makes a layout a source that registries are filled from.
func (l *Layout) Open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	blob, err := l.blobs.ReaderAt(ctx, desc)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", desc.Digest, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{content.NewReader(blob), blob}, nil
}

// Write puts a manifest or an index into the layout.
func (l *Layout) Write(ctx context.Context, desc ocispec.Descriptor, body []byte) error {
	err := content.WriteBlob(ctx, l.blobs, desc.Digest.String(), strings.NewReader(string(body)), desc)
	if err != nil {
		return fmt.Errorf("writing %s: %w", desc.Digest, err)
	}
	return nil
}

// Add makes the image findable under the names, which leave what they meant
// before; without names it is kept by its digest. Names are normalised as docker
// does.
func (l *Layout) Add(desc ocispec.Descriptor, names ...string) error {
	full, err := fullNames(names)
	if err != nil {
		return err
	}
	if len(full) == 0 {
		full = []string{""}
	}
	return l.update(func(index *ocispec.Index) {
		for _, name := range full {
			index.Manifests = slices.DeleteFunc(index.Manifests, func(d ocispec.Descriptor) bool {
				// A digest without a name is superseded by the same digest with one.
				return nameOf(d) == name && (name != "" || d.Digest == desc.Digest) ||
					nameOf(d) == "" && d.Digest == desc.Digest
			})
			index.Manifests = append(index.Manifests, named(desc, name))
		}
	})
}

// fullNames returns the names as they are kept.
func fullNames(names []string) ([]string, error) {
	full := make([]string, 0, len(names))
	for _, name := range names {
		ref, err := reference.ParseDockerRef(name)
		if err != nil {
			return nil, fmt.Errorf("naming the image %q: %w", name, err)
		}
		full = append(full, ref.String())
	}
	return full, nil
}

// named returns desc as the entry of that name, whatever entry it was before.
func named(desc ocispec.Descriptor, name string) ocispec.Descriptor {
	desc.Annotations = maps.Clone(desc.Annotations)
	delete(desc.Annotations, imageName)
	delete(desc.Annotations, ocispec.AnnotationRefName)
	if name == "" {
		return desc
	}
	if desc.Annotations == nil {
		desc.Annotations = map[string]string{}
	}
	desc.Annotations[imageName] = name
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		desc.Annotations[ocispec.AnnotationRefName] = name[i+1:]
	}
	return desc
}

func nameOf(desc ocispec.Descriptor) string { return desc.Annotations[imageName] }

// Find returns the image with that name, digest, or beginning of a digest's hex
// (12 or more). A name goes before a digest that begins like it.
func (l *Layout) Find(ctx context.Context, ref string) (Entry, error) {
	entries, err := l.List(ctx)
	if err != nil {
		return Entry{}, err
	}
	if parsed, err := reference.ParseDockerRef(ref); err == nil {
		for _, e := range entries {
			if e.Name == parsed.String() {
				return e, nil
			}
		}
	}
	for _, e := range entries {
		if hasDigest(e.Descriptor.Digest, ref) {
			return e, nil
		}
	}
	return Entry{}, fmt.Errorf("%w: %s", ErrNotFound, ref)
}

func hasDigest(d digest.Digest, ref string) bool {
	hex := strings.TrimPrefix(ref, d.Algorithm().String()+":")
	return len(hex) >= 12 && strings.HasPrefix(d.Encoded(), hex)
}

// List returns the images in the order in which they came.
func (l *Layout) List(ctx context.Context) ([]Entry, error) {
	index, err := l.read()
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(index.Manifests))
	for _, d := range index.Manifests {
		e := Entry{Name: nameOf(d), Descriptor: d}
		if info, err := l.blobs.Info(ctx, d.Digest); err == nil {
			e.Created = info.CreatedAt
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Remove forgets the name, or the image with that digest and all its names. The
// content stays until [Layout.Prune].
func (l *Layout) Remove(ctx context.Context, ref string) error {
	entry, err := l.Find(ctx, ref)
	if err != nil {
		return err
	}
	byDigest := hasDigest(entry.Descriptor.Digest, ref)
	return l.update(func(index *ocispec.Index) {
		index.Manifests = slices.DeleteFunc(index.Manifests, func(d ocispec.Descriptor) bool {
			return d.Digest == entry.Descriptor.Digest && (byDigest || nameOf(d) == entry.Name)
		})
	})
}

func (l *Layout) indexFile() string { return filepath.Join(l.dir, ocispec.ImageIndexFile) }

func (l *Layout) read() (ocispec.Index, error) {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	body, err := os.ReadFile(l.indexFile())
	if errors.Is(err, fs.ErrNotExist) {
		return index, nil
	}
	if err != nil {
		return index, fmt.Errorf("reading the image layout: %w", err)
	}
	if err := json.Unmarshal(body, &index); err != nil {
		return index, fmt.Errorf("reading %s: %w", l.indexFile(), err)
	}
	return index, nil
}

// update changes index.json as one step.
func (l *Layout) update(change func(*ocispec.Index)) error {
	return l.locked(func() error {
		index, err := l.read()
		if err != nil {
			return err
		}
		change(&index)
		body, err := json.Marshal(index)
		if err != nil {
			return err
		}
		return writeFile(l.indexFile(), body)
	})
}

// locked calls f while nobody else changes index.json.
func (l *Layout) locked(f func() error) error {
	lock := flock.New(l.indexFile() + ".lock")
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("locking the image layout: %w", err)
	}
	defer lock.Unlock()
	return f()
}

// writeFile replaces path by a file with that content, or leaves it as it was.
func writeFile(path string, body []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // fails after the rename, and should
	_, err = f.Write(body)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
