package lint_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/containerd/platforms"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/lint"
)

// images is a registry that has every image. What an image has follows from its
// name, as docs/lints/README.md says.
type images struct{}

func (images) Resolve(_ context.Context, ref string) (*exact.Base, error) {
	if strings.Contains(ref, "unavailable") {
		return nil, errors.New("connection refused")
	}
	offered := "linux/amd64,linux/arm64,linux/arm/v6,linux/arm/v7,linux/s390x,linux/386,windows/amd64"
	single := strings.Contains(ref, "sha256:1111")
	if platform, _, found := strings.Cut(ref[strings.LastIndexByte(ref, '/')+1:], "-only"); found {
		offered, single = "linux/"+platform, true
	}
	if single && strings.Contains(ref, "@") {
		offered = "linux/amd64"
	}
	base := &exact.Base{Ref: ref, Digest: digest.FromString(ref), MediaType: ocispec.MediaTypeImageIndex}
	if _, pinned, found := strings.Cut(ref, "@"); found {
		base.Digest = digest.Digest(pinned)
	}
	list, err := planner.ParsePlatforms(offered)
	if err != nil {
		return nil, err
	}
	for _, platform := range list {
		base.Manifests = append(base.Manifests, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(ref + platforms.FormatAll(platform)), Platform: &platform,
		})
	}
	if single {
		base.MediaType = ocispec.MediaTypeImageManifest
		base.Manifests[0].Digest = base.Digest
	}
	return base, nil
}

func (images) Config(_ context.Context, ref string, manifest ocispec.Descriptor) ([]byte, error) {
	image := ocispec.Image{Platform: *manifest.Platform, RootFS: ocispec.RootFS{
		Type: "layers", DiffIDs: []digest.Digest{digest.FromString(ref + platforms.FormatAll(*manifest.Platform))},
	}}
	image.Config.Env = []string{"PATH=/usr/local/go/bin:/usr/bin:/bin"}
	if strings.Contains(ref, "with-arch") {
		image.Config.Env = append(image.Config.Env, "TARGETARCH="+manifest.Platform.Architecture)
	}
	return json.Marshal(image)
}

// program makes the start of a program for Linux.
func program(arch string) *fstest.MapFile {
	kinds := map[string]struct{ machine, class, data byte }{
		"amd64": {62, 2, 1}, "arm64": {183, 2, 1}, "arm": {40, 1, 1}, "386": {3, 1, 1}, "bpf": {247, 2, 1}, "s390x": {22, 2, 2},
	}
	kind := kinds[arch]
	header := make([]byte, 64)
	copy(header, "\x7fELF")
	header[4], header[5], header[6] = kind.class, kind.data, 1
	header[16], header[18] = 2, kind.machine
	if kind.data == 2 {
		header[16], header[17], header[18], header[19] = 0, 2, 0, kind.machine
	}
	return &fstest.MapFile{Data: header}
}

// files is the build context that docs/lints/README.md describes.
func files() fstest.MapFS {
	return fstest.MapFS{
		"server": program("amd64"), "bin/amd64/server": program("amd64"), "bin/arm64/server": program("arm64"), "bin/arm/server": program("arm"),
	}
}

func list(t testing.TB, spec string) []ocispec.Platform {
	t.Helper()
	parsed, err := planner.ParsePlatforms(spec)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func options(t testing.TB, dockerfile, platforms string) exact.Options {
	t.Helper()
	return exact.Options{
		Dockerfile: []byte(dockerfile), Platforms: list(t, platforms), BuildPlatform: list(t, "linux/amd64")[0], Resolver: images{},
	}
}

// findings plans and lints.
func findings(t testing.TB, opts exact.Options, context fstest.MapFS) []exact.Finding {
	t.Helper()
	result, err := exact.Plan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	options := lint.Options{Dockerfile: opts.Dockerfile}
	if context != nil {
		options.Context = context
	}
	return lint.Findings(result, options)
}
