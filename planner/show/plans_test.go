package show_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/exact"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// registry says what images there are, a line for each as in the test files of
// package exact:
//
//	KIND REF PLATFORM[=REAL],…
//
// with KIND one of index, single and fails. "index *" is for all that is not listed.
type registry string

func (r registry) line(ref string) (kind string, list []string) {
	for line := range strings.Lines(string(r)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[1] != "*" && complete(fields[1]) != ref {
			continue
		}
		if len(fields) > 2 {
			list = strings.Split(fields[2], ",")
		}
		return fields[0], list
	}
	return "fails", nil
}

func complete(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return reference.TagNameOnly(named).String()
}

func (r registry) Resolve(_ context.Context, ref string) (*exact.Base, error) {
	name, sum, pinned := strings.Cut(ref, "@")
	kind, list := r.line(name)
	if kind == "fails" {
		return nil, errors.New("connection refused")
	}
	base := &exact.Base{Ref: ref, Digest: digest.FromString(ref), MediaType: ocispec.MediaTypeImageIndex}
	for _, item := range list {
		listed, real, found := strings.Cut(item, "=")
		if !found {
			real = listed
		}
		platform, err := platforms.Parse(listed)
		if err != nil {
			return nil, err
		}
		manifest := ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(name + listed), Size: 1, Platform: &platform,
			Annotations: map[string]string{"real": real},
		}
		base.Manifests = append(base.Manifests, manifest)
		if kind == "single" || pinned && manifest.Digest.String() == sum {
			base.Manifests = []ocispec.Descriptor{manifest}
			return &exact.Base{Ref: ref, Digest: manifest.Digest, MediaType: manifest.MediaType, Manifests: base.Manifests}, nil
		}
	}
	if pinned {
		base.Digest = digest.Digest(sum)
	}
	return base, nil
}

func (registry) Config(_ context.Context, ref string, manifest ocispec.Descriptor) ([]byte, error) {
	platform, err := platforms.Parse(manifest.Annotations["real"])
	if err != nil {
		return nil, err
	}
	// BuildKit takes an image without layers for scratch.
	image := ocispec.Image{Platform: platform, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromString(ref)}}}
	image.Config.Env = []string{"PATH=/bin"}
	return json.Marshal(image)
}

const everywhere = "index * linux/amd64,linux/arm64,linux/arm/v7,linux/arm/v6,linux/386,linux/ppc64le,linux/riscv64,linux/s390x,linux/mips64le"

func parse(t testing.TB, spec string) []ocispec.Platform {
	t.Helper()
	list, err := planner.ParsePlatforms(spec)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// plan plans a Dockerfile on linux/amd64.
func plan(t testing.TB, dockerfile, platforms string, images registry) *exact.Result {
	t.Helper()
	result, err := exact.Plan(t.Context(), exact.Options{
		Dockerfile: []byte(dockerfile), Platforms: parse(t, platforms), BuildPlatform: parse(t, "linux/amd64")[0], Resolver: images,
	})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// archived plans the test files of package exact by name, but for those that need
// more than a registry.
func archived(t testing.TB) map[string]*exact.Result {
	t.Helper()
	files, err := filepath.Glob("../exact/testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no plans: %v", err)
	}
	plans := make(map[string]*exact.Result)
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		opts := exact.Options{BuildPlatform: parse(t, "linux/amd64")[0], Args: map[string]string{}, NamedContexts: map[string]string{}}
		opts.Dockerfile, opts.Resolver = section(archive, "Dockerfile"), registry(section(archive, "images"))
		for line := range strings.Lines(string(section(archive, "options"))) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			name, rest, _ := strings.Cut(value, "=")
			switch key {
			case "platforms":
				opts.Platforms = parse(t, value)
			case "native":
				opts.Native = parse(t, value)
			case "target":
				opts.Target = value
			case "arg":
				opts.Args[name] = rest
			case "context":
				opts.NamedContexts[name] = rest
			case "all-stages":
				opts.AllStages = true
			}
		}
		result, err := exact.Plan(t.Context(), opts)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		plans[strings.TrimSuffix(filepath.Base(file), ".txtar")] = result
	}
	return plans
}

func section(archive *txtar.Archive, name string) []byte {
	i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return archive.Files[i].Data
}

// golden compares with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
	if bytes.Contains(got, []byte("%!")) {
		t.Errorf("%s has a bad format", name)
	}
}

func readJSON(t *testing.T, file string, value any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, value)
	}
	if err != nil {
		t.Fatal(err)
	}
}
