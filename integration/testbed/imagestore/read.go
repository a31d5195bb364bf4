package imagestore

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Images reads the images of name:tag.
func (s Store) Images(ctx context.Context, name, tag string) ([]Image, error) {
	repository, err := s.repository(ctx, name)
	if err != nil {
		return nil, err
	}
	desc, err := repository.Tags(ctx).Get(ctx, tag)
	if err != nil {
		return nil, fmt.Errorf("finding %s:%s: %w", name, tag, err)
	}
	var index ocispec.Index
	if err := s.readManifest(ctx, name, desc.Digest, &index); err != nil {
		return nil, err
	}
	var images []Image
	for _, child := range index.Manifests {
		var manifest ocispec.Manifest
		if err := s.readManifest(ctx, name, child.Digest, &manifest); err != nil {
			return nil, err
		}
		body, err := repository.Blobs(ctx).Get(ctx, manifest.Config.Digest)
		if err != nil {
			return nil, fmt.Errorf("reading the configuration %s of %q: %w", manifest.Config.Digest, name, err)
		}
		var config ocispec.Image
		if err := json.Unmarshal(body, &config); err != nil {
			return nil, fmt.Errorf("decoding the configuration %s of %q: %w", manifest.Config.Digest, name, err)
		}
		img := Image{Platform: config.Platform, Config: config.Config}
		for i, desc := range manifest.Layers {
			img.Layers = append(img.Layers, Layer{desc, config.RootFS.DiffIDs[i], config.History[i].CreatedBy})
		}
		images = append(images, img)
	}
	return images, nil
}

func (s Store) readManifest(ctx context.Context, name string, dgst digest.Digest, into any) error {
	repository, err := s.repository(ctx, name)
	if err != nil {
		return err
	}
	manifests, err := repository.Manifests(ctx)
	if err != nil {
		return fmt.Errorf("opening the manifests of %q: %w", name, err)
	}
	manifest, err := manifests.Get(ctx, dgst)
	if err != nil {
		return fmt.Errorf("reading the manifest %s of %q: %w", dgst, name, err)
	}
	_, body, err := manifest.Payload()
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		return fmt.Errorf("decoding the manifest %s of %q: %w", dgst, name, err)
	}
	return nil
}
