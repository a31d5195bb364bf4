package builder

import (
	"context"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Publishers publish to one place after the other. What a registry gets should come
// last: names that others see move when everything else is done.
type Publishers []Publisher

// Publish satisfies [Publisher], as far as several can: what was published before one
// fails stays. It returns the first thing that one made.
func (all Publishers) Publish(ctx context.Context, manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	var first ocispec.Descriptor
	for i, publisher := range all {
		root, err := publisher.Publish(ctx, manifests)
		if err != nil {
			if i > 0 {
				err = fmt.Errorf("%w\nThe outputs before this one are complete (%d of %d).", err, i, len(all))
			}
			return ocispec.Descriptor{}, err
		}
		if first.Digest == "" {
			first = root
		}
	}
	return first, nil
}
