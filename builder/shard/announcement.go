package shard

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
)

// version is that of the protocol.
const version = "1"

// mostText bounds the list of platforms, which errors repeat.
const mostText = 4 << 10

// The annotations of an announcement.
const (
	reserved            = "dev.mabuild.shard."
	annotationVersion   = reserved + "version"
	annotationRun       = reserved + "run"
	annotationPlatform  = reserved + "platform"
	annotationPlatforms = reserved + "platforms"
	annotationPlan      = reserved + "plan"
)

// Shard is one platform's part of the image, as it was announced.
type Shard struct {
	// Platform is the plan's.
	Platform ocispec.Platform
	// Tag is the reference of the announcement.
	Tag string
	// Digest is that of the announcement.
	Digest digest.Digest
	// Manifests are the image and what attests it.
	Manifests []ocispec.Descriptor
	// Annotations are what the shard wants on the index.
	Annotations map[string]string

	plan map[string]digest.Digest
}

// announcement is an index, so that the registry keeps the manifests that it lists.
type announcement struct {
	run       string
	platform  ocispec.Platform
	platforms []ocispec.Platform
	plan      map[string]digest.Digest

	manifests   []ocispec.Descriptor
	annotations map[string]string // of the image
}

// encode returns the announcement's bytes. They hold no time: a shard that is built
// again from its cache is announced by the same bytes.
func (a announcement) encode() (ocispec.Descriptor, []byte, error) {
	plan, err := json.Marshal(a.plan)
	if err != nil {
		return ocispec.Descriptor{}, nil, fmt.Errorf("encoding the plan: %w", err)
	}
	list := make([]string, 0, len(a.platforms))
	for _, platform := range a.platforms {
		list = append(list, formatAll(platform))
	}
	annotations := map[string]string{
		annotationVersion:   version,
		annotationRun:       a.run,
		annotationPlatform:  formatAll(a.platform),
		annotationPlatforms: strings.Join(list, ","),
		annotationPlan:      string(plan),
	}
	maps.Copy(annotations, a.annotations)
	// An OCI index, even of Docker's manifests: their list has no annotations.
	body, err := json.MarshalIndent(ocispec.Index{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   ocispec.MediaTypeImageIndex,
		Manifests:   a.manifests,
		Annotations: annotations,
	}, "", "  ")
	if err != nil {
		return ocispec.Descriptor{}, nil, fmt.Errorf("encoding the announcement: %w", err)
	}
	if len(body) > index.MaxSize {
		return ocispec.Descriptor{}, nil, fmt.Errorf("the announcement has %d bytes, more than the %d that registries accept; shorten the annotations",
			len(body), index.MaxSize)
	}
	return ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageIndex,
		Digest:    digest.FromBytes(body),
		Size:      int64(len(body)),
	}, body, nil
}

// parseAnnouncement reads what a registry has under a staging tag. Everybody who may
// push to the repository can have put it there.
func parseAnnouncement(body []byte) (announcement, error) {
	doc, err := index.Parse("", body)
	if err != nil {
		return announcement{}, err
	}
	switch got := doc.Annotations[annotationVersion]; got {
	case version:
	case "":
		return announcement{}, errors.New("it isn't the announcement of a shard")
	default:
		return announcement{}, fmt.Errorf("it is of version %.20q of the protocol instead of %s; build all shards with the same mabuild", got, version)
	}
	a := announcement{run: doc.Annotations[annotationRun]}
	if a.platform, err = platforms.Parse(doc.Annotations[annotationPlatform]); err != nil {
		return announcement{}, fmt.Errorf("reading its platform: %w", err)
	}
	list := doc.Annotations[annotationPlatforms]
	if len(list) > mostText {
		return announcement{}, fmt.Errorf("its list of platforms has %d bytes, more than %d", len(list), mostText)
	}
	for _, text := range strings.Split(list, ",") {
		platform, err := platforms.Parse(text)
		if err != nil {
			return announcement{}, fmt.Errorf("reading its list of platforms: %w", err)
		}
		a.platforms = append(a.platforms, platform)
	}
	if err := json.Unmarshal([]byte(doc.Annotations[annotationPlan]), &a.plan); err != nil {
		return announcement{}, fmt.Errorf("reading its plan: %w", err)
	}
	if a.manifests, err = normal(doc.Manifests); err != nil {
		return announcement{}, err
	}
	if have := *a.manifests[0].Platform; !matches(a.platform, have) {
		return announcement{}, fmt.Errorf("it is for %s, but the image is for %s", formatAll(a.platform), formatAll(have))
	}
	for key, value := range doc.Annotations {
		if strings.HasPrefix(key, reserved) {
			continue
		}
		if a.annotations == nil {
			a.annotations = map[string]string{}
		}
		a.annotations[key] = value
	}
	return a, nil
}

// normal returns one platform's manifests as they are in an index: the image, then its
// attestations, without what means something only where they were built.
func normal(manifests []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	_, body, err := index.Join(manifests, index.Options{})
	if err != nil {
		return nil, err
	}
	list, err := index.Flatten(body)
	if err != nil {
		return nil, err
	}
	isImage := func(desc ocispec.Descriptor) bool { _, ok := index.Subject(desc); return !ok }
	if slices.ContainsFunc(list[1:], isImage) {
		return nil, errors.New("there is more than one image for one platform; build each platform once")
	}
	return list, nil
}

// differences returns what two plans don't agree on. Names of facts that only the
// other one has are not repeated: they come from the registry.
func (a announcement) differences(plan map[string]digest.Digest, list string) []string {
	var differ []string
	for _, name := range slices.Sorted(maps.Keys(plan)) {
		if a.plan[name] != plan[name] {
			differ = append(differ, name)
		}
	}
	names := make([]string, 0, len(a.platforms))
	for _, platform := range a.platforms {
		names = append(names, formatAll(platform))
	}
	if theirs := strings.Join(names, ","); theirs != list {
		differ = append(differ, fmt.Sprintf("the list of platforms (%s instead of %s)", theirs, list))
	}
	if len(differ) == 0 && len(a.plan) != len(plan) {
		differ = append(differ, "the version of mabuild")
	}
	return differ
}
