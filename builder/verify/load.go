package verify

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/mabuild/mabuild/builder/verify/internal/layer"
)

// load reads the layers, each once, several at a time.
func (m *image) load(ctx context.Context) ([]*layer.Layer, error) {
	layers := make([]*layer.Layer, len(m.manifest.Layers))
	var cached, entries, records atomic.Int64
	group, reading := errgroup.WithContext(ctx)
	for i, desc := range m.manifest.Layers {
		// A place is taken before the goroutine is made: a manifest may list
		// thousands of layers.
		select {
		case m.slots <- struct{}{}:
		case <-reading.Done():
			continue
		}
		group.Go(func() error {
			defer func() { <-m.slots }()
			l, hit, err := m.layer(reading, desc, m.config.RootFS.DiffIDs[i])
			if err == nil && (entries.Add(int64(l.Entries())) > int64(m.Limits.Entries) || records.Add(int64(l.Records())) > int64(m.Limits.Records)) {
				err = fmt.Errorf("%w: the image has more than %d files, or %d programs, scripts and links", ErrLimit, m.Limits.Entries, m.Limits.Records)
			}
			if err != nil {
				return &ImageError{Platform: m.report.Platform, Layer: i + 1, Digest: desc.Digest, Err: err}
			}
			if hit {
				cached.Add(1)
			}
			layers[i] = l
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	for _, l := range layers {
		m.report.Files += l.Files
	}
	m.report.Cached = int(cached.Load())
	return layers, nil
}

// layer returns one layer, from the cache if it has been read before.
func (m *image) layer(ctx context.Context, desc ocispec.Descriptor, diffID digest.Digest) (*layer.Layer, bool, error) {
	if !isLayer(desc.MediaType) {
		return nil, false, fmt.Errorf("%w: there is no way to read its media type %q", ErrFormat, desc.MediaType)
	}
	if l, ok := m.cache.get(desc.Digest, diffID); ok {
		return l, true, nil
	}
	blob, err := m.src.Open(ctx, desc)
	if err != nil {
		return nil, false, err
	}
	defer blob.Close()
	l, err := m.reader.Read(ctx, blob, desc, diffID)
	if err != nil {
		return nil, false, err
	}
	m.cache.put(desc.Digest, diffID, l)
	return l, false, nil
}

// isLayer leaves the compression open, which the content tells better.
func isLayer(mediaType string) bool {
	return strings.HasPrefix(mediaType, "application/vnd.oci.image.layer.") && !strings.HasSuffix(mediaType, "+encrypted") ||
		strings.HasPrefix(mediaType, "application/vnd.docker.image.rootfs.")
}
