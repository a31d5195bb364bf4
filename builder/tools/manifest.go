package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
)

const (
	maxLayers   = 256       // Docker makes 127
	maxLayer    = 512 << 20 // bytes of a layer as it is sent
	maxManifest = 4 << 20   // bytes of a manifest, index or configuration
)

// mediaTypeDockerConfig is Docker's name for [ocispec.MediaTypeImageConfig].
const mediaTypeDockerConfig = "application/vnd.docker.container.image.v1+json"

// image is an image of one platform in a registry.
type image struct {
	ref      string        // as the user names it
	index    digest.Digest // empty if ref is a manifest
	manifest digest.Digest
	layers   []ocispec.Descriptor // the bottom first
}

// resolve finds the image that ref means on the platform.
func (f *fetcher) resolve(ctx context.Context, ref string) (image, error) {
	desc, err := f.opts.Registry.Resolve(ctx, ref)
	if err != nil {
		return image{}, err
	}
	if fixed := fixedDigest(ref); fixed != "" && fixed != desc.Digest {
		return image{}, fmt.Errorf("%w: the registry answers with %s", ErrDigest, desc.Digest)
	}
	body, err := f.fetch(ctx, ref, desc)
	if err != nil {
		return image{}, err
	}
	switch mediaType(desc, body) {
	case ocispec.MediaTypeImageIndex, index.MediaTypeDockerManifestList:
		entry, err := pick(desc.MediaType, body, f.platform)
		if err != nil {
			return image{}, err
		}
		img, err := f.pinned(ctx, ref, entry.Digest)
		img.index = desc.Digest
		return img, err
	}
	manifest, err := parseManifest(body)
	if err != nil {
		return image{}, err
	}
	if err := f.checkConfig(ctx, ref, manifest.Config); err != nil {
		return image{}, err
	}
	return image{ref: ref, manifest: desc.Digest, layers: manifest.Layers}, nil
}

// pinned returns the image with the manifest, in the repository of ref.
func (f *fetcher) pinned(ctx context.Context, ref string, manifest digest.Digest) (image, error) {
	body, err := f.fetch(ctx, ref, ocispec.Descriptor{Digest: manifest})
	if err != nil {
		return image{}, err
	}
	parsed, err := parseManifest(body)
	return image{ref: ref, manifest: manifest, layers: parsed.Layers}, err
}

// fetch returns the content of desc. It trusts no registry client with the digest.
func (f *fetcher) fetch(ctx context.Context, ref string, desc ocispec.Descriptor) ([]byte, error) {
	if err := checkDigest(desc.Digest); err != nil {
		return nil, err
	}
	if desc.Size > maxManifest {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", desc.Digest, desc.Size, maxManifest)
	}
	body, err := f.opts.Registry.Fetch(ctx, atDigest(ref, desc.Digest), desc)
	if err != nil {
		return nil, err
	}
	if desc.Digest.Algorithm().FromBytes(body) != desc.Digest {
		return nil, fmt.Errorf("%w: %s is something else", ErrDigest, desc.Digest)
	}
	return body, nil
}

// checkConfig checks the platform of an image that no index gives one.
func (f *fetcher) checkConfig(ctx context.Context, ref string, desc ocispec.Descriptor) error {
	body, err := f.fetch(ctx, ref, desc)
	if err != nil {
		return err
	}
	var config ocispec.Image
	if err := json.Unmarshal(body, &config); err != nil {
		return fmt.Errorf("reading the configuration of the image: %w", err)
	}
	if !same(config.Platform, f.platform) {
		return fmt.Errorf("%w: %s; it is for %s", ErrPlatform, platforms.Format(f.platform), platforms.Format(platforms.Normalize(config.Platform)))
	}
	return nil
}

func fixedDigest(ref string) digest.Digest {
	named, err := reference.ParseNormalizedNamed(ref)
	if digested, ok := named.(reference.Digested); err == nil && ok {
		return digested.Digest()
	}
	return ""
}

// mediaType is the type of a document: as announced, or else as it says itself.
func mediaType(desc ocispec.Descriptor, body []byte) string {
	if desc.MediaType != "" {
		return desc.MediaType
	}
	var own struct {
		MediaType string `json:"mediaType"`
	}
	_ = json.Unmarshal(body, &own) // whoever reads the rest of it complains
	return own.MediaType
}

// pick returns the entry of an index that is for exactly the platform: a program
// for another variant may need instructions that this machine doesn't have.
func pick(mediaType string, body []byte, platform ocispec.Platform) (ocispec.Descriptor, error) {
	list, err := index.Parse(mediaType, body)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	var offered []string
	for _, entry := range list.Manifests {
		if _, attests := index.Subject(entry); attests || entry.Platform == nil {
			continue
		}
		if same(*entry.Platform, platform) {
			return entry, nil
		}
		offered = append(offered, platforms.Format(*entry.Platform))
	}
	if len(offered) == 0 {
		offered = []string{"none at all"}
	}
	return ocispec.Descriptor{}, fmt.Errorf("%w: %s; it has %s", ErrPlatform, platforms.Format(platform), strings.Join(offered, ", "))
}

func same(a, b ocispec.Platform) bool {
	a, b = platforms.Normalize(a), platforms.Normalize(b)
	return a.OS == b.OS && a.Architecture == b.Architecture && a.Variant == b.Variant
}

// document is an image manifest and what tells it from other documents.
type document struct {
	specs.Versioned
	MediaType string               `json:"mediaType"`
	Config    ocispec.Descriptor   `json:"config"`
	Layers    []ocispec.Descriptor `json:"layers"`

	// Fields of indexes and of schema 1. A document with both reads as one thing
	// here and as another elsewhere (CVE-2021-41190).
	Manifests json.RawMessage `json:"manifests"`
	FSLayers  json.RawMessage `json:"fsLayers"`
}

// parseManifest reads the manifest of an image.
func parseManifest(body []byte) (document, error) {
	fail := func(err error) (document, error) {
		return document{}, fmt.Errorf("reading the manifest of the image: %w", err)
	}
	if len(body) > maxManifest {
		return fail(fmt.Errorf("%d bytes are more than %d", len(body), maxManifest))
	}
	var doc document
	if err := json.Unmarshal(body, &doc); err != nil {
		return fail(err)
	}
	switch {
	case doc.SchemaVersion != 2:
		return fail(fmt.Errorf("its schema version is %d, not 2", doc.SchemaVersion))
	case doc.Manifests != nil || doc.FSLayers != nil:
		return fail(errors.New("it has the fields of another kind of document"))
	case doc.MediaType != "" && doc.MediaType != ocispec.MediaTypeImageManifest && doc.MediaType != index.MediaTypeDockerManifest:
		return fail(fmt.Errorf("its media type is %.100q", doc.MediaType))
	case doc.Config.MediaType != ocispec.MediaTypeImageConfig && doc.Config.MediaType != mediaTypeDockerConfig:
		return fail(fmt.Errorf("it is not an image: its configuration is a %.100q", doc.Config.MediaType))
	case len(doc.Layers) > maxLayers:
		return fail(fmt.Errorf("it has %d layers, more than %d", len(doc.Layers), maxLayers))
	}
	for _, desc := range append([]ocispec.Descriptor{doc.Config}, doc.Layers...) {
		if err := checkDigest(desc.Digest); err != nil {
			return fail(err)
		}
		if desc.Size < 0 {
			return fail(fmt.Errorf("the size %d of %s is negative", desc.Size, desc.Digest))
		}
	}
	return doc, nil
}
