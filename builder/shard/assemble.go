package shard

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/builder/registry"
)

// Image is the whole image.
type Image struct {
	// Root is its index. An image of one platform without attestations has none: then
	// it is the manifest.
	Root ocispec.Descriptor
	// Shards are its parts, in the plan's order.
	Shards []Shard
}

// Assemble makes the image if everything has been announced, and writes its names. A
// [*MissingError] says what has not. It may be called by any number of shards at once:
// they all write the same bytes.
func (m *Meeting) Assemble(ctx context.Context) (*Image, error) {
	return m.assemble(ctx, map[string]*Shard{})
}

// Wait is [Meeting.Assemble], tried again until Options.Patience is over.
func (m *Meeting) Wait(ctx context.Context) (*Image, error) {
	return m.wait(ctx, map[string]*Shard{})
}

func (m *Meeting) wait(ctx context.Context, found map[string]*Shard) (*Image, error) {
	rest, told := m.patience(m.opts.Patience), 0
	for {
		image, err := m.assemble(ctx, found)
		var missing *MissingError
		if !errors.As(err, &missing) {
			return image, err
		}
		if n := len(missing.Platforms); n != told {
			told = n
			m.opts.Logger.InfoContext(ctx, "looking for other shards", "missing", n, "tags", strings.Join(missing.Tags, ","))
		}
		if again, waitErr := rest.wait(ctx); !again {
			return nil, cmp.Or(waitErr, err)
		}
	}
}

// assemble looks for what isn't in found yet, and goes on if that is everything.
func (m *Meeting) assemble(ctx context.Context, found map[string]*Shard) (*Image, error) {
	if _, err := m.look(ctx, found); err != nil {
		return nil, err
	}
	image := &Image{}
	missing := &MissingError{}
	for _, place := range m.places {
		if shard := found[place.tag]; shard != nil {
			image.Shards = append(image.Shards, *shard)
			continue
		}
		missing.Platforms = append(missing.Platforms, place.platform)
		missing.Tags = append(missing.Tags, place.tag)
	}
	if len(missing.Platforms) > 0 {
		return nil, missing
	}
	if err := m.publish(ctx, image); err != nil {
		return nil, err
	}
	return image, nil
}

// publish writes the image's names when all repositories show all that is below.
func (m *Meeting) publish(ctx context.Context, image *Image) error {
	var manifests []ocispec.Descriptor
	for _, shard := range image.Shards {
		manifests = append(manifests, shard.Manifests...)
	}
	for _, repository := range m.repositories {
		if err := m.opts.Registry.WaitFor(ctx, repository, manifests...); err != nil {
			return err
		}
	}
	root, body, err := m.join(ctx, image.Shards, manifests)
	if err != nil {
		return err
	}
	for i, name := range m.names {
		if err := m.opts.Registry.PushManifest(ctx, name, root, body); err != nil {
			return partly(m.names, i, err)
		}
	}
	image.Root = root
	return nil
}

// join returns the bytes of the image. They depend on the announcements only, and so
// are the same whoever joins them.
func (m *Meeting) join(ctx context.Context, shards []Shard, manifests []ocispec.Descriptor) (ocispec.Descriptor, []byte, error) {
	if len(manifests) == 1 {
		// Consumers like AWS Lambda take no index (case 60).
		body, err := m.fetch(ctx, manifests[0])
		return manifests[0], body, err
	}
	annotations := shards[0].Annotations
	for _, shard := range shards[1:] {
		if differ := unequal(annotations, shard.Annotations); len(differ) > 0 {
			m.opts.Logger.InfoContext(ctx, "the shards don't agree on annotations of the index; the first platform's are taken",
				"platform", formatAll(shards[0].Platform), "unlike", formatAll(shard.Platform), "annotations", strings.Join(differ, ","))
		}
	}
	return index.Join(manifests, index.Options{Annotations: annotations})
}

// fetch reads a manifest that has been seen, maybe by asking another replica of the
// registry.
func (m *Meeting) fetch(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	rest := m.patience(time.Minute)
	for {
		body, err := m.opts.Registry.Fetch(ctx, m.repositories[0], desc)
		if !errors.Is(err, registry.ErrNotFound) {
			return body, err
		}
		if again, waitErr := rest.wait(ctx); !again {
			return nil, cmp.Or(waitErr, err)
		}
	}
}

// patience is a series of growing pauses that ends.
type patience struct {
	clock       registry.Clock
	left, pause time.Duration
}

func (m *Meeting) patience(limit time.Duration) *patience {
	return &patience{clock: m.opts.Clock, left: limit, pause: time.Second}
}

// wait makes a pause and reports whether there is another try.
func (p *patience) wait(ctx context.Context) (bool, error) {
	const longest = 5 * time.Second
	if p.left <= 0 {
		return false, nil
	}
	pause := min(p.pause, p.left)
	p.left -= pause
	p.pause = min(2*p.pause, longest)
	err := p.clock.Wait(ctx, pause)
	return err == nil, err
}

// unequal returns the keys at which two maps differ.
func unequal(a, b map[string]string) []string {
	all := maps.Clone(b)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, a)
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		inA, okA := a[key]
		inB, okB := b[key]
		if inA != inB || okA != okB {
			keys = append(keys, key)
		}
	}
	return keys
}

// Publisher announces what a build has made and makes the image if nothing is missing.
type Publisher struct {
	Meeting *Meeting
	// Image is set by Publish if the image was made.
	Image *Image
	// Missing is set by Publish if it was not, because other shards are not ready.
	Missing *MissingError
}

// Publish returns the image's descriptor, or none if other shards have to make it.
func (p *Publisher) Publish(ctx context.Context, manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	p.Image, p.Missing = nil, nil
	found, err := p.Meeting.announce(ctx, manifests)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	image, err := p.Meeting.wait(ctx, found)
	if errors.As(err, &p.Missing) {
		return ocispec.Descriptor{}, nil
	}
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	p.Image = image
	return image.Root, nil
}
