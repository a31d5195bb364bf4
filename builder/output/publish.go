package output

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
)

// Registry is what a [Pusher] needs of a registry client.
type Registry interface {
	// WaitFor returns when the repository of ref has all the manifests.
	WaitFor(ctx context.Context, ref string, manifests ...ocispec.Descriptor) error
	// Fetch returns a manifest of ref's repository.
	Fetch(ctx context.Context, ref string, desc ocispec.Descriptor) ([]byte, error)
	// PushManifest writes a manifest under ref and makes sure that ref leads to it.
	PushManifest(ctx context.Context, ref string, desc ocispec.Descriptor, body []byte) error
}

// join returns what several platforms' manifests are published as. One image
// without attestations stays what it is: consumers like AWS Lambda take no index
// (case 60).
func (a *Annotations) join(ctx context.Context, manifests []ocispec.Descriptor, fetch func(context.Context, ocispec.Descriptor) ([]byte, error)) (ocispec.Descriptor, []byte, error) {
	switch len(manifests) {
	case 0:
		return ocispec.Descriptor{}, nil, errors.New("the build made no image")
	case 1:
		body, err := fetch(ctx, manifests[0])
		return manifests[0], body, err
	}
	root, body, err := index.Join(manifests, index.Options{Annotations: a.Index})
	root.Annotations = a.Descriptor
	return root, body, err
}

// Annotations are what an index is published with; one image alone has none of them.
type Annotations struct {
	// Index are those of the index itself.
	Index map[string]string
	// Descriptor are those of the index's entry in a layout. A registry has no place
	// for them.
	Descriptor map[string]string
}

// Pusher publishes to registries that already have the platforms' images.
type Pusher struct {
	Registry Registry
	// Names are the references to write; at least one.
	Names []string
	// Annotations are for the index.
	Annotations Annotations
	// ByDigest writes no tag: the names are repositories, and what is published has its
	// digest there as its only name.
	ByDigest bool
	// Attest brings an attestation to ref, a repository and a digest. Nil is for those
	// that the repositories have already.
	Attest func(ctx context.Context, ref string, desc ocispec.Descriptor) error
}

// PartialError says which names were written before one could not be.
type PartialError struct {
	Done, Left []string
	Err        error
}

func (e *PartialError) Error() string {
	return fmt.Sprintf("%v\nWritten: %s. Not written: %s. Run the command again to finish.",
		e.Err, strings.Join(e.Done, ", "), strings.Join(e.Left, ", "))
}

func (e *PartialError) Unwrap() error { return e.Err }

// grace is how long names are still written after an interrupt. All or none of them is
// better than some, and of one alone it would not be known whether it was written.
const grace = 3 * time.Second

// outlast returns a context that ends a while after ctx, for the same reason.
func outlast(ctx context.Context, grace time.Duration) (context.Context, func()) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(grace):
			cancel(context.Cause(ctx))
		case <-longer.Done():
		}
	})
	return longer, func() {
		stop()
		cancel(nil)
	}
}

// Publish writes every name once, last, after all repositories have all images. Once
// it has begun to write names, it goes on for some seconds after the end of ctx.
func (p *Pusher) Publish(ctx context.Context, manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	if len(p.Names) == 0 {
		return ocispec.Descriptor{}, errors.New("pushing needs a name: add -t REGISTRY/NAME:TAG")
	}
	repositories, err := p.Gather(ctx, manifests)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	root, body, err := p.Annotations.join(ctx, manifests, func(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
		return p.Registry.Fetch(ctx, p.Names[0], desc)
	})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if cause := context.Cause(ctx); cause != nil {
		return ocispec.Descriptor{}, cause
	}
	ctx, done := outlast(ctx, grace)
	defer done()
	names := p.Names
	if p.ByDigest {
		names = nil
		for _, repository := range repositories {
			names = append(names, repository+"@"+root.Digest.String())
		}
	}
	for i, name := range names {
		if err := p.Registry.PushManifest(ctx, name, root, body); err != nil {
			if i > 0 {
				err = &PartialError{Done: names[:i], Left: names[i:], Err: err}
			}
			return ocispec.Descriptor{}, err
		}
	}
	return root, nil
}

// Gather waits until every repository has the manifests, attestations included, and
// returns the repositories. No name is written.
func (p *Pusher) Gather(ctx context.Context, manifests []ocispec.Descriptor) ([]string, error) {
	repositories, err := Repositories(p.Names)
	if err != nil {
		return nil, err
	}
	for _, repository := range repositories {
		if err := p.attest(ctx, repository, manifests); err != nil {
			return nil, err
		}
		if err := p.Registry.WaitFor(ctx, repository, manifests...); err != nil {
			return nil, err
		}
	}
	return repositories, nil
}

// attest brings the attestations among the manifests to a repository.
func (p *Pusher) attest(ctx context.Context, repository string, manifests []ocispec.Descriptor) error {
	if p.Attest == nil {
		return nil
	}
	for _, desc := range manifests {
		if _, ok := index.Subject(desc); !ok {
			continue
		}
		if err := p.Attest(ctx, repository+"@"+desc.Digest.String(), desc); err != nil {
			return err
		}
	}
	return nil
}

// Repositories returns the names' repositories without tags, each once.
func Repositories(names []string) ([]string, error) {
	var list []string
	seen := map[string]bool{}
	for _, name := range names {
		ref, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return nil, fmt.Errorf("reading the name %q: %w", name, err)
		}
		if repository := ref.Name(); !seen[repository] {
			seen[repository] = true
			list = append(list, repository)
		}
	}
	return list, nil
}

// Keeper publishes to a layout.
type Keeper struct {
	// Layout has the platforms' blobs already, unless From has them.
	Layout *Layout
	// From is another layout that has the platforms' blobs; nil is Layout.
	From *Layout
	// Names are the references to keep the image under; none keeps its digest.
	Names []string
	// Annotations are for the index.
	Annotations Annotations
}

// Publish adds the image to the layout's entries.
func (k *Keeper) Publish(ctx context.Context, manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	root, err := k.assemble(ctx, manifests)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if k.From != nil && k.From != k.Layout {
		release, err := k.Layout.Use()
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		defer func() { _ = release() }()
		if err := k.Layout.Copy(ctx, k.From, root); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	return root, k.Layout.Add(root, k.Names...)
}

// assemble makes one image of the manifests where their blobs are.
func (k *Keeper) assemble(ctx context.Context, manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	layout := k.From
	if layout == nil {
		layout = k.Layout
	}
	root, body, err := k.Annotations.join(ctx, manifests, func(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
		return content.ReadBlob(ctx, layout.Blobs(), desc)
	})
	if err == nil && len(manifests) > 1 {
		err = layout.Write(ctx, root, body)
	}
	return root, err
}
