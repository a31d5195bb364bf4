package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/mabuild/mabuild/builder/registry/internal/patient"
)

// Provider has content.
type Provider interface {
	// Open returns a reader of the content of desc. It may be called again for
	// the same content after a failed upload. The reader is closed by the caller.
	Open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error)
}

// Source is a repository as a [Provider].
type Source struct {
	client *Client
	target target
}

// Source returns the repository of ref for [Client.Copy]. Within one registry
// the blobs of a Source are mounted instead of moved where the registry agrees.
func (c *Client) Source(ref string) (*Source, error) {
	t, err := parse(ref)
	if err != nil {
		return nil, err
	}
	return &Source{client: c, target: t}, nil
}

// Open implements [Provider].
func (s *Source) Open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	return s.client.Open(ctx, s.target.name(), desc)
}

// Copy pushes a manifest or index with everything that it refers to from src to
// ref: blobs first, then manifests by digest, and when the registry shows them
// all, the manifest of desc as [Client.PushManifest] does.
//
// What the repository has already is not sent again. Layers that are meant to be
// fetched from elsewhere (foreign layers with URLs) are left out. Blobs are
// streamed; memory holds a few manifests at most.
//
// To write several tags, copy to a reference with a digest first, for each
// repository, and write the tags with PushManifest when that is done.
func (c *Client) Copy(ctx context.Context, ref string, src Provider, desc ocispec.Descriptor) error {
	mountFrom := ""
	if from, ok := src.(*Source); ok {
		t, err := parse(ref)
		if err != nil {
			return err
		}
		if from.target.domain == t.domain && from.target.repository != t.repository {
			mountFrom = from.target.repository
		}
	}
	return c.copyFrom(ctx, ref, src, desc, mountFrom)
}

// copyFrom is Copy from a source whose blobs are in the repository mountFrom of
// the same registry too, if that isn't empty.
func (c *Client) copyFrom(ctx context.Context, ref string, src Provider, desc ocispec.Descriptor, mountFrom string) error {
	t, err := parse(ref)
	if err != nil {
		return err
	}
	s, err := c.site(t.domain)
	if err != nil {
		return c.fail("pushing", t, err)
	}
	j := &job{
		c: c, host: s.origin(), t: t, src: src, mountFrom: mountFrom,
		blobs:     make(chan struct{}, c.opts.Parallel),
		manifests: make(chan struct{}, c.opts.Parallel),
	}
	// One context for everything: what is cancelled because something else failed
	// reports that as its cause.
	within, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	j.stop = stop
	body, err := j.children(c.begin(within, push), desc, 0)
	if cause := context.Cause(within); cause != nil {
		err = cause
	}
	if err != nil {
		return c.fail("pushing", t, err)
	}
	return c.PushManifest(ctx, ref, desc, body)
}

// job is one Copy.
type job struct {
	c         *Client
	host      docker.RegistryHost
	t         target
	src       Provider
	mountFrom string
	stop      context.CancelCauseFunc
	blobs     chan struct{} // one slot per upload
	manifests chan struct{} // one slot per image
	done      once
}

// children pushes what the manifest of desc refers to, and returns its bytes.
func (j *job) children(ctx context.Context, desc ocispec.Descriptor, depth int) ([]byte, error) {
	if depth > 2 {
		return nil, fmt.Errorf("the index is nested more than %d times", depth-1)
	}
	body, err := j.read(ctx, desc)
	if err != nil {
		return nil, err
	}
	content, err := contentOf(desc.MediaType, body)
	if err != nil {
		return nil, fmt.Errorf("reading the manifest %s: %w", desc.Digest, err)
	}
	var group errgroup.Group
	for _, child := range content {
		if isForeign(child) {
			j.c.opts.Logger.DebugContext(ctx, "leaving out a foreign layer", "digest", child.Digest)
			continue
		}
		group.Go(func() error {
			err := j.done.do(child.Digest.String(), func() error { return j.child(ctx, child, depth) })
			if err != nil {
				j.stop(err)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if isIndex(desc.MediaType) {
		if err := j.c.waitFor(ctx, j.t, content); err != nil {
			return nil, err
		}
	}
	return body, nil
}

// child pushes one blob, or one manifest with what it refers to.
func (j *job) child(ctx context.Context, desc ocispec.Descriptor, depth int) error {
	if err := j.t.checkDigest(desc.Digest); err != nil {
		return err
	}
	// Every operation of its own may wait on its own.
	ctx = patient.WithBudget(ctx, patient.NewBudget(j.c.opts.MaxWait))
	if !isManifest(desc.MediaType) {
		return limited(ctx, j.blobs, func() error { return j.blob(ctx, desc) })
	}
	push := func() error {
		body, err := j.children(ctx, desc, depth+1)
		if err != nil {
			return err
		}
		if err := checkBody(j.t.at(desc.Digest), desc, body); err != nil {
			return err
		}
		return write{c: j.c, host: j.host, t: j.t, desc: desc, body: body}.byDigest(ctx)
	}
	if isIndex(desc.MediaType) {
		return push() // takes no slot while its children wait for one
	}
	return limited(ctx, j.manifests, push)
}

func limited(ctx context.Context, slots chan struct{}, f func() error) error {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
		return f()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// read returns a manifest of the source.
func (j *job) read(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	if desc.Size > MaxManifest {
		return nil, fmt.Errorf("the manifest %s has %d bytes, more than the %d that registries accept", desc.Digest, desc.Size, MaxManifest)
	}
	if err := j.t.checkDigest(desc.Digest); err != nil {
		return nil, err
	}
	reader, err := j.src.Open(ctx, desc)
	if err != nil {
		return nil, fmt.Errorf("opening the manifest %s: %w", desc.Digest, err)
	}
	defer reader.Close()
	body, err := io.ReadAll(io.LimitReader(reader, desc.Size+1))
	if err != nil {
		return nil, fmt.Errorf("reading the manifest %s: %w", desc.Digest, err)
	}
	if int64(len(body)) != desc.Size || desc.Digest.Algorithm().FromBytes(body) != desc.Digest {
		return nil, fmt.Errorf("reading the manifest %s: %w", desc.Digest, ErrDigest)
	}
	return body, nil
}

// blob uploads a blob, or mounts it.
func (j *job) blob(ctx context.Context, desc ocispec.Descriptor) error {
	u := upload{
		c: j.c, host: j.host, t: j.t, desc: desc, mountFrom: j.mountFrom,
		open: func() (io.ReadCloser, error) { return j.open(ctx, desc) },
	}
	err := j.c.retry(ctx, j.t, func(int) error {
		err := u.run(ctx)
		if u.mountFrom != "" && err != nil && transient(err) == nil && ctx.Err() == nil {
			// Whatever the registry has against mounting, case 79: go without.
			u.mountFrom = ""
			err = u.run(ctx)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("uploading the blob %s: %w", desc.Digest, err)
	}
	j.c.markSeen(j.t, desc.Digest.String())
	return nil
}

// open opens a blob of the source. Tiny ones, such as the empty config of an
// artifact, can be part of their descriptor.
func (j *job) open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	if len(desc.Data) > 0 && desc.Digest.Algorithm().FromBytes(desc.Data) == desc.Digest {
		return io.NopCloser(bytes.NewReader(desc.Data)), nil
	}
	return j.src.Open(ctx, desc)
}

// contentOf lists what a manifest or index refers to.
func contentOf(mediaType string, body []byte) ([]ocispec.Descriptor, error) {
	if isIndex(mediaType) {
		var index ocispec.Index
		if err := json.Unmarshal(body, &index); err != nil {
			return nil, err
		}
		return index.Manifests, nil
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(body, &manifest); err != nil {
		return nil, err
	}
	if manifest.Config.Digest == "" {
		return nil, errors.New("it has no config")
	}
	return append([]ocispec.Descriptor{manifest.Config}, manifest.Layers...), nil
}

// isForeign reports whether desc is a layer that stays where its URLs say.
func isForeign(desc ocispec.Descriptor) bool {
	return images.IsNonDistributable(desc.MediaType) && len(desc.URLs) > 0
}
