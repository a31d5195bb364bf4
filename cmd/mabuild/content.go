package main

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/containerd/containerd/v2/core/images"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/verify"
)

// smallBlob is longer than what manifests and configurations have, but for monsters.
const smallBlob = 256 << 10

// smallContent keeps manifests and configurations: the report and the check of an image
// read the same ones, each from a registry.
type smallContent struct {
	verify.Source

	mu    sync.Mutex
	blobs map[digest.Digest][]byte
}

// keepSmall returns nil for nil.
func keepSmall(source verify.Source) verify.Source {
	if source == nil {
		return nil
	}
	return &smallContent{Source: source, blobs: make(map[digest.Digest][]byte)}
}

func (s *smallContent) Open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	if desc.Size > smallBlob || images.IsLayerType(desc.MediaType) {
		return s.Source.Open(ctx, desc)
	}
	s.mu.Lock()
	body, known := s.blobs[desc.Digest]
	s.mu.Unlock()
	if !known {
		blob, err := s.Source.Open(ctx, desc)
		if err != nil {
			return nil, err
		}
		defer blob.Close()
		if body, err = io.ReadAll(io.LimitReader(blob, smallBlob)); err != nil {
			return nil, err
		}
		s.mu.Lock()
		s.blobs[desc.Digest] = body
		s.mu.Unlock()
	}
	return io.NopCloser(bytes.NewReader(body)), nil
}
