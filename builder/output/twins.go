package output

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
)

// Twins remembers what a build's images are called in an output for which they were
// made once more: compressed or described in another way, with other attestations. It
// is safe for concurrent use; the zero value is empty.
type Twins struct {
	mu   sync.Mutex
	made map[digest.Digest][]ocispec.Descriptor // by the image that the build returns
}

// Add notes that own was made of the image that the build returns as first, both with
// their attestations.
func (t *Twins) Add(first, own []ocispec.Descriptor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.made == nil {
		t.made = make(map[digest.Digest][]ocispec.Descriptor)
	}
	for _, desc := range first {
		if _, ok := index.Subject(desc); !ok {
			t.made[desc.Digest] = own
		}
	}
}

// of returns the twins of what a build returns.
func (t *Twins) of(manifests []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var own []ocispec.Descriptor
	for _, desc := range manifests {
		if _, ok := index.Subject(desc); ok {
			continue // comes with its image
		}
		made, ok := t.made[desc.Digest]
		if !ok {
			return nil, fmt.Errorf("looking for what was made of %s for this output: there is nothing", desc.Digest)
		}
		own = append(own, likeFirst(made, desc)...)
	}
	return own, nil
}

// likeFirst puts on an image what its index is to say of it.
func likeFirst(made []ocispec.Descriptor, first ocispec.Descriptor) []ocispec.Descriptor {
	list := slices.Clone(made)
	for i := range list {
		if _, ok := index.Subject(list[i]); ok || len(first.Annotations) == 0 {
			continue
		}
		annotations := maps.Clone(first.Annotations)
		maps.Copy(annotations, list[i].Annotations)
		list[i].Annotations = annotations
	}
	return list
}

// Publisher makes one thing of all platforms' manifests.
type Publisher interface {
	Publish(ctx context.Context, manifests []ocispec.Descriptor) (ocispec.Descriptor, error)
}

// Publisher returns a publisher of the twins.
func (t *Twins) Publisher(next Publisher) Publisher { return &twinPublisher{t, next} }

type twinPublisher struct {
	twins *Twins
	next  Publisher
}

// Publish publishes the twins of the manifests.
func (p *twinPublisher) Publish(ctx context.Context, manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	own, err := p.twins.of(manifests)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return p.next.Publish(ctx, own)
}
