package layer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const bufferSize = 64 << 10

// Reader reads layers. It is safe for concurrent use.
type Reader struct {
	Limits Limits

	large sync.Mutex // held while a layer with a large window is decoded
}

// Read reads the layer in blob, whose descriptor and diff ID are given, to its
// end. The error matches [ErrLimit], [ErrDigest] or [ErrFormat], or is that of
// blob or ctx.
func (r *Reader) Read(ctx context.Context, blob io.Reader, desc ocispec.Descriptor, diffID digest.Digest) (*Layer, error) {
	if err := errors.Join(desc.Digest.Validate(), diffID.Validate()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDigest, err)
	}
	raw := &checked{
		ctx: ctx, r: blob, hash: desc.Digest.Algorithm().Hash(), most: desc.Size,
		over: fmt.Errorf("%w: it is longer than %d bytes", ErrDigest, desc.Size),
	}
	in := bufio.NewReaderSize(raw, bufferSize)
	plain, done, err := r.decompress(in)
	if err != nil {
		return nil, explain(err, raw)
	}
	defer done()
	most := r.Limits.inflated(desc.Size)
	files := &checked{
		ctx: ctx, r: plain, hash: diffID.Algorithm().Hash(), most: most,
		over: limitf("its %d bytes inflate to more than %d", desc.Size, most),
	}
	s := newScanner(r.Limits, most)
	err = s.scan(bufio.NewReaderSize(files, bufferSize))
	// Padding after the archive's end belongs to the layer, and what follows the
	// compressed data belongs to the blob.
	if err == nil {
		_, err = io.Copy(io.Discard, files)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	if err != nil {
		return nil, explain(err, raw, files)
	}
	if raw.n != desc.Size || !raw.is(desc.Digest) {
		return nil, fmt.Errorf("%w: %d bytes are not the %d of %s", ErrDigest, raw.n, desc.Size, desc.Digest)
	}
	if !files.is(diffID) {
		return nil, fmt.Errorf("%w: its files are not those of diff ID %s", ErrDigest, diffID)
	}
	return s.layer(), nil
}

// decompress tells compressions apart by their first bytes, as engines do.
func (r *Reader) decompress(in *bufio.Reader) (io.Reader, func(), error) {
	magic, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: gunzip: %w", ErrFormat, err)
		}
		return z, func() { _ = z.Close() }, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}),
		len(magic) == 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:], []byte{0x2a, 0x4d, 0x18}):
		return r.unzstd(in)
	default:
		return in, func() {}, nil
	}
}

func (r *Reader) unzstd(in *bufio.Reader) (io.Reader, func(), error) {
	head, err := in.Peek(zstd.HeaderMaxSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	var first zstd.Header
	unlock, window := func() {}, uint64(smallWindow)
	if err := first.Decode(head); err != nil || first.Skippable || windowOf(first) > smallWindow {
		r.large.Lock()
		unlock, window = r.large.Unlock, maxWindow
	}
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
	if err != nil {
		unlock()
		return nil, nil, fmt.Errorf("%w: zstd: %w", ErrFormat, err)
	}
	return z, func() { z.Close(); unlock() }, nil
}

func windowOf(h zstd.Header) uint64 {
	if h.SingleSegment {
		return h.FrameContentSize
	}
	return h.WindowSize
}

// checked hashes and counts what it reads, up to a bound. It remembers what
// stopped it, which the readers above may have put in other words.
type checked struct {
	ctx  context.Context //nolint:containedctx // io.Reader has none
	r    io.Reader
	hash hash.Hash
	n    int64
	most int64
	over error
	err  error
}

func (c *checked) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if cause := context.Cause(c.ctx); cause != nil {
		c.err = cause
		return 0, cause
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	_, _ = c.hash.Write(p[:n])
	if c.n > c.most {
		err = c.over
	}
	if err != nil {
		c.err = err
	}
	return n, err
}

func (c *checked) is(want digest.Digest) bool {
	return digest.NewDigest(want.Algorithm(), c.hash) == want
}

// explain returns what stopped the first of the readers that something stopped,
// or else err.
func explain(err error, readers ...*checked) error {
	for i, c := range readers {
		switch {
		case c.err == nil || errors.Is(c.err, io.EOF):
			continue
		case i == 0 || errors.Is(c.err, ErrLimit) || errors.Is(c.err, context.Cause(c.ctx)):
			return c.err // the source's own
		case errors.Is(c.err, zstd.ErrWindowSizeExceeded), errors.Is(c.err, zstd.ErrDecoderSizeExceeded):
			return limitf("its zstd window is larger than %d MiB; compress it with a lower level", maxWindow>>20)
		default:
			return fmt.Errorf("%w: decompressing: %w", ErrFormat, c.err)
		}
	}
	return err
}
