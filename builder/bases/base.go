package bases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/planner/exact"
)

// Base is what a reference points to. Its Ref is the reference in full. Its Manifests
// are images only, all with their Platform, in the order of the index; they may be
// none. An image without an index whose config doesn't name a platform has an empty
// one.
type Base = exact.Base

const (
	mediaTypeDockerConfig = "application/vnd.docker.container.image.v1+json"
	unknown               = "unknown" // as BuildKit writes it for attestations
	// maxConfigs is how many images of one index may leave it to their configs to
	// say for which platform they are.
	maxConfigs = 64
)

// describe finds out what desc, to which i points, offers.
func describe(ctx context.Context, i image, desc ocispec.Descriptor, get getter) (*Base, error) {
	body, err := get(ctx, desc)
	if err != nil {
		return nil, err
	}
	doc, err := readDocument(body)
	if err != nil {
		return nil, err
	}
	base := &Base{Ref: i.ref, Digest: desc.Digest, MediaType: doc.MediaType}
	if doc.isIndex() {
		base.Manifests, err = indexed(ctx, body, get)
		return base, err
	}
	platform, err := configPlatform(ctx, doc, get)
	if err != nil {
		return nil, err
	}
	base.Manifests = []ocispec.Descriptor{{
		MediaType: doc.MediaType, Digest: desc.Digest, Size: int64(len(body)), Platform: platform,
	}}
	return base, nil
}

// indexed returns the images of an index.
func indexed(ctx context.Context, body []byte, get getter) ([]ocispec.Descriptor, error) {
	list, err := index.Parse("", body)
	if err != nil {
		return nil, err
	}
	var found []ocispec.Descriptor
	configs := 0
	for _, desc := range list.Manifests {
		if _, attestation := index.Subject(desc); attestation || !isImageManifest(desc.MediaType) {
			continue
		}
		if desc.Platform == nil || desc.Platform.OS == "" || desc.Platform.Architecture == "" {
			if configs++; configs > maxConfigs {
				return nil, fmt.Errorf("more than %d images of the index have no platform", maxConfigs)
			}
			if desc.Platform, err = manifestPlatform(ctx, desc, get); err != nil {
				return nil, err
			}
		}
		// BuildKit never takes an image without platform out of an index.
		if isKnown(*desc.Platform) {
			found = append(found, desc)
		}
	}
	return found, nil
}

func isKnown(platform ocispec.Platform) bool {
	isName := func(s string) bool { return s != "" && s != unknown }
	return isName(platform.OS) && isName(platform.Architecture)
}

// manifestPlatform looks up the platform of an index's entry that has none.
func manifestPlatform(ctx context.Context, desc ocispec.Descriptor, get getter) (*ocispec.Platform, error) {
	body, err := get(ctx, desc)
	if err != nil {
		return nil, err
	}
	doc, err := readDocument(body)
	if err != nil {
		return nil, err
	}
	if doc.isIndex() {
		return nil, fmt.Errorf("%s is an index in an index", desc.Digest)
	}
	return configPlatform(ctx, doc, get)
}

// configPlatform returns what the config of an image says about its platform. It is
// empty for what isn't an image.
func configPlatform(ctx context.Context, doc document, get getter) (*ocispec.Platform, error) {
	var platform ocispec.Platform
	if !isImageConfig(doc.Config.MediaType) {
		return &platform, nil
	}
	body, err := get(ctx, doc.configDescriptor())
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &platform); err != nil {
		return nil, fmt.Errorf("reading image config %s: %w", doc.Config.Digest, err)
	}
	return &platform, nil
}

// document is a manifest or an index.
type document struct {
	SchemaVersion int                 `json:"schemaVersion"`
	MediaType     string              `json:"mediaType"`
	Config        *ocispec.Descriptor `json:"config"`
	Manifests     json.RawMessage     `json:"manifests"`
}

func (d document) isIndex() bool { return d.Manifests != nil }

// configDescriptor is the place of an image's config, without anything else that
// the manifest says about it.
func (d document) configDescriptor() ocispec.Descriptor {
	mediaType := d.Config.MediaType
	if mediaType == "" {
		mediaType = ocispec.MediaTypeImageConfig
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: d.Config.Digest, Size: d.Config.Size}
}

// readDocument tells what body is by itself and not by the type with which it was
// sent, so that the same bytes always mean the same.
func readDocument(body []byte) (document, error) {
	var doc document
	if err := json.Unmarshal(body, &doc); err != nil {
		return doc, fmt.Errorf("reading a manifest: %w", err)
	}
	switch {
	case doc.SchemaVersion == 1:
		return doc, errors.New("its manifest is of schema version 1, which Docker gave up; push the image again with a current tool")
	case doc.Manifests != nil && doc.Config != nil: // CVE-2021-41190
		return doc, errors.New("it is both an image and an index")
	case doc.Manifests == nil && doc.Config == nil:
		return doc, errors.New("it is neither an image nor an index")
	}
	if doc.MediaType == "" {
		doc.MediaType = ocispec.MediaTypeImageManifest
		if doc.isIndex() {
			doc.MediaType = ocispec.MediaTypeImageIndex
		}
	}
	if !doc.isIndex() && !isImageManifest(doc.MediaType) {
		return doc, fmt.Errorf("its media type %.100q is not that of an image", doc.MediaType)
	}
	return doc, nil
}

func isImageManifest(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageManifest || mediaType == index.MediaTypeDockerManifest
}

func isImageConfig(mediaType string) bool {
	return mediaType == "" || mediaType == ocispec.MediaTypeImageConfig || mediaType == mediaTypeDockerConfig
}

// clone returns a copy whose list is the caller's.
func clone(b *Base) *Base {
	c := *b
	c.Manifests = slices.Clone(b.Manifests)
	for n := range c.Manifests {
		platform := *c.Manifests[n].Platform
		c.Manifests[n].Platform = &platform
	}
	return &c
}
