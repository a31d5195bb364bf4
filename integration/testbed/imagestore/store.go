package imagestore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/distribution/reference"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	// Manifest formats make themselves known to the registry by being linked.
	_ "github.com/distribution/distribution/v3/manifest/ocischema"
)

// Store writes images into a registry's storage, without a registry in between.
// Content appears under its digest in one step and a tag is written last, so a
// killed process leaves at worst content that nothing points at.
type Store struct{ namespace distribution.Namespace }

// Layer is one layer of an image and what the image's history says of it.
type Layer struct {
	Descriptor ocispec.Descriptor
	DiffID     digest.Digest
	CreatedBy  string
}

// Image is what one platform's image is made of.
type Image struct {
	Platform ocispec.Platform
	Config   ocispec.ImageConfig
	Layers   []Layer
}

// Open opens the storage in the folder root, which need not exist.
func Open(ctx context.Context, root string) (Store, error) {
	driver := filesystem.New(filesystem.DriverParameters{RootDirectory: root, MaxThreads: uint64(25 * runtime.NumCPU())})
	namespace, err := storage.NewRegistry(ctx, driver)
	if err != nil {
		return Store{}, fmt.Errorf("opening the registry storage %q: %w", root, err)
	}
	return Store{namespace}, nil
}

// repository opens name. Each use opens its own: a repository belongs to one goroutine.
func (s Store) repository(ctx context.Context, name string) (distribution.Repository, error) {
	named, err := reference.WithName(name)
	if err != nil {
		return nil, fmt.Errorf("naming the repository %q: %w", name, err)
	}
	repository, err := s.namespace.Repository(ctx, named)
	if err != nil {
		return nil, fmt.Errorf("opening the repository %q: %w", name, err)
	}
	return repository, nil
}

// PutLayer packs entries into a layer of the repository name.
func (s Store) PutLayer(ctx context.Context, name, createdBy string, entries []Entry) (Layer, error) {
	diffID := digest.Canonical.Digester()
	desc, err := s.putBlob(ctx, name, ocispec.MediaTypeImageLayerGzip, func(w io.Writer) error {
		packed := gzip.NewWriter(w)
		if err := WriteLayer(io.MultiWriter(packed, diffID.Hash()), entries); err != nil {
			return err
		}
		return packed.Close()
	})
	if err != nil {
		return Layer{}, err
	}
	return Layer{Descriptor: desc, DiffID: diffID.Digest(), CreatedBy: createdBy}, nil
}

// putBlob stores what write writes.
func (s Store) putBlob(ctx context.Context, name, mediaType string, write func(io.Writer) error) (ocispec.Descriptor, error) {
	repository, err := s.repository(ctx, name)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	upload, err := repository.Blobs(ctx).Create(ctx)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("starting a blob of %q: %w", name, err)
	}
	sum := digest.Canonical.Digester()
	var size int64
	counted := writerFunc(func(p []byte) (int, error) {
		size += int64(len(p))
		return len(p), context.Cause(ctx)
	})
	if err := write(io.MultiWriter(upload, sum.Hash(), counted)); err != nil {
		_ = upload.Cancel(ctx) // what failed before it is the error to tell
		return ocispec.Descriptor{}, fmt.Errorf("writing a blob of %q: %w", name, err)
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: sum.Digest(), Size: size}
	if _, err := upload.Commit(ctx, desc); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("committing the blob %s of %q: %w", desc.Digest, name, err)
	}
	return desc, nil
}

// writerFunc is a writer that is a function.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Mount makes a blob of the repository from one of the repository name.
func (s Store) Mount(ctx context.Context, from, name string, desc ocispec.Descriptor) error {
	repository, err := s.repository(ctx, name)
	if err != nil {
		return err
	}
	source, err := reference.WithName(from)
	if err != nil {
		return fmt.Errorf("naming the repository %q: %w", from, err)
	}
	canonical, err := reference.WithDigest(source, desc.Digest)
	if err != nil {
		return fmt.Errorf("naming the blob %s: %w", desc.Digest, err)
	}
	upload, err := repository.Blobs(ctx).Create(ctx, storage.WithMountFrom(canonical))
	if mounted := (distribution.ErrBlobMounted{}); errors.As(err, &mounted) {
		return nil
	}
	if err == nil {
		_ = upload.Cancel(ctx) // an upload was begun because there is nothing to mount
		err = distribution.ErrBlobUnknown
	}
	return fmt.Errorf("mounting the blob %s of %q into %q: %w", desc.Digest, from, name, err)
}

// PutImage stores the configuration and the manifest of img, whose layers are
// there, and returns the manifest's descriptor, with the platform.
func (s Store) PutImage(ctx context.Context, name string, img Image) (ocispec.Descriptor, error) {
	created := Epoch()
	config := ocispec.Image{Created: &created, Platform: img.Platform, Config: img.Config}
	config.RootFS.Type = "layers"
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, part := range img.Layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, part.DiffID)
		config.History = append(config.History, ocispec.History{Created: &created, CreatedBy: part.CreatedBy})
		manifest.Layers = append(manifest.Layers, part.Descriptor)
	}
	body, err := json.Marshal(config)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("encoding the configuration of %q: %w", name, err)
	}
	manifest.Config, err = s.putBlob(ctx, name, ocispec.MediaTypeImageConfig, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(body))
		return err
	})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc, err := s.putManifest(ctx, name, manifest.MediaType, manifest)
	desc.Platform = &img.Platform
	return desc, err
}

// PutIndex stores an index of manifests and points tags at it.
func (s Store) PutIndex(ctx context.Context, name string, tags []string, manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	desc, err := s.putManifest(ctx, name, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests,
	})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	repository, err := s.repository(ctx, name)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	for _, tag := range tags {
		if err := repository.Tags(ctx).Tag(ctx, tag, desc); err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("tagging %s:%s: %w", name, tag, err)
		}
	}
	return desc, nil
}

func (s Store) putManifest(ctx context.Context, name, mediaType string, value any) (ocispec.Descriptor, error) {
	body, err := json.Marshal(value)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("encoding a manifest of %q: %w", name, err)
	}
	manifest, desc, err := distribution.UnmarshalManifest(mediaType, body)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("checking a manifest of %q: %w", name, err)
	}
	repository, err := s.repository(ctx, name)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	manifests, err := repository.Manifests(ctx)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("opening the manifests of %q: %w", name, err)
	}
	if _, err := manifests.Put(ctx, manifest); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("storing the manifest %s of %q: %w", desc.Digest, name, err)
	}
	return desc, nil
}

// Tagged reports whether name:tag is the manifest dgst.
func (s Store) Tagged(ctx context.Context, name, tag string, dgst digest.Digest) bool {
	repository, err := s.repository(ctx, name)
	if err != nil {
		return false
	}
	desc, err := repository.Tags(ctx).Get(ctx, tag)
	return err == nil && desc.Digest == dgst
}
