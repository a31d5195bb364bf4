package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/verify"
)

// isArchive reports whether a name is the path of a file, which names of images are not:
// a reference like a/b.tar goes before a file only if there is none.
func isArchive(name string) bool {
	if !strings.HasSuffix(name, ".tar") && !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "./") && !strings.HasPrefix(name, "../") {
		return false
	}
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// findArchive opens the one image of an archive.
func (i *runImage) findArchive(ctx context.Context) error {
	archive, err := verify.OpenArchive(i.name)
	if err != nil {
		return err
	}
	i.release = archive.Close
	if len(archive.Images) == 0 {
		return fmt.Errorf("%s has no image", i.name)
	}
	root := archive.Images[0]
	for _, other := range archive.Images[1:] { // one image under several names is one
		if other.Digest != root.Digest {
			return fmt.Errorf("%s has several images; push or load them, and run one by its name", i.name)
		}
	}
	store := archiveStore{archive}
	known, err := inspectImage(ctx, i.name, "archive", root, func(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
		return content.ReadBlob(ctx, store, desc)
	})
	if err != nil {
		return err
	}
	i.store, i.digest, i.list = store, known.Digest, known.platforms()
	return nil
}

// archiveStore is an archive as a session offers it to a daemon, which only reads.
type archiveStore struct{ archive *verify.Archive }

func (s archiveStore) ReaderAt(_ context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	blob := s.archive.At(desc.Digest)
	if blob == nil {
		return nil, fmt.Errorf("%s is not in the archive: %w", desc.Digest, errdefs.ErrNotFound)
	}
	return struct {
		*io.SectionReader
		io.Closer
	}{blob, io.NopCloser(nil)}, nil
}

func (s archiveStore) Info(_ context.Context, blob digest.Digest) (content.Info, error) {
	found := s.archive.At(blob)
	if found == nil {
		return content.Info{}, fmt.Errorf("%s is not in the archive: %w", blob, errdefs.ErrNotFound)
	}
	return content.Info{Digest: blob, Size: found.Size()}, nil
}

func (archiveStore) Update(context.Context, content.Info, ...string) (content.Info, error) {
	return content.Info{}, errdefs.ErrNotImplemented
}

func (archiveStore) Walk(context.Context, content.WalkFunc, ...string) error {
	return errdefs.ErrNotImplemented
}

func (archiveStore) Delete(context.Context, digest.Digest) error { return errdefs.ErrNotImplemented }

func (archiveStore) Status(context.Context, string) (content.Status, error) {
	return content.Status{}, errdefs.ErrNotImplemented
}

func (archiveStore) ListStatuses(context.Context, ...string) ([]content.Status, error) {
	return nil, errdefs.ErrNotImplemented
}

func (archiveStore) Abort(context.Context, string) error { return errdefs.ErrNotImplemented }

func (archiveStore) Writer(context.Context, ...content.WriterOpt) (content.Writer, error) {
	return nil, errdefs.ErrNotImplemented
}
