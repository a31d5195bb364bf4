package buildkit

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/content/proxy"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Open returns a reader of a blob that the daemon has, such as a layer of an image
// that it just made; the caller closes it. A daemon keeps layers as long as the
// cache, manifests and configurations not for long. The error for what it does not
// have satisfies errdefs.IsNotFound.
func (n *Node) Open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	blob, err := proxy.NewContentStore(n.client.ContentClient()).ReaderAt(ctx, desc)
	if err != nil {
		return nil, fmt.Errorf("opening %s in the BuildKit daemon: %w", desc.Digest, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{content.NewReader(blob), blob}, nil
}
