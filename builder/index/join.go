package index

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Docker's names for what OCI calls a manifest and an index.
const (
	MediaTypeDockerManifest     = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeDockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// MaxSize is the size in bytes beyond which an index is neither written nor
// read. It is distribution's limit for a manifest; containerd's is a little
// higher.
const MaxSize = 4 << 20

// Options change how Join writes an index. The zero value is useful.
type Options struct {
	// Annotations are set on the index itself. Docker's manifest list has no
	// place for them: with children that all have Docker's media types they are
	// an error.
	Annotations map[string]string
}

// Join returns an index of manifests, and its descriptor. The order of images
// is kept, entries with equal digests are written once, and the same input
// always gives the same bytes.
//
// Every descriptor must name an image manifest with its platform, or an
// attestation manifest whose image is among the manifests too. A descriptor of
// an index is an error ([Flatten] it first), and so are two different images
// for one platform.
func Join(manifests []ocispec.Descriptor, opts Options) (ocispec.Descriptor, []byte, error) {
	j := joiner{byDigest: map[digest.Digest]int{}, byPlatform: map[string]digest.Digest{}}
	for _, desc := range manifests {
		if err := j.add(desc); err != nil {
			return ocispec.Descriptor{}, nil, fmt.Errorf("joining manifest %s: %w", desc.Digest, err)
		}
	}
	entries, err := j.entries()
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	mediaType, err := j.mediaType(opts)
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	return encode(ocispec.Index{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   mediaType,
		Manifests:   entries,
		Annotations: opts.Annotations,
	})
}

func encode(index ocispec.Index) (ocispec.Descriptor, []byte, error) {
	body, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return ocispec.Descriptor{}, nil, fmt.Errorf("encoding the index: %w", err)
	}
	if len(body) > MaxSize {
		return ocispec.Descriptor{}, nil, fmt.Errorf(
			"encoding the index: %d bytes are more than the %d that registries accept; shorten the annotations or split the platforms",
			len(body), MaxSize)
	}
	return ocispec.Descriptor{
		MediaType: index.MediaType,
		Digest:    digest.FromBytes(body),
		Size:      int64(len(body)),
	}, body, nil
}

// joiner collects the entries of an index and finds contradictions among them.
type joiner struct {
	images       []ocispec.Descriptor
	attestations []ocispec.Descriptor
	byDigest     map[digest.Digest]int    // position in images
	byPlatform   map[string]digest.Digest // normalised platform to image
}

func (j *joiner) add(desc ocispec.Descriptor) error {
	if err := checkManifest(desc); err != nil {
		return err
	}
	entry := ocispec.Descriptor{
		MediaType:    desc.MediaType,
		Digest:       desc.Digest,
		Size:         desc.Size,
		Annotations:  publicAnnotations(desc.Annotations),
		ArtifactType: desc.ArtifactType,
	}
	if kind, ok := desc.Annotations[referenceType]; ok {
		if kind != attestation {
			return fmt.Errorf("its annotation %s is %q, which mabuild doesn't know; leave this manifest out", referenceType, kind)
		}
		return j.addAttestation(entry, desc.Platform)
	}
	return j.addImage(entry, desc.Platform)
}

func checkManifest(desc ocispec.Descriptor) error {
	switch desc.MediaType {
	case ocispec.MediaTypeImageManifest, MediaTypeDockerManifest:
	case ocispec.MediaTypeImageIndex, MediaTypeDockerManifestList:
		return errors.New("it is an index itself; flatten it first, indexes don't nest")
	case "":
		return errors.New("its descriptor has no media type")
	default:
		return fmt.Errorf("media type %q can't be part of an image index", desc.MediaType)
	}
	if err := desc.Digest.Validate(); err != nil {
		return err
	}
	if desc.Size <= 0 {
		return fmt.Errorf("its descriptor has the size %d", desc.Size)
	}
	return nil
}

func (j *joiner) addImage(entry ocispec.Descriptor, platform *ocispec.Platform) error {
	if platform == nil || platform.OS == "" || platform.Architecture == "" {
		return errors.New("its descriptor has no platform")
	}
	if platform.OS == "unknown" || platform.Architecture == "unknown" {
		return fmt.Errorf("its platform is %q but it isn't marked as an attestation", platforms.Format(*platform))
	}
	own := *platform
	own.OSFeatures = slices.Clone(platform.OSFeatures)
	entry.Platform = &own

	key := platformKey(own)
	if at, ok := j.byDigest[entry.Digest]; ok {
		return sameImage(j.images[at], entry)
	}
	if other, ok := j.byPlatform[key]; ok {
		return fmt.Errorf("the platform %q already belongs to %s; name each platform once", platforms.FormatAll(own), other)
	}
	j.byDigest[entry.Digest] = len(j.images)
	j.byPlatform[key] = entry.Digest
	j.images = append(j.images, entry)
	return nil
}

// sameImage reports how b contradicts a, an entry with the same digest.
func sameImage(a, b ocispec.Descriptor) error {
	if a.MediaType != b.MediaType || a.Size != b.Size {
		return fmt.Errorf("it is listed as %s of %d bytes and as %s of %d bytes", a.MediaType, a.Size, b.MediaType, b.Size)
	}
	if platformKey(*a.Platform) != platformKey(*b.Platform) {
		return fmt.Errorf("it is listed for %q and for %q; one image has one platform",
			platforms.FormatAll(*a.Platform), platforms.FormatAll(*b.Platform))
	}
	return nil
}

// platformKey is equal for platforms that a puller can't tell apart.
func platformKey(platform ocispec.Platform) string {
	return platforms.FormatAll(platforms.Normalize(platform))
}

func (j *joiner) addAttestation(entry ocispec.Descriptor, platform *ocispec.Platform) error {
	if platform != nil && (platform.OS != "unknown" || platform.Architecture != "unknown") {
		return fmt.Errorf("it is an attestation, but its platform is %q instead of unknown/unknown", platforms.Format(*platform))
	}
	if subject, _ := Subject(entry); subject == "" {
		return fmt.Errorf("it is an attestation, but its annotation %s holds no digest", referenceDigest)
	}
	entry.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	for _, other := range j.attestations {
		if other.Digest != entry.Digest {
			continue
		}
		if other.Annotations[referenceDigest] != entry.Annotations[referenceDigest] {
			return errors.New("it attests two different images")
		}
		return nil
	}
	j.attestations = append(j.attestations, entry)
	return nil
}

// entries returns the images, then the attestations in the order of their
// images. Several attestations of one image are ordered by digest, because
// nothing else gives them an order that doesn't depend on the caller.
func (j *joiner) entries() ([]ocispec.Descriptor, error) {
	if len(j.images) == 0 {
		return nil, errors.New("joining manifests: there is no image among them")
	}
	position := func(desc ocispec.Descriptor) int {
		subject, _ := Subject(desc)
		return j.byDigest[subject]
	}
	for _, desc := range j.attestations {
		subject, _ := Subject(desc)
		if _, ok := j.byDigest[subject]; !ok {
			return nil, fmt.Errorf("joining manifest %s: it attests %s, which is not among the images; add that image or leave the attestation out",
				desc.Digest, subject)
		}
	}
	slices.SortStableFunc(j.attestations, func(a, b ocispec.Descriptor) int {
		return cmp.Or(cmp.Compare(position(a), position(b)), strings.Compare(string(a.Digest), string(b.Digest)))
	})
	return slices.Concat(j.images, j.attestations), nil
}

// mediaType picks the family of the index from the families of its entries.
func (j *joiner) mediaType(opts Options) (string, error) {
	all := slices.Concat(j.images, j.attestations)
	isOCI := func(desc ocispec.Descriptor) bool { return desc.MediaType == ocispec.MediaTypeImageManifest }
	if slices.ContainsFunc(all, isOCI) {
		return ocispec.MediaTypeImageIndex, nil
	}
	annotated := func(desc ocispec.Descriptor) bool { return len(desc.Annotations) > 0 }
	switch {
	case len(j.attestations) > 0:
		return "", errors.New("joining Docker manifests: a Docker manifest list can't hold attestations; build with OCI media types or without attestations")
	case len(opts.Annotations) > 0 || slices.ContainsFunc(j.images, annotated):
		return "", errors.New("joining Docker manifests: a Docker manifest list can't hold annotations; build with OCI media types or without annotations")
	}
	return MediaTypeDockerManifestList, nil
}
