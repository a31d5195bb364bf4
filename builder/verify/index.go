package verify

import (
	"context"
	"encoding/json"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/mabuild/mabuild/builder/index"
)

// Index verifies all images of an index, or the one image if root is a manifest.
// Attestations are left out. The reports are in the index's order. It ends with the
// first image that cannot be verified; the error is as that of [Image].
func Index(ctx context.Context, src Source, root ocispec.Descriptor, opts Options) ([]*Report, error) {
	switch root.MediaType {
	case ocispec.MediaTypeImageManifest, index.MediaTypeDockerManifest:
		return Images(ctx, src, []ocispec.Descriptor{root}, opts)
	}
	s, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	var body json.RawMessage
	if err := (&image{settings: s, src: src}).document(ctx, root, &body); err != nil {
		return nil, &ImageError{Digest: root.Digest, Err: fmt.Errorf("reading the index: %w", err)}
	}
	images, err := imagesOf(root, body)
	if err != nil {
		return nil, &ImageError{Digest: root.Digest, Err: err}
	}
	return s.images(ctx, src, images)
}

// Images verifies several images, as a build made them, in one go. Attestations
// are left out.
func Images(ctx context.Context, src Source, manifests []ocispec.Descriptor, opts Options) ([]*Report, error) {
	s, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	var images []ocispec.Descriptor
	for _, m := range manifests {
		if _, attestation := index.Subject(m); !attestation {
			images = append(images, m)
		}
	}
	return s.images(ctx, src, images)
}

func (s *settings) images(ctx context.Context, src Source, manifests []ocispec.Descriptor) ([]*Report, error) {
	reports := make([]*Report, len(manifests))
	group, ctx := errgroup.WithContext(ctx)
	// Each image holds its view, so that there are not more than can be busy.
	group.SetLimit(s.Parallel)
	for i, m := range manifests {
		group.Go(func() (err error) {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			reports[i], err = s.image(ctx, src, m)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return reports, nil
}
