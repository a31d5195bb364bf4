package shard

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/registry"
)

// Options describe an image and the run that builds it. Registry, Names, Run and
// Platforms are required.
type Options struct {
	// Registry is how registries are reached.
	Registry *registry.Client
	// Names are the references of the image, HOST/NAME:TAG, in every shard the same in
	// the same order. The shards meet in the repository of the first one.
	Names []string
	// Run is what all jobs of one build have in common and no other build has, such
	// as GITHUB_RUN_ID or CI_PIPELINE_ID. It is not the number of an attempt: a job
	// that runs again has to find what the others did before.
	Run string
	// Plan is what all shards have to agree on. Those that announce something need one;
	// without it what is found has to agree with itself.
	Plan Plan
	// Platforms are those of the whole image, in the order of its index.
	Platforms []ocispec.Platform
	// Annotations are for the index. The shard of the first platform decides if the
	// shards don't agree.
	Annotations map[string]string
	// Patience is how long Wait looks for the other shards. It has to be longer than
	// the registry takes to show everybody what it has accepted. Default: a minute;
	// if negative, Wait looks once.
	Patience time.Duration
	// Clock is what waiting goes by. Default: the time of day.
	Clock registry.Clock
	// Logger gets a line at level Info for what is waited for, and at level Warn for
	// what the user should know. Default: none.
	Logger *slog.Logger
}

// Plan holds what the shards of one image have to have in common: facts by the names
// by which errors call them, such as "the Dockerfile". Only digests of the facts reach
// the registry.
//
// What a runner finds out for itself doesn't belong here, above all times: labels and
// annotations as docker/metadata-action makes them differ from job to job.
type Plan map[string]string

// digests returns what is announced of the plan.
func (p Plan) digests() map[string]digest.Digest {
	list := make(map[string]digest.Digest, len(p))
	for name, fact := range p {
		list[name] = digest.FromString(fact)
	}
	return list
}

// Meeting is where the shards of one image find each other. It keeps no state, and is
// safe for concurrent use.
type Meeting struct {
	opts         Options
	names        []string // in full
	repositories []string // of names, each once
	places       []place  // by platform, in the plan's order
}

// place is where one platform is announced.
type place struct {
	platform ocispec.Platform
	tag      string // reference
}

// New checks the options. It asks no registry.
func New(opts Options) (*Meeting, error) {
	if opts.Registry == nil {
		return nil, errors.New("the shards need a registry client")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Patience == 0 {
		opts.Patience = time.Minute
	}
	if err := checkRun(opts.Run); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(opts.Annotations)) {
		if strings.HasPrefix(key, reserved) {
			return nil, fmt.Errorf("the annotation %s is mabuild's own; use another name", key)
		}
	}
	m := &Meeting{opts: opts}
	if err := m.name(opts.Names); err != nil {
		return nil, err
	}
	return m, m.place(opts.Platforms)
}

func checkRun(run string) error {
	const most = 256
	switch {
	case strings.TrimSpace(run) == "":
		return errors.New("the shards need a run id to find each other; give what all jobs of this build have in common and no other build has, such as $GITHUB_RUN_ID or $CI_PIPELINE_ID")
	case len(run) > most:
		return fmt.Errorf("the run id has %d bytes, more than %d; give a shorter one", len(run), most)
	case strings.ContainsFunc(run, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("the run id %q has characters that can't be printed; give another one", run)
	}
	return nil
}

// name reads the references of the image.
func (m *Meeting) name(names []string) error {
	for _, name := range names {
		ref, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return fmt.Errorf("reading the name %q: %w; write REGISTRY/NAME:TAG", name, err)
		}
		if _, ok := ref.(reference.Digested); ok {
			return fmt.Errorf("the name %q has a digest, which isn't known before the last shard is built; write REGISTRY/NAME:TAG", name)
		}
		if full := reference.TagNameOnly(ref).String(); !slices.Contains(m.names, full) {
			m.names = append(m.names, full)
		}
		if !slices.Contains(m.repositories, ref.Name()) {
			m.repositories = append(m.repositories, ref.Name())
		}
	}
	if len(m.names) == 0 {
		return errors.New("the shards need a name for their image, and meet in its repository; add -t REGISTRY/NAME:TAG")
	}
	return nil
}

var notInTags = regexp.MustCompile(`[^A-Za-z0-9_.]+`)

// place gives every platform its staging tag.
func (m *Meeting) place(list []ocispec.Platform) error {
	const most = 100 // of the 128 that a tag may have
	key := m.key()
	tags := map[string]string{}
	for _, platform := range list {
		text := formatAll(platform)
		slug := strings.Trim(notInTags.ReplaceAllString(text, "-"), "-")
		tag := fmt.Sprintf("%s:mabuild-%s-%.*s", m.repositories[0], key, most, slug)
		if other, ok := tags[tag]; ok {
			if other == text {
				return fmt.Errorf("the plan has the platform %s twice; name each platform once", text)
			}
			return fmt.Errorf("the platforms %s and %s have the same staging tag %s; build one of them elsewhere", other, text, tag)
		}
		tags[tag] = text
		m.places = append(m.places, place{platform: platform, tag: tag})
	}
	if len(m.places) == 0 {
		return errors.New("the plan has no platforms; name all platforms of the image in every shard")
	}
	return nil
}

// key tells the meetings in one repository apart: by run, and within a run by the
// names of the image, because a run may build several images into one repository.
func (m *Meeting) key() string {
	text := fmt.Sprintf("mabuild shards %s\n%q\n%q", version, m.opts.Run, m.names)
	return digest.FromString(text).Encoded()[:12]
}

// Tags returns the staging tags, in the order of the plan's platforms.
func (m *Meeting) Tags() []string {
	list := make([]string, 0, len(m.places))
	for _, place := range m.places {
		list = append(list, place.tag)
	}
	return list
}

// platforms is the list that all shards have to agree on.
func (m *Meeting) platforms() string {
	list := make([]string, 0, len(m.places))
	for _, place := range m.places {
		list = append(list, formatAll(place.platform))
	}
	return strings.Join(list, ",")
}

func formatAll(platform ocispec.Platform) string {
	return platforms.FormatAll(platforms.Normalize(platform))
}

// matches reports whether an image for have is what a plan means by want: bases of
// Windows add a version to the platform.
func matches(want, have ocispec.Platform) bool {
	w, h := platforms.Normalize(want), platforms.Normalize(have)
	return w.OS == h.OS && w.Architecture == h.Architecture && w.Variant == h.Variant &&
		(want.OSVersion == "" || want.OSVersion == have.OSVersion)
}
