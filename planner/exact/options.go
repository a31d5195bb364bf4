package exact

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
)

// Options says what to plan.
type Options struct {
	// Dockerfile is the text to plan. If it is nil and the context is a URL, it is
	// read from there.
	Dockerfile []byte

	// Filename, Platforms, BuildPlatform, Target and Args are as in
	// planner.Options.
	Filename      string
	Platforms     []ocispec.Platform
	BuildPlatform ocispec.Platform
	Target        string
	Args          map[string]string

	// Overrides are what is different for some platforms, as in planner.Options.
	Overrides map[string]planner.Override

	// Attrs are further attributes of the frontend that are the same for all
	// platforms, by the names that BuildKit has for them: add-hosts,
	// force-network-mode, shm-size, ulimit, cgroup-parent, … What is a field of these
	// options has no place here.
	Attrs map[string]string

	// Context is the directory of the build context, of which only .dockerignore is
	// read, or the URL of a git repository, an archive or a Dockerfile. Empty means an
	// empty context.
	Context string

	// Remote reads contexts that are URLs; it is required for them. It is called
	// concurrently, and often for the same source.
	Remote Remote

	// DockerfileDir is the directory of the Dockerfile, where an ignore file of
	// its own is looked for (NAME.dockerignore). Empty means that there is none or,
	// with a context that is a URL, that Filename is a path in the context.
	DockerfileDir string

	// NamedContexts are the values of --build-context by name, which may end in
	// "::PLATFORM": docker-image://REF, oci-layout://DIR[:TAG][@DIGEST], the URL of a
	// git repository or a file, or a directory. URLs are not looked up.
	NamedContexts map[string]string

	// Native lists the platforms whose programs the builder runs without an
	// emulator. Empty means BuildPlatform alone.
	Native []ocispec.Platform

	// Resolver looks up images; it is required. It is called concurrently, once
	// for every reference and once for every manifest whose config is needed.
	Resolver Resolver

	// Edits are what the jobs of some platforms send instead of Dockerfile, by
	// platform as in Result.Platforms.
	Edits map[string]Edit

	// AllStages includes the images of stages that the target does not reach.
	AllStages bool

	// Pull is set if the build asks the registry about every image, which is part of
	// the digests of its steps.
	Pull bool

	// SessionID is the client session that the build will have. With it, and with
	// the same context, Step.Digests are those of the builder's vertices.
	SessionID string
}

// Edit is a Dockerfile for one job. It has the lines of the original, and all that it
// adds is mounts to RUNs.
type Edit struct {
	Text     []byte
	Contexts map[string]string // named contexts of these images: docker-image://REF@DIGEST by name
	Secrets  map[string][]byte // files that the session brings as secrets, by id
}

// mounts reports whether an image is one that an edit adds.
func (e Edit) mounts(ref string) bool {
	_, wanted, found := strings.Cut(ref, "@")
	if !found {
		return false
	}
	for _, value := range e.Contexts {
		if _, pinned, ok := strings.Cut(value, "@"); ok && pinned == wanted {
			return true
		}
	}
	return false
}

// Resolver looks up images in a registry.
type Resolver interface {
	// Resolve returns what a reference is. The reference is complete, such as
	// docker.io/library/debian:bookworm.
	Resolve(ctx context.Context, ref string) (*Base, error)

	// Config returns the configuration of one of the manifests.
	Config(ctx context.Context, ref string, manifest ocispec.Descriptor) ([]byte, error)
}

// Base is an image as a registry has it.
type Base struct {
	Ref       string
	Digest    digest.Digest // of the index, or of the manifest if there is no index
	MediaType string

	// Manifests are those of the index with their platforms. A manifest without
	// an index is listed alone with the platform from its configuration.
	Manifests []ocispec.Descriptor
}

// planning is the part of the options that concerns package planner.
func (o Options) planning() planner.Options {
	return planner.Options{
		Filename: o.Filename, Platforms: o.Platforms, BuildPlatform: o.BuildPlatform, Target: o.Target, Args: o.Args,
		Overrides: o.Overrides,
	}
}

// complete fills in defaults.
func (o Options) complete() (Options, error) {
	if o.Resolver == nil {
		return o, fmt.Errorf("planning %s: no resolver for base images; set Options.Resolver", o.Filename)
	}
	if o.Filename == "" {
		o.Filename = "Dockerfile"
	}
	if o.BuildPlatform.OS == "" && o.BuildPlatform.Architecture == "" {
		local, err := planner.ParsePlatforms("local")
		if err != nil {
			return o, err
		}
		o.BuildPlatform = local[0]
	}
	o.BuildPlatform = platforms.Normalize(o.BuildPlatform)
	if len(o.Native) == 0 {
		o.Native = []ocispec.Platform{o.BuildPlatform}
	}
	if o.SessionID == "" {
		o.SessionID = "plan"
	}
	if o.remoteContext() {
		return o, o.checkRemote()
	}
	return o, nil
}

// sources are the named contexts in the form in which a frontend gets them.
type sources struct {
	values  map[string]string   // by name, as BuildKit has them
	dirs    map[string]string   // of local contexts, by the name of the local
	layouts map[string]Resolver // by store
}

// openContexts checks the named contexts. Nothing of an image is looked up.
func openContexts(named map[string]string) (*sources, error) {
	s := &sources{values: make(map[string]string), dirs: make(map[string]string), layouts: make(map[string]Resolver)}
	for i, name := range slices.Sorted(maps.Keys(named)) {
		key, value := contextKey(name), named[name]
		switch scheme, rest, found := strings.Cut(value, "://"); {
		case found && scheme == "docker-image":
			s.values[key] = value
		case found && scheme == "oci-layout":
			store := fmt.Sprintf("layout%d", i)
			l, root, err := openLayout(rest)
			if err != nil {
				return nil, fmt.Errorf("opening the build context %s: %w", name, err)
			}
			s.layouts[store] = l
			s.values[key] = fmt.Sprintf("oci-layout://%s@%s", store, root)
		case isRemote(value):
			if err := remoteValue(name, value); err != nil {
				return nil, err
			}
			s.values[key] = value
		case found || strings.HasPrefix(value, "target:"):
			return nil, fmt.Errorf(
				"planning with the build context %s=%s: only docker-image://, oci-layout://, https://, git:// and directories can be planned; download it and name the directory", name, redacted(value))
		default:
			info, err := os.Stat(value)
			if err == nil && !info.IsDir() {
				err = fmt.Errorf("%s is no directory", value)
			}
			if err != nil {
				return nil, fmt.Errorf("opening the build context %s: %w; check the path", name, err)
			}
			local := fmt.Sprintf("context%d", i)
			s.dirs[local] = filepath.Clean(value)
			s.values[key] = "local:" + local
		}
	}
	return s, nil
}

// contextKey spells the name of a context as BuildKit looks for it.
func contextKey(name string) string {
	name, platform, found := strings.Cut(name, "::")
	name = planner.FamiliarReference(name)
	if !found {
		return name
	}
	if parsed, err := platforms.Parse(platform); err == nil {
		platform = planner.FormatPlatform(parsed)
	}
	return name + "::" + platform
}

// find returns the named context that replaces a stage or an image.
func (s *sources) find(name string, platform ocispec.Platform) (string, bool) {
	name = planner.FamiliarReference(name)
	if value, ok := s.values[name+"::"+planner.FormatPlatform(platform)]; ok {
		return value, true
	}
	value, ok := s.values[name]
	return value, ok
}
