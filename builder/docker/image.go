package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
)

// Image is what is to be loaded.
type Image struct {
	// Root is its manifest or index.
	Root ocispec.Descriptor
	// Names are what it is to be called. Default: none, it is known by its digest.
	Names []string
	// Platforms are those that are loaded. Default: as many as Docker can keep.
	Platforms []ocispec.Platform
}

// selection is the part of an image that Docker is given.
type selection struct {
	root    ocispec.Descriptor
	body    []byte // of root, if it was made here
	chosen  []variant
	leftOut []variant
}

// variant is one platform of an image.
type variant struct {
	desc     ocispec.Descriptor
	platform ocispec.Platform
	manifest ocispec.Manifest
}

func names(list []variant) string {
	text := make([]string, 0, len(list))
	for _, v := range list {
		text = append(text, platforms.FormatAll(v.platform))
	}
	return strings.Join(text, ", ")
}

// choose decides what of an image is given to Docker.
func (e *Engine) choose(ctx context.Context, store content.Provider, image Image) (*selection, error) {
	variants, attestations, err := readImage(ctx, store, image.Root)
	if err != nil {
		return nil, err
	}
	s := &selection{root: image.Root}
	switch {
	case len(image.Platforms) > 0:
		s.chosen, err = pick(variants, image.Platforms)
	case e.MultiPlatform:
		s.chosen = variants
	default:
		s.chosen, err = e.best(variants)
	}
	if err != nil {
		return nil, err
	}
	if len(s.chosen) > 1 && !e.MultiPlatform {
		return nil, fmt.Errorf("the Docker at %s keeps one platform under a name, not %s; choose one by --platform, or turn on its containerd image store",
			e.endpoint.Host, names(s.chosen))
	}
	s.leftOut = slices.DeleteFunc(slices.Clone(variants), func(v variant) bool {
		return slices.ContainsFunc(s.chosen, func(c variant) bool { return c.desc.Digest == v.desc.Digest })
	})
	switch {
	case len(s.chosen) == 1 && (len(s.leftOut) > 0 || !e.MultiPlatform):
		s.root = s.chosen[0].desc
	case len(s.leftOut) > 0:
		err = s.join(attestations)
	}
	if err != nil {
		return nil, err
	}
	return s, e.readable(s)
}

// readImage lists the platforms of an image.
func readImage(ctx context.Context, store content.Provider, root ocispec.Descriptor) (variants []variant, attestations []ocispec.Descriptor, err error) {
	entries := []ocispec.Descriptor{root}
	if root.MediaType == ocispec.MediaTypeImageIndex || root.MediaType == index.MediaTypeDockerManifestList {
		body, err := content.ReadBlob(ctx, store, root)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the index: %w", err)
		}
		parsed, err := index.Parse(root.MediaType, body)
		if err != nil {
			return nil, nil, err
		}
		entries = parsed.Manifests
	}
	for _, desc := range entries {
		if _, ok := index.Subject(desc); ok {
			attestations = append(attestations, desc)
			continue
		}
		v := variant{desc: desc}
		if err := readJSON(ctx, store, desc, &v.manifest); err != nil {
			return nil, nil, fmt.Errorf("reading the manifest %s: %w", desc.Digest, err)
		}
		if desc.Platform != nil {
			v.platform = *desc.Platform
		} else if err := readJSON(ctx, store, v.manifest.Config, &v.platform); err != nil {
			return nil, nil, fmt.Errorf("reading the config of %s: %w", desc.Digest, err)
		}
		variants = append(variants, v)
	}
	return variants, attestations, nil
}

func readJSON(ctx context.Context, store content.Provider, desc ocispec.Descriptor, into any) error {
	body, err := content.ReadBlob(ctx, store, desc)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// pick returns the variants for the platforms that were asked for.
func pick(variants []variant, wanted []ocispec.Platform) ([]variant, error) {
	var chosen []variant
	for _, want := range wanted {
		only := platforms.OnlyStrict(want)
		at := slices.IndexFunc(variants, func(v variant) bool { return only.Match(v.platform) })
		if at < 0 {
			return nil, fmt.Errorf("the image has no %s; it has %s, choose among them by --platform", platforms.FormatAll(want), names(variants))
		}
		chosen = append(chosen, variants[at])
	}
	return chosen, nil
}

// best returns the variant that Docker's machine runs best.
func (e *Engine) best(variants []variant) ([]variant, error) {
	runs := platforms.Only(e.Platform)
	var chosen []variant
	for _, v := range variants {
		if runs.Match(v.platform) && (chosen == nil || runs.Less(v.platform, chosen[0].platform)) {
			chosen = []variant{v}
		}
	}
	if chosen == nil {
		return nil, fmt.Errorf("the image has no %s, which is what Docker's machine runs; it has %s: choose one by --platform, or build for %s",
			platforms.FormatAll(e.Platform), names(variants), platforms.FormatAll(e.Platform))
	}
	return chosen, nil
}

// join makes an index of what was chosen.
func (s *selection) join(attestations []ocispec.Descriptor) (err error) {
	var manifests []ocispec.Descriptor
	for _, v := range s.chosen {
		desc := v.desc
		desc.Platform = &v.platform
		manifests = append(manifests, desc)
		for _, a := range attestations {
			if subject, _ := index.Subject(a); subject == desc.Digest {
				manifests = append(manifests, a)
			}
		}
	}
	s.root, s.body, err = index.Join(manifests, index.Options{})
	return err
}

// readable refuses what Docker would answer with something incomprehensible.
func (e *Engine) readable(s *selection) error {
	for _, v := range s.chosen {
		for _, layer := range v.manifest.Layers {
			if strings.HasSuffix(layer.MediaType, "+zstd") && e.major() > 0 && e.major() < 23 {
				return fmt.Errorf("Docker %s can't read zstd, in which the layers of %s are compressed; build with -o type=image,compression=gzip, or update Docker to 23 or later",
					e.Version, platforms.FormatAll(v.platform))
			}
		}
	}
	return nil
}

// ids are the digests by which Docker may call what it was given: the classic store
// takes the config's.
func (s *selection) ids() []digest.Digest {
	list := []digest.Digest{s.root.Digest}
	for _, v := range s.chosen {
		list = append(list, v.desc.Digest, v.manifest.Config.Digest)
	}
	return list
}

// withIndex is a store that has an index in addition.
type withIndex struct {
	Content
	desc ocispec.Descriptor
	body []byte
}

// Info implements [content.InfoProvider].
func (w withIndex) Info(ctx context.Context, d digest.Digest) (content.Info, error) {
	if d == w.desc.Digest {
		return content.Info{Digest: d, Size: int64(len(w.body))}, nil
	}
	return w.Content.Info(ctx, d)
}

// ReaderAt implements [content.Provider].
func (w withIndex) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	if desc.Digest == w.desc.Digest {
		return inMemory{bytes.NewReader(w.body)}, nil
	}
	return w.Content.ReaderAt(ctx, desc)
}

type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

var _ io.ReaderAt = inMemory{}
