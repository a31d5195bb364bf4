package output

import (
	"context"
	"errors"
	"fmt"
	"strings"

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

// Publish writes every name once, last, after all repositories have all images.
func (p *Pusher) Publish(ctx context.Context, manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	if len(p.Names) == 0 {
		return ocispec.Descriptor{}, errors.New("pushing needs a name: add -t REGISTRY/NAME:TAG")
	}
	repositories, err := Repositories(p.Names)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	for _, repository := range repositories {
		if err := p.Registry.WaitFor(ctx, repository, manifests...); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	root, body, err := p.Annotations.join(ctx, manifests, func(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
		return p.Registry.Fetch(ctx, p.Names[0], desc)
	})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	for i, name := range p.Names {
		if err := p.Registry.PushManifest(ctx, name, root, body); err != nil {
			if i > 0 {
				err = &PartialError{Done: p.Names[:i], Left: p.Names[i:], Err: err}
			}
			return ocispec.Descriptor{}, err
		}
	}
	return root, nil
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

// Keeper publishes to a layout that already has the platforms' blobs.
type Keeper struct {
	Layout *Layout
	// Names are the references to keep the image under; none keeps its digest.
	Names []string
	// Annotations are for the index.
	Annotations Annotations
}

// Publish adds the image to the layout's entries.
func (k *Keeper) Publish(ctx context.Context, manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	root, body, err := k.Annotations.join(ctx, manifests, func(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
		return content.ReadBlob(ctx, k.Layout.Blobs(), desc)
	})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if len(manifests) > 1 {
		if err := k.Layout.Write(ctx, root, body); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	return root, k.Layout.Add(root, k.Names...)
}
