package join

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/builder/registry"
)

// Image is one platform of an index.
type Image struct {
	// Source is the name of where it comes from.
	Source string
	// Descriptor is its entry, with the platform.
	Descriptor ocispec.Descriptor
	// Attestations are the entries of the attestations that came with it.
	Attestations []ocispec.Descriptor

	// contents are where its manifests come from, with what they refer to.
	contents map[digest.Digest]registry.Provider
	// blobs are the configs and layers that are copied with the manifests.
	blobs []ocispec.Descriptor
}

// Platform is the image's platform as users write it.
func (i *Image) Platform() string { return platforms.FormatAll(*i.Descriptor.Platform) }

// manifests lists the image and its attestations.
func (i *Image) manifests() []ocispec.Descriptor {
	return slices.Concat([]ocispec.Descriptor{i.Descriptor}, i.Attestations)
}

// readImage reads what an entry of an index, or a manifest alone, stands for.
func readImage(ctx context.Context, source Source, desc ocispec.Descriptor) (*Image, error) {
	manifest, err := readManifest(ctx, source.Content, desc)
	if err != nil {
		return nil, fmt.Errorf("reading %s of %s: %w", label(desc), source.Name, err)
	}
	platform, err := configPlatform(ctx, source.Content, manifest)
	if err != nil {
		return nil, fmt.Errorf("reading %s of %s: %w", label(desc), source.Name, err)
	}
	if desc.Platform != nil {
		if platform, err = agree(*desc.Platform, platform); err != nil {
			return nil, fmt.Errorf("%s of %s: %w; build it again, or join the images themselves instead of this index",
				desc.Digest, source.Name, err)
		}
	}
	desc.Platform = &platform
	return &Image{
		Source: source.Name, Descriptor: desc, blobs: blobsOf(manifest),
		contents: map[digest.Digest]registry.Provider{desc.Digest: source.Content},
	}, nil
}

// addAttestation reads an attestation of the image.
func (i *Image) addAttestation(ctx context.Context, source Source, desc ocispec.Descriptor) error {
	if _, known := i.contents[desc.Digest]; known {
		return nil
	}
	manifest, err := readManifest(ctx, source.Content, desc)
	if err != nil {
		return fmt.Errorf("reading the attestation %s of %s in %s: %w", desc.Digest, i.Platform(), source.Name, err)
	}
	if manifest.Subject != nil && manifest.Subject.Digest != i.Descriptor.Digest {
		return fmt.Errorf("the attestation %s of %s in %s is about %s, not about that image; build it again",
			desc.Digest, i.Platform(), source.Name, manifest.Subject.Digest)
	}
	i.Attestations = append(i.Attestations, desc)
	i.contents[desc.Digest] = source.Content
	i.blobs = append(i.blobs, blobsOf(manifest)...)
	return nil
}

// label names an entry for errors: by its platform if it says one.
func label(desc ocispec.Descriptor) string {
	if desc.Platform == nil {
		return desc.Digest.String()
	}
	return fmt.Sprintf("%s (%s)", platforms.FormatAll(*desc.Platform), desc.Digest)
}

func readManifest(ctx context.Context, content registry.Provider, desc ocispec.Descriptor) (ocispec.Manifest, error) {
	var manifest ocispec.Manifest
	body, err := read(ctx, content, desc)
	if errors.Is(err, registry.ErrNotFound) {
		// Cleaners delete what has no tag, also children of indexes (case 83).
		return manifest, fmt.Errorf("its manifest is gone, perhaps by a cleanup of untagged images: %w; push it again", err)
	}
	if err != nil {
		return manifest, err
	}
	if err := json.Unmarshal(body, &manifest); err != nil {
		return manifest, fmt.Errorf("its manifest: %w", err)
	}
	if manifest.MediaType != "" && manifest.MediaType != desc.MediaType {
		return manifest, fmt.Errorf("it is listed as %q but says to be %q; build it again", desc.MediaType, manifest.MediaType)
	}
	if err := manifest.Config.Digest.Validate(); err != nil {
		return manifest, fmt.Errorf("its manifest has no config: %w", err)
	}
	return manifest, nil
}

// blobsOf lists what is copied with a manifest: not layers that stay where their URLs
// say.
func blobsOf(manifest ocispec.Manifest) []ocispec.Descriptor {
	list := []ocispec.Descriptor{manifest.Config}
	for _, layer := range manifest.Layers {
		if !images.IsNonDistributable(layer.MediaType) || len(layer.URLs) == 0 {
			list = append(list, layer)
		}
	}
	return list
}

// configPlatform returns the platform for which an image was made.
func configPlatform(ctx context.Context, content registry.Provider, manifest ocispec.Manifest) (ocispec.Platform, error) {
	if kind := manifest.Config.MediaType; kind != ocispec.MediaTypeImageConfig && kind != dockerConfig {
		return ocispec.Platform{}, fmt.Errorf("it is an artifact of type %q and no image; leave it out",
			cmp.Or(manifest.ArtifactType, kind))
	}
	for _, layer := range manifest.Layers {
		if layer.MediaType == "application/vnd.in-toto+json" {
			return ocispec.Platform{}, errors.New("it is an attestation and no image; name the index that has both")
		}
	}
	body, err := read(ctx, content, manifest.Config)
	if err != nil {
		return ocispec.Platform{}, fmt.Errorf("its config: %w", err)
	}
	var platform ocispec.Platform
	if err := json.Unmarshal(body, &platform); err != nil {
		return ocispec.Platform{}, fmt.Errorf("its config: %w", err)
	}
	if platform.OS == "" || platform.Architecture == "" || platform.OS == "unknown" || platform.Architecture == "unknown" {
		return ocispec.Platform{}, errors.New("its config names no platform; build it with a platform")
	}
	return platform, nil
}

// agree completes the platform of an index's entry by that of the image's config. It
// is an error if they contradict each other.
func agree(listed, config ocispec.Platform) (ocispec.Platform, error) {
	contradiction := func(a, b string) bool { return a != "" && b != "" && a != b }
	l, c := platforms.Normalize(listed), platforms.Normalize(config)
	lie := l.OS != c.OS || l.Architecture != c.Architecture ||
		listed.Variant != "" && config.Variant != "" && l.Variant != c.Variant ||
		contradiction(listed.OSVersion, config.OSVersion)
	if lie {
		return ocispec.Platform{}, fmt.Errorf("it is listed as %s, but its config is for %s",
			platforms.FormatAll(listed), platforms.FormatAll(config))
	}
	if listed.Variant == "" && config.Variant != "" && c.Variant != "" {
		// Not for arm64's v8, which is the same without it: the entry stays as it was.
		listed.Variant = config.Variant
	}
	listed.OSVersion = cmp.Or(listed.OSVersion, config.OSVersion)
	if len(listed.OSFeatures) == 0 {
		listed.OSFeatures = config.OSFeatures
	}
	return listed, nil
}

// key is equal for platforms that a puller can't tell apart.
func key(platform ocispec.Platform) string { return platforms.FormatAll(platforms.Normalize(platform)) }

// matches reports whether an image's platform is what a user means by want.
func matches(want, have ocispec.Platform) bool {
	w, h := platforms.Normalize(want), platforms.Normalize(have)
	return w.OS == h.OS && w.Architecture == h.Architecture && w.Variant == h.Variant &&
		(want.OSVersion == "" || want.OSVersion == have.OSVersion)
}

// attests returns the image among images that an attestation is about.
func attests(desc ocispec.Descriptor, list []*Image) *Image {
	subject, _ := index.Subject(desc)
	at := slices.IndexFunc(list, func(image *Image) bool { return image.Descriptor.Digest == subject })
	if at < 0 {
		return nil
	}
	return list[at]
}
