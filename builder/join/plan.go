package join

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/builder/registry"
)

// parallel is how many images are read, or copied, at once.
const parallel = 4

// Source is something that images are taken from.
type Source struct {
	// Name is what the user calls it. Errors repeat it.
	Name string
	// Root is its manifest or index.
	Root ocispec.Descriptor
	// Content has what Root refers to. From a *registry.Source blobs can be mounted.
	Content registry.Provider
	// Platforms are those that are taken of its images. Default: all.
	Platforms []ocispec.Platform
}

// Options change how an index is made. The zero value is useful.
type Options struct {
	// Annotations are set on the index or on its entries.
	Annotations []Annotation
	// Logger gets a line at level Warn for what the user should know. Default: none.
	Logger *slog.Logger
}

// Plan is an index, and where the images are that it joins.
type Plan struct {
	// Root is the index's descriptor.
	Root ocispec.Descriptor
	// Body are the index's bytes.
	Body []byte
	// Images are its images, in order.
	Images []*Image

	logger *slog.Logger
}

// New reads the sources and makes their index. Errors that match [ErrSources] can be
// repaired by naming the sources differently. It writes nothing.
func New(ctx context.Context, sources []Source, opts Options) (*Plan, error) {
	p := &Plan{logger: opts.Logger}
	if p.logger == nil {
		p.logger = slog.New(slog.DiscardHandler)
	}
	var inherited inheritance
	for _, source := range sources {
		images, annotations, err := readSource(ctx, source)
		if err != nil {
			return nil, err
		}
		if images, err = choose(source, images); err != nil {
			return nil, err
		}
		if err := p.add(images); err != nil {
			return nil, err
		}
		inherited.add(annotations)
	}
	if len(p.Images) == 0 {
		return nil, choicef("there is no image to join; name at least one source")
	}
	own, err := annotate(p.Images, opts.Annotations)
	if err != nil {
		return nil, err
	}
	p.Root, p.Body, err = index.Join(p.entries(), index.Options{Annotations: p.inherit(&inherited, own)})
	if err != nil {
		return nil, err
	}
	if p.mixed() {
		p.logger.Warn("the images have Docker's and OCI's media types; some registries refuse such an index")
	}
	return p, nil
}

// entries are the manifests of the index.
func (p *Plan) entries() []ocispec.Descriptor {
	var list []ocispec.Descriptor
	for _, image := range p.Images {
		list = append(list, image.manifests()...)
	}
	return list
}

func (p *Plan) isDocker(image *Image) bool {
	return image.Descriptor.MediaType == index.MediaTypeDockerManifest
}

func (p *Plan) mixed() bool {
	return slices.ContainsFunc(p.Images, p.isDocker) && p.Root.MediaType != index.MediaTypeDockerManifestList
}

// inherit returns the annotations of the index: those that were asked for, and of the
// others those on which the sources agree.
func (p *Plan) inherit(from *inheritance, own map[string]string) map[string]string {
	others := from.agreed(own)
	if dropped := from.contradictions(own); len(dropped) > 0 {
		p.logger.Warn("leaving out annotations that the sources' indexes don't agree on; set them by --annotation",
			"annotations", strings.Join(dropped, ","))
	}
	onlyDocker := !slices.ContainsFunc(p.Images, func(image *Image) bool { return !p.isDocker(image) })
	if onlyDocker && len(others) > 0 {
		p.logger.Warn("leaving out annotations of the sources' indexes; Docker's manifest list can't hold them",
			"annotations", strings.Join(slices.Sorted(maps.Keys(others)), ","))
		others = nil
	}
	if len(own)+len(others) == 0 {
		return nil
	}
	all := maps.Clone(own)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, others)
	return all
}

// add appends the images of a source to those of the sources before.
func (p *Plan) add(images []*Image) error {
	for _, image := range images {
		at := slices.IndexFunc(p.Images, func(other *Image) bool {
			return key(*other.Descriptor.Platform) == key(*image.Descriptor.Platform)
		})
		if at < 0 {
			p.Images = append(p.Images, image)
			continue
		}
		other := p.Images[at]
		if other.Descriptor.Digest != image.Descriptor.Digest {
			return choicef("%s is in %s (%s) and, as another image, in %s (%s); leave one out, or choose by PLATFORM=SOURCE",
				image.Platform(), other.Source, short(other.Descriptor.Digest), image.Source, short(image.Descriptor.Digest))
		}
		other.merge(image)
	}
	return nil
}

// merge adds what another source has on the same image.
func (i *Image) merge(other *Image) {
	for _, desc := range other.Attestations {
		if !slices.ContainsFunc(i.Attestations, func(d ocispec.Descriptor) bool { return d.Digest == desc.Digest }) {
			i.Attestations = append(i.Attestations, desc)
			i.contents[desc.Digest] = other.contents[desc.Digest]
		}
	}
	i.blobs = append(i.blobs, other.blobs...)
}

// short is enough of a digest to tell two images apart.
func short(d digest.Digest) string {
	if d.Validate() != nil {
		return d.String()
	}
	return d.Algorithm().String() + ":" + d.Encoded()[:12]
}

// readSource returns the images of a source with their attestations, and the
// annotations of its index.
func readSource(ctx context.Context, source Source) ([]*Image, map[string]string, error) {
	entries, annotations, err := flat(ctx, source.Content, source.Root, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", source.Name, err)
	}
	isAttestation := func(desc ocispec.Descriptor) bool { _, ok := index.Subject(desc); return ok }
	listed := slices.DeleteFunc(slices.Clone(entries), isAttestation)
	images := make([]*Image, len(listed))
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for at, entry := range listed {
		group.Go(func() (err error) {
			images[at], err = readImage(within, source, entry)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	for _, entry := range entries {
		if !isAttestation(entry) {
			continue
		}
		image := attests(entry, images)
		if image == nil {
			return nil, nil, fmt.Errorf("the attestation %s in %s is about an image that isn't there; join the images themselves instead of this index",
				entry.Digest, source.Name)
		}
		if err := image.addAttestation(ctx, source, entry); err != nil {
			return nil, nil, err
		}
	}
	return images, annotations, nil
}

// choose returns the images of a source that are wanted, in their order.
func choose(source Source, images []*Image) ([]*Image, error) {
	if len(source.Platforms) == 0 {
		return images, nil
	}
	var chosen []*Image
	have := make([]string, 0, len(images))
	for _, image := range images {
		have = append(have, image.Platform())
		if slices.ContainsFunc(source.Platforms, func(want ocispec.Platform) bool { return matches(want, *image.Descriptor.Platform) }) {
			chosen = append(chosen, image)
		}
	}
	for _, want := range source.Platforms {
		if !slices.ContainsFunc(chosen, func(image *Image) bool { return matches(want, *image.Descriptor.Platform) }) {
			return nil, choicef("%s has no %s; it has %s, choose among them", source.Name, platforms.FormatAll(want), strings.Join(have, ", "))
		}
	}
	return chosen, nil
}
