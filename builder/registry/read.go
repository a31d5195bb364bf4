package registry

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Resolve returns the descriptor of the manifest or index to which ref points.
// Mirrors are asked before the registry. The error matches [ErrNotFound] if
// there is nothing.
//
// It asks by HEAD, which Docker Hub doesn't count as a pull, so that the digest
// of a tag is what the registry says. [Client.Fetch] verifies it.
func (c *Client) Resolve(ctx context.Context, ref string) (ocispec.Descriptor, error) {
	t, err := parse(ref)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	var desc ocispec.Descriptor
	err = c.reading(ctx, t, func(ctx context.Context, s *site) error {
		desc, err = fromAny(s.pull, func(host docker.RegistryHost) (ocispec.Descriptor, error) {
			return c.head(ctx, host, t, t.object())
		})
		return err
	})
	return desc, c.fail("resolving", t, err)
}

// Fetch returns the content of desc, which is in the repository of ref. It is
// meant for manifests and configs: more than [MaxManifest] is an error. Content
// that isn't what its digest says is asked for once more, then the error matches
// [ErrDigest].
func (c *Client) Fetch(ctx context.Context, ref string, desc ocispec.Descriptor) ([]byte, error) {
	t, err := parse(ref)
	if err != nil {
		return nil, err
	}
	t = t.at(desc.Digest)
	if err := t.checkDigest(desc.Digest); err != nil {
		return nil, c.fail("fetching", t, err)
	}
	if desc.Size > MaxManifest {
		return nil, c.fail("fetching", t, fmt.Errorf("its size is given as %d bytes, more than %d", desc.Size, MaxManifest))
	}
	var body []byte
	read := func(ctx context.Context, s *site) error {
		if desc.MediaType == "" || isManifest(desc.MediaType) {
			body, err = fromAny(s.pull, func(host docker.RegistryHost) ([]byte, error) {
				_, got, err := c.get(ctx, host, t, t.object())
				return got, err
			})
		} else {
			body, err = c.readBlob(ctx, s, t, desc)
		}
		return err
	}
	err = c.reading(ctx, t, func(ctx context.Context, s *site) error {
		if err := read(ctx, s); !errors.Is(err, ErrDigest) {
			return err
		}
		return read(ctx, s)
	})
	if err == nil && desc.Size > 0 && int64(len(body)) != desc.Size {
		err = fmt.Errorf("%w: %d bytes instead of %d", ErrDigest, len(body), desc.Size)
	}
	if err != nil {
		return nil, c.fail("fetching", t, err)
	}
	return body, nil
}

func (c *Client) readBlob(ctx context.Context, s *site, t target, desc ocispec.Descriptor) ([]byte, error) {
	reader, err := c.openBlob(ctx, s, t, desc)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return io.ReadAll(reader)
}

// Open returns a reader of the content of desc, which is in the repository of
// ref. A connection that breaks is taken up where it stopped. The last read
// reports an error that matches [ErrDigest] instead of io.EOF if the content
// isn't what its digest and size say, so nothing that was read may be used
// before. The caller closes the reader.
func (c *Client) Open(ctx context.Context, ref string, desc ocispec.Descriptor) (io.ReadCloser, error) {
	t, err := parse(ref)
	if err != nil {
		return nil, err
	}
	t = t.at(desc.Digest)
	if err := t.checkDigest(desc.Digest); err != nil {
		return nil, c.fail("reading", t, err)
	}
	var reader io.ReadCloser
	err = c.reading(ctx, t, func(ctx context.Context, s *site) error {
		reader, err = c.openBlob(ctx, s, t, desc)
		return err
	})
	if err != nil {
		return nil, c.fail("reading", t, err)
	}
	return &describedReader{ReadCloser: reader, describe: func(err error) error { return c.fail("reading", t, err) }}, nil
}

// reading runs f with retries.
func (c *Client) reading(ctx context.Context, t target, f func(context.Context, *site) error) error {
	s, err := c.site(t.domain)
	if err != nil {
		return err
	}
	ctx = c.begin(ctx, pull)
	return c.retry(ctx, t, func(int) error { return f(ctx, s) })
}

// fromAny asks hosts one after the other. Only the last one's error counts: it
// is the registry itself, the others are mirrors, which needn't have everything.
func fromAny[T any](hosts []docker.RegistryHost, ask func(docker.RegistryHost) (T, error)) (got T, err error) {
	for _, host := range hosts {
		if got, err = ask(host); err == nil {
			return got, nil
		}
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			break
		}
	}
	return got, err
}

// openBlob opens content through containerd's fetcher, which asks mirrors first
// and resumes broken downloads.
func (c *Client) openBlob(ctx context.Context, s *site, t target, desc ocispec.Descriptor) (io.ReadCloser, error) {
	resolver := docker.NewResolver(docker.ResolverOptions{
		Hosts: func(string) ([]docker.RegistryHost, error) { return s.pull, nil },
	})
	fetcher, err := resolver.Fetcher(ctx, t.name()+"@"+desc.Digest.String())
	if err != nil {
		return nil, err
	}
	mediaType := desc.MediaType
	if mediaType == "" {
		mediaType = ocispec.MediaTypeImageManifest
	}
	// URLs of the descriptor are left out: containerd would ask them first, with
	// a client that knows nothing of this package's rules.
	raw, err := fetcher.Fetch(ctx, ocispec.Descriptor{MediaType: mediaType, Digest: desc.Digest, Size: desc.Size})
	if err != nil {
		return nil, err
	}
	// The fetcher asks at the first read.
	buffered := bufio.NewReader(raw)
	if _, err := buffered.Peek(1); err != nil && !errors.Is(err, io.EOF) {
		_ = raw.Close()
		return nil, pastEnd(err, desc)
	}
	return &verifiedReader{Reader: buffered, Closer: raw, desc: desc, verifier: desc.Digest.Verifier()}, nil
}

// verifiedReader turns io.EOF into an error if what was read isn't desc.
type verifiedReader struct {
	io.Reader
	io.Closer
	desc     ocispec.Descriptor
	verifier digest.Verifier
	size     int64
}

func (r *verifiedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.size += int64(n)
	_, _ = r.verifier.Write(p[:n])
	if !errors.Is(err, io.EOF) {
		return n, pastEnd(err, r.desc)
	}
	if r.size != r.desc.Size {
		return n, fmt.Errorf("%w: it ends after %d of %d bytes", ErrDigest, r.size, r.desc.Size)
	}
	if !r.verifier.Verified() {
		return n, fmt.Errorf("%w: %s is something else", ErrDigest, r.desc.Digest)
	}
	return n, io.EOF
}

// pastEnd recognises how containerd's fetcher reports content that is longer than
// it should be.
func pastEnd(err error, desc ocispec.Descriptor) error {
	if errdefs.IsFailedPrecondition(err) {
		return fmt.Errorf("%w: it is longer than %d bytes", ErrDigest, desc.Size)
	}
	return err
}

// describedReader gives the errors of a reader their place.
type describedReader struct {
	io.ReadCloser
	describe func(error) error
}

func (r *describedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // a reader returns io.EOF itself
		err = r.describe(err)
	}
	return n, err
}
