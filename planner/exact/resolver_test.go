package exact_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/exact"
)

// registry is a resolver in memory, which counts what it is asked for.
type registry struct {
	bases   map[string]*exact.Base
	configs map[digest.Digest]ocispec.Image
	fails   map[string]bool

	mu    sync.Mutex
	asked map[string]int
}

func newRegistry() *registry {
	return &registry{
		bases: make(map[string]*exact.Base), configs: make(map[digest.Digest]ocispec.Image),
		fails: make(map[string]bool), asked: make(map[string]int),
	}
}

// parseRegistry reads lines of the form
//
//	KIND REF PLATFORM[=REAL],… [onbuild INSTRUCTION]
//
// with KIND one of index, single and fails.
func parseRegistry(t testing.TB, text string) *registry {
	t.Helper()
	r := newRegistry()
	for line := range strings.Lines(text) {
		line, onbuild, _ := strings.Cut(strings.TrimSpace(line), " onbuild ")
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case fields[0] == "fails":
			r.fails[full(fields[1])] = true
		case len(fields) == 3:
			r.add(t, fields[0], full(fields[1]), strings.Split(fields[2], ","), onbuild)
		default:
			t.Fatalf("bad line %q", line)
		}
	}
	return r
}

func full(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return reference.TagNameOnly(named).String()
}

func (r *registry) add(t testing.TB, kind, ref string, list []string, onbuild string) {
	t.Helper()
	base := &exact.Base{Ref: ref, Digest: digest.FromString(ref), MediaType: ocispec.MediaTypeImageIndex}
	for _, item := range list {
		listed, real, found := strings.Cut(item, "=")
		if !found {
			real = listed
		}
		manifest := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: child(ref, listed), Platform: parse(t, listed)}
		image := ocispec.Image{Platform: *parse(t, real), RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{child(ref, real)}}}
		image.Config.Env = []string{"PATH=/bin"}
		config := image
		r.configs[manifest.Digest] = config
		if onbuild != "" {
			r.configs[manifest.Digest] = withTrigger(config, onbuild)
		}
		base.Manifests = append(base.Manifests, manifest)
		// A manifest can be asked for by its digest, too.
		name, _, _ := strings.Cut(ref, "@")
		pinned := &exact.Base{Digest: manifest.Digest, MediaType: manifest.MediaType, Manifests: []ocispec.Descriptor{manifest}}
		r.bases[name+"@"+manifest.Digest.String()] = pinned
		untagged, _, _ := strings.Cut(name, ":")
		r.bases[untagged+"@"+manifest.Digest.String()] = pinned
		if kind == "single" {
			r.bases[ref] = pinned
		}
	}
	if kind == "index" {
		base.Manifests = append(base.Manifests, ocispec.Descriptor{
			Digest: digest.FromString("attestation"), Platform: &ocispec.Platform{OS: "unknown", Architecture: "unknown"},
		})
		r.bases[ref] = base
	}
}

// withTrigger adds what the specification of OCI images does not have.
func withTrigger(image ocispec.Image, onbuild string) ocispec.Image {
	image.Config.Labels = map[string]string{"onbuild": onbuild}
	return image
}

// child is the digest of one manifest.
func child(ref, platform string) digest.Digest { return digest.FromString(full(ref) + " " + platform) }

func parse(t testing.TB, platform string) *ocispec.Platform {
	t.Helper()
	parsed, err := platforms.Parse(platform)
	if err != nil {
		t.Fatal(err)
	}
	return &parsed
}

func (r *registry) note(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked[key]++
}

func (r *registry) Resolve(ctx context.Context, ref string) (*exact.Base, error) {
	r.note(ref)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.fails[ref] {
		return nil, errors.New("connection refused")
	}
	base, ok := r.bases[ref]
	if !ok {
		return nil, fmt.Errorf("%s: not found", ref)
	}
	return base, nil
}

func (r *registry) Config(_ context.Context, ref string, manifest ocispec.Descriptor) ([]byte, error) {
	r.note(ref + " " + platforms.FormatAll(*manifest.Platform))
	image, ok := r.configs[manifest.Digest]
	if !ok {
		return nil, errors.New("no such manifest")
	}
	text, err := json.Marshal(image)
	if trigger := image.Config.Labels["onbuild"]; trigger != "" && err == nil {
		quoted, _ := json.Marshal([]string{trigger})
		text = []byte(strings.Replace(string(text), `"config":{`, `"config":{"OnBuild":`+string(quoted)+",", 1))
	}
	return text, err
}

func list(t testing.TB, spec string) []ocispec.Platform {
	t.Helper()
	parsed, err := planner.ParsePlatforms(spec)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}
