package join

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/mabuild/mabuild/builder/registry"
)

// Target writes to registries. *registry.Client is one.
type Target interface {
	// Copy pushes desc with everything that it refers to. ref has its digest.
	Copy(ctx context.Context, ref string, src registry.Provider, desc ocispec.Descriptor) error
	// WaitFor returns when the repository of ref shows all of descs.
	WaitFor(ctx context.Context, ref string, descs ...ocispec.Descriptor) error
	// PushManifest writes a manifest under the tag of ref and reads it back. A tag
	// that leads to it already is left alone.
	PushManifest(ctx context.Context, ref string, desc ocispec.Descriptor, body []byte) error
}

// Lookup reads from registries. *registry.Client is one.
type Lookup interface {
	// Resolve returns what ref leads to; the error matches registry.ErrNotFound if
	// that is nothing.
	Resolve(ctx context.Context, ref string) (ocispec.Descriptor, error)
	// Missing returns what the repository of ref lacks of descs.
	Missing(ctx context.Context, ref string, descs ...ocispec.Descriptor) ([]ocispec.Descriptor, error)
	// Source returns the repository of ref as a source for Target.Copy.
	Source(ref string) (*registry.Source, error)
}

// Tag is a name of the index.
type Tag struct {
	// Name is the full reference, REGISTRY/NAME:TAG.
	Name string
	// Before is what it led to when it was looked up, empty if there was nothing.
	Before digest.Digest

	domain, repository string
}

// Tags looks up where the names lead before anything is done. A name that is no
// reference with a tag is an error that matches [ErrSources]; without a tag, latest is
// meant, and each name counts once.
func Tags(ctx context.Context, at Lookup, names []string) ([]Tag, error) {
	var tags []Tag
	for _, name := range names {
		tag, err := parseTag(name)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(tags, func(other Tag) bool { return other.Name == tag.Name }) {
			continue
		}
		tags = append(tags, tag)
	}
	for i := range tags {
		var err error
		if tags[i].Before, err = lookUp(ctx, at, tags[i].Name); err != nil {
			return nil, err
		}
	}
	return tags, nil
}

func parseTag(name string) (Tag, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return Tag{}, choicef("the name %q: %v; write REGISTRY/NAME:TAG", name, err)
	}
	if _, ok := named.(reference.Digested); ok {
		return Tag{}, choicef("the name %q has a digest, which an index gets from its content; write REGISTRY/NAME:TAG", name)
	}
	named = reference.TagNameOnly(named)
	return Tag{Name: named.String(), domain: reference.Domain(named), repository: named.Name()}, nil
}

// lookUp returns the digest to which a name leads, empty for none. Some registries
// let nobody ask about a repository that is not there yet.
func lookUp(ctx context.Context, at Lookup, name string) (digest.Digest, error) {
	desc, err := at.Resolve(ctx, name)
	var refusal *registry.Error
	denied := errors.As(err, &refusal) && (refusal.Status == http.StatusUnauthorized || refusal.Status == http.StatusForbidden)
	if errors.Is(err, registry.ErrNotFound) || denied {
		return "", nil // a push says what is wrong, if anything is
	}
	return desc.Digest, err
}

// Push copies what the tags' repositories lack and then writes the tags. The error is
// a [*PartialError] if some tags were written and others were not.
func (p *Plan) Push(ctx context.Context, to Target, at Lookup, tags []Tag) error {
	// Registries one beside the other, repositories of a registry one after the other:
	// what the first one has can be mounted by the next.
	group, within := errgroup.WithContext(ctx)
	for _, repositories := range byRegistry(tags) {
		group.Go(func() error {
			for i, repository := range repositories {
				var mount *registry.Source
				if i > 0 {
					var err error
					if mount, err = at.Source(repositories[0]); err != nil {
						return err
					}
				}
				if err := p.copyTo(within, to, repository, mount); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, tag := range tags {
		if err := p.write(ctx, to, at, tag); err != nil {
			if i > 0 {
				err = &PartialError{Done: tagNames(tags[:i]), Left: tagNames(tags[i:]), Err: err}
			}
			return err
		}
	}
	return nil
}

func tagNames(tags []Tag) []string {
	names := make([]string, 0, len(tags))
	for _, tag := range tags {
		names = append(names, tag.Name)
	}
	return names
}

// byRegistry groups the tags' repositories, each once, in the order of the tags.
func byRegistry(tags []Tag) [][]string {
	var groups [][]string
	position := map[string]int{}
	for _, tag := range tags {
		at, ok := position[tag.domain]
		if !ok {
			at = len(groups)
			position[tag.domain] = at
			groups = append(groups, nil)
		}
		if !slices.Contains(groups[at], tag.repository) {
			groups[at] = append(groups[at], tag.repository)
		}
	}
	return groups
}

// copyTo copies the images to a repository and waits until it shows them. From mount,
// if any, everything can be had.
func (p *Plan) copyTo(ctx context.Context, to Target, repository string, mount *registry.Source) error {
	finished := make([]chan struct{}, len(p.Images))
	group, within := errgroup.WithContext(ctx)
	slots := make(chan struct{}, parallel)
	lastUser := map[digest.Digest]int{}
	for i, image := range p.Images {
		// A blob that images share is sent by the first; the others find it there.
		var before []chan struct{}
		for _, blob := range image.blobs {
			if user, ok := lastUser[blob.Digest]; ok && user != i {
				before = append(before, finished[user])
			}
			lastUser[blob.Digest] = i
		}
		done := make(chan struct{})
		finished[i] = done
		group.Go(func() error {
			defer close(done)
			for _, other := range before {
				if err := receive(within, other); err != nil {
					return err
				}
			}
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
			case <-within.Done():
				return context.Cause(within)
			}
			return image.copyTo(within, to, repository, mount)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return to.WaitFor(ctx, repository, p.entries()...)
}

// receive waits for done, or for the end of ctx.
func receive(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (i *Image) copyTo(ctx context.Context, to Target, repository string, mount *registry.Source) error {
	for _, desc := range i.manifests() {
		from := i.contents[desc.Digest]
		if mount != nil {
			from = mount
		}
		if err := to.Copy(ctx, repository+"@"+desc.Digest.String(), from, desc); err != nil {
			return fmt.Errorf("copying %s of %s to %s: %w", i.Platform(), i.Source, repository, err)
		}
	}
	return nil
}

// write writes one tag.
func (p *Plan) write(ctx context.Context, to Target, at Lookup, tag Tag) error {
	now, err := lookUp(ctx, at, tag.Name)
	if err != nil {
		return err
	}
	if now != tag.Before && now != p.Root.Digest {
		p.logger.WarnContext(ctx, "somebody else wrote this tag meanwhile; it is overwritten",
			"tag", tag.Name, "before", tag.Before, "meanwhile", now)
	}
	return to.PushManifest(ctx, tag.Name, p.Root, p.Body)
}

// Transfer is what a repository lacks of an image.
type Transfer struct {
	Repository string
	Image      *Image
	// Missing are manifests and blobs, and Size are their bytes. What the registry
	// has in another repository counts too, though it may not be moved.
	Missing []ocispec.Descriptor
	Size    int64
}

// Preview says what a push would copy, by repository and image.
func (p *Plan) Preview(ctx context.Context, at Lookup, tags []Tag) ([]Transfer, error) {
	var transfers []Transfer
	for _, repositories := range byRegistry(tags) {
		for _, repository := range repositories {
			counted := map[digest.Digest]bool{}
			for _, image := range p.Images {
				missing, err := at.Missing(ctx, repository, slices.Concat(image.manifests(), image.blobs)...)
				if err != nil {
					return nil, err
				}
				transfer := Transfer{Repository: repository, Image: image}
				for _, desc := range missing {
					if counted[desc.Digest] {
						continue
					}
					counted[desc.Digest] = true
					transfer.Missing = append(transfer.Missing, desc)
					transfer.Size += desc.Size
				}
				transfers = append(transfers, transfer)
			}
		}
	}
	return transfers, nil
}
