package bases

import (
	"context"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// MaxSize is the size in bytes of the largest manifest, index or config that is
// read. It is what registries allow for a manifest.
const MaxSize = 4 << 20

const maxMemory = 16 << 20 // bytes of content beside the disk's

// getter returns content by digest. What it returns must not be changed.
type getter func(ctx context.Context, desc ocispec.Descriptor) ([]byte, error)

// local gets what is in the cache. Its error matches ErrOffline.
func (r *Resolver) local(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	if err := desc.Digest.Validate(); err != nil { // it becomes a path
		return nil, fmt.Errorf("digest %.100q: %w", string(desc.Digest), err)
	}
	if body, ok := r.memory.get(desc.Digest); ok {
		return body, nil
	}
	if body, ok := r.disk.readBlob(ctx, desc.Digest); ok {
		r.memory.put(desc.Digest, body)
		return body, nil
	}
	return nil, ErrOffline
}

// remote gets what is in the cache or in the repository of i.
func (r *Resolver) remote(i image) getter {
	if r.offline {
		return r.local
	}
	return func(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
		if body, err := r.local(ctx, desc); err == nil {
			return body, nil
		}
		// Not by digest alone: an error of one repository isn't another's.
		key := i.name + "@" + desc.Digest.String()
		return r.bodies.do(ctx, key, func(ctx context.Context) ([]byte, error) {
			body, err := r.local(ctx, desc)
			if err == nil {
				return body, nil
			}
			return r.fetch(ctx, i, desc)
		})
	}
}

func (r *Resolver) fetch(ctx context.Context, i image, desc ocispec.Descriptor) ([]byte, error) {
	if err := desc.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("digest %.100q: %w", string(desc.Digest), err)
	}
	if desc.Size > MaxSize {
		return nil, tooLarge(desc.Digest, desc.Size)
	}
	r.logger.DebugContext(ctx, "fetching a base image's data", "ref", i.ref, "digest", desc.Digest)
	body, err := r.registry.Fetch(ctx, i.ref, desc)
	switch {
	case err != nil:
		return nil, err
	case len(body) > MaxSize:
		return nil, tooLarge(desc.Digest, int64(len(body)))
	case desc.Digest.Algorithm().FromBytes(body) != desc.Digest:
		return nil, fmt.Errorf("what the registry sent as %s is something else", desc.Digest)
	}
	r.memory.put(desc.Digest, body)
	r.disk.writeBlob(ctx, desc.Digest, body)
	return body, nil
}

func tooLarge(dgst digest.Digest, size int64) error {
	return fmt.Errorf("%s has %d bytes, more than %d", dgst, size, MaxSize)
}

// memory is content that needn't be read again. It serves where there is no disk,
// and saves hashing where there is one. The zero value is ready for use.
type memory struct {
	mu      sync.Mutex
	content map[digest.Digest][]byte
	size    int
}

func (m *memory) get(dgst digest.Digest) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	body, ok := m.content[dgst]
	return body, ok
}

func (m *memory) put(dgst digest.Digest, body []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.content[dgst]; ok {
		return
	}
	// Builds have a few hundred kilobytes of it. Who has more starts over.
	if m.content == nil || m.size+len(body) > maxMemory {
		m.content, m.size = map[digest.Digest][]byte{}, 0
	}
	m.content[dgst] = body
	m.size += len(body)
}
