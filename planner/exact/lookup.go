package exact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
)

// image is a reference as one platform gets it.
type image struct {
	store  string // empty for the registry
	ref    string
	base   *Base // nil if err is set
	match  Match
	real   ocispec.Platform // of the files in it
	config []byte
	err    error
}

// images looks up every image once, whoever asks for it and however often.
type images struct {
	sources  map[string]Resolver // by store, the registry's is ""
	resolved flight[*Base]
	configs  flight[[]byte]
	found    flight[*image]
}

func newImages(registry Resolver, layouts map[string]Resolver) *images {
	i := &images{sources: map[string]Resolver{"": registry}}
	for store, layout := range layouts {
		i.sources[store] = layout
	}
	return i
}

// look returns an image. A lookup that fails is no error here, so that it does
// not hide others: the image has it, and a configuration that stands in.
func (i *images) look(ctx context.Context, store, ref string, wanted ocispec.Platform) (*image, error) {
	wanted = platforms.Normalize(wanted)
	key := store + " " + ref + " " + planner.FormatPlatform(wanted)
	return i.found.do(ctx, key, func() (*image, error) {
		img, err := i.find(ctx, store, ref, wanted)
		if err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			img = &image{ref: ref, real: wanted, err: err}
		}
		img.store = store
		if img.config == nil {
			img.config, err = standIn(ref, wanted)
		}
		return img, err
	})
}

// base resolves a reference.
func (i *images) base(ctx context.Context, store, ref string) (*Base, error) {
	return i.resolved.do(ctx, store+" "+ref, func() (*Base, error) {
		base, err := i.sources[store].Resolve(ctx, ref)
		if err == nil && base == nil {
			err = errors.New("resolver returned nothing")
		}
		return base, err
	})
}

func (i *images) find(ctx context.Context, store, ref string, wanted ocispec.Platform) (*image, error) {
	if i.sources[store] == nil {
		return nil, fmt.Errorf("resolving %s: unknown image layout %q", ref, store)
	}
	base, err := i.base(ctx, store, ref)
	if err != nil {
		return nil, err
	}
	manifests := offers(base)
	if len(manifests) == 0 {
		return &image{ref: ref, base: base, match: MatchMissing, real: wanted}, nil
	}
	chosen, ok := choose(base, manifests, wanted)
	config, err := i.configs.do(ctx, store+" "+chosen.Digest.String(), func() ([]byte, error) {
		return i.sources[store].Config(ctx, ref, chosen)
	})
	if err != nil {
		return nil, err
	}
	if !ok {
		// Environment and triggers are the same on all platforms in most images.
		return &image{ref: ref, base: base, match: MatchMissing, real: wanted, config: config}, nil
	}
	declared, err := declaredPlatform(config, chosen.Platform)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of %s: %w", ref, err)
	}
	if declared.OS == "" || declared.Architecture == "" {
		declared = wanted // there is nothing to hold against it
	}
	return &image{ref: ref, base: base, match: matchOf(base, chosen, declared, wanted), real: declared, config: config}, nil
}

// offers are the manifests of images; attestations are left out.
func offers(base *Base) []ocispec.Descriptor {
	return slices.DeleteFunc(slices.Clone(base.Manifests), func(m ocispec.Descriptor) bool {
		return m.Platform != nil && m.Platform.OS == "unknown" || m.Annotations["vnd.docker.reference.type"] != ""
	})
}

func isIndex(base *Base) bool {
	return strings.HasSuffix(base.MediaType, ".index.v1+json") || strings.HasSuffix(base.MediaType, ".manifest.list.v2+json")
}

// choose picks the manifest that BuildKit will pick. If there is none for the
// platform, it returns the first one and false.
func choose(base *Base, manifests []ocispec.Descriptor, wanted ocispec.Platform) (ocispec.Descriptor, bool) {
	if !isIndex(base) {
		return manifests[0], true
	}
	matcher := platforms.Only(wanted)
	var best *ocispec.Descriptor
	for i := range manifests {
		m := &manifests[i]
		switch {
		case m.Platform == nil:
			if best == nil {
				best = m
			}
		case matcher.Match(*m.Platform) && (best == nil || best.Platform == nil || matcher.Less(*m.Platform, *best.Platform)):
			best = m
		}
	}
	if best == nil {
		return manifests[0], false
	}
	return *best, true
}

// declaredPlatform is what the image says of itself, completed by what the
// index says: many configurations leave out the variant.
func declaredPlatform(config []byte, listed *ocispec.Platform) (ocispec.Platform, error) {
	var p ocispec.Platform
	if err := json.Unmarshal(config, &p); err != nil {
		return p, err
	}
	if listed != nil && (p.OS == "" || p.Architecture == "") {
		p = *listed
	}
	if listed != nil && p.Variant == "" && p.Architecture == listed.Architecture {
		p.Variant = listed.Variant
	}
	return platforms.Normalize(p), nil
}

func matchOf(base *Base, chosen ocispec.Descriptor, declared, wanted ocispec.Platform) Match {
	listed := declared
	if chosen.Platform != nil {
		listed = platforms.Normalize(*chosen.Platform)
	}
	switch {
	case !isIndex(base) && same(declared, wanted):
		return MatchExact
	case !isIndex(base):
		return Match(MatchSingle + ":" + planner.FormatPlatform(declared))
	case listed.OS != declared.OS || listed.Architecture != declared.Architecture:
		return Match(MatchMislabelled + ":" + planner.FormatPlatform(declared))
	case same(listed, wanted):
		return MatchExact
	}
	return Match(MatchFallback + ":" + planner.FormatPlatform(listed))
}

// same compares what decides which programs run.
func same(a, b ocispec.Platform) bool {
	return a.OS == b.OS && a.Architecture == b.Architecture && a.Variant == b.Variant
}

// standIn is a configuration for an image that could not be looked up. Without
// a layer BuildKit would take it for scratch.
func standIn(ref string, platform ocispec.Platform) ([]byte, error) {
	return json.Marshal(ocispec.Image{
		Platform: platform,
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromString(ref)}},
	})
}

// flight makes calls once per key and keeps what they return. The zero value
// is ready.
type flight[V any] struct {
	mu    sync.Mutex
	calls map[string]*call[V]
}

type call[V any] struct {
	done  chan struct{}
	value V
	err   error
}

func (f *flight[V]) do(ctx context.Context, key string, fn func() (V, error)) (V, error) {
	f.mu.Lock()
	c, ok := f.calls[key]
	if ok {
		f.mu.Unlock()
		select {
		case <-c.done:
			return c.value, c.err
		case <-ctx.Done():
			var zero V
			return zero, context.Cause(ctx)
		}
	}
	if f.calls == nil {
		f.calls = make(map[string]*call[V])
	}
	c = &call[V]{done: make(chan struct{})}
	f.calls[key] = c
	f.mu.Unlock()
	defer close(c.done)
	c.value, c.err = fn()
	return c.value, c.err
}

// each calls fn for everything that was returned without error.
func (f *flight[V]) each(fn func(key string, value V)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, c := range f.calls {
		select {
		case <-c.done:
			if c.err == nil {
				fn(key, c.value)
			}
		default:
		}
	}
}

// knows reports whether the registry has been asked for a reference.
func (i *images) knows(ref string) bool {
	i.resolved.mu.Lock()
	defer i.resolved.mu.Unlock()
	_, ok := i.resolved.calls[" "+ref]
	return ok
}
