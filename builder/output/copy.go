package output

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Copy brings an image and all that it leads to into the layout. What the layout has
// already is not copied again. Add makes it findable.
func (l *Layout) Copy(ctx context.Context, from *Layout, root ocispec.Descriptor) error {
	children := images.ChildrenHandler(from.blobs)
	var missing []ocispec.Descriptor
	handler := images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		missing = append(missing, desc)
		return children(ctx, desc)
	})
	if err := images.Walk(ctx, handler, root); err != nil {
		return fmt.Errorf("copying %s: %w", root.Digest, err)
	}
	for i := range missing { // blobs before the manifests that lead to them
		desc := missing[len(missing)-1-i]
		if err := l.copyBlob(ctx, from, desc); err != nil {
			return fmt.Errorf("copying %s: %w", desc.Digest, err)
		}
	}
	return nil
}

func (l *Layout) copyBlob(ctx context.Context, from *Layout, desc ocispec.Descriptor) error {
	if _, err := l.blobs.Info(ctx, desc.Digest); err == nil {
		return nil
	}
	blob, err := from.blobs.ReaderAt(ctx, desc)
	if err != nil {
		return err
	}
	defer blob.Close()
	ref := strings.ReplaceAll(desc.Digest.String(), ":", "-")
	return content.WriteBlob(ctx, l.blobs, ref, content.NewReader(blob), desc)
}
