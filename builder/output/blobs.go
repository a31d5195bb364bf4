package output

import (
	"context"
	"crypto/rand"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
)

// blobs is the content of a layout. containerd's store locks what is being written
// within a process only, and lets a second writer go on where the first one is; two
// builds that write the same blob at once would get in each other's way. So every
// blobs writes under references of its own. Who ends first keeps the blob.
type blobs struct {
	content.Store
	suffix string
}

func newBlobs(store content.Store) *blobs {
	return &blobs{Store: store, suffix: "@" + rand.Text()}
}

// Writer implements [content.Ingester].
func (b *blobs) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	return b.Store.Writer(ctx, append(opts, func(o *content.WriterOpts) error {
		if o.Ref != "" {
			o.Ref += b.suffix
		}
		return nil
	})...)
}

// Abort implements [content.IngestManager].
func (b *blobs) Abort(ctx context.Context, ref string) error { return b.Store.Abort(ctx, ref+b.suffix) }

// Status implements [content.IngestManager].
func (b *blobs) Status(ctx context.Context, ref string) (content.Status, error) {
	status, err := b.Store.Status(ctx, ref+b.suffix)
	status.Ref = strings.TrimSuffix(status.Ref, b.suffix)
	return status, err
}
