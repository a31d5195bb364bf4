package join_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/builder/join"
	"github.com/mabuild/mabuild/builder/registry"
)

// store is an image store in memory.
type store struct {
	mu      sync.Mutex
	content map[digest.Digest][]byte
}

func newStore() *store { return &store{content: map[digest.Digest][]byte{}} }

func (s *store) Open(_ context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, ok := s.content[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("the store has no %s", desc.Digest)
	}
	return io.NopCloser(bytes.NewReader(body)), nil
}

func (s *store) add(mediaType string, body []byte) ocispec.Descriptor {
	s.mu.Lock()
	defer s.mu.Unlock()
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	s.content[desc.Digest] = body
	return desc
}

func (s *store) addJSON(t testing.TB, mediaType string, doc any) ocispec.Descriptor {
	t.Helper()
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return s.add(mediaType, body)
}

// image adds an image for a platform with one layer of its own and one that all
// images share.
func (s *store) image(t testing.TB, platform, content string) ocispec.Descriptor {
	t.Helper()
	return s.mustImage(t, platform, content, ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageLayer)
}

// dockerImage is image with Docker's media types.
func (s *store) dockerImage(t testing.TB, platform, content string) ocispec.Descriptor {
	t.Helper()
	return s.mustImage(t, platform, content, index.MediaTypeDockerManifest,
		"application/vnd.docker.container.image.v1+json", "application/vnd.docker.image.rootfs.diff.tar.gzip")
}

func (s *store) mustImage(t testing.TB, platform, content string, types ...string) ocispec.Descriptor {
	t.Helper()
	desc, err := s.build(parse(t, platform), content, types[0], types[1], types[2])
	if err != nil {
		t.Fatal(err)
	}
	return desc
}

func (s *store) build(platform ocispec.Platform, content, manifestType, configType, layerType string) (ocispec.Descriptor, error) {
	config := ocispec.Image{Platform: platform, RootFS: ocispec.RootFS{Type: "layers"}}
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: manifestType}
	for _, text := range []string{"the same everywhere", platforms.FormatAll(platform) + content} {
		layer := s.add(layerType, []byte(strings.Repeat(text, 100)))
		manifest.Layers = append(manifest.Layers, layer)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.Digest)
	}
	body, err := json.Marshal(config)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	manifest.Config = s.add(configType, body)
	if body, err = json.Marshal(manifest); err != nil {
		return ocispec.Descriptor{}, err
	}
	return s.add(manifestType, body), nil
}

// attestation adds what BuildKit adds beside an image.
func (s *store) attestation(t testing.TB, image ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: s.addJSON(t, ocispec.MediaTypeImageConfig, map[string]string{"architecture": "unknown", "os": "unknown"}),
		Layers: []ocispec.Descriptor{s.add("application/vnd.in-toto+json", []byte(`{"subject":"`+image.Digest+`"}`))},
	}
	desc := s.addJSON(t, ocispec.MediaTypeImageManifest, manifest)
	desc.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	desc.Annotations = map[string]string{
		"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.Digest.String(),
	}
	return desc
}

// index adds an index as it is given.
func (s *store) index(t testing.TB, annotations map[string]string, manifests ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	if manifests == nil {
		manifests = []ocispec.Descriptor{}
	}
	return s.addJSON(t, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: manifests, Annotations: annotations,
	})
}

func (s *store) source(name string, root ocispec.Descriptor, only ...ocispec.Platform) join.Source {
	return join.Source{Name: name, Root: root, Content: s, Platforms: only}
}

func parse(t testing.TB, platform string) ocispec.Platform {
	t.Helper()
	if platform == "" {
		return ocispec.Platform{}
	}
	parsed, err := platforms.Parse(platform)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// listed is desc as the entry of an index.
func listed(t testing.TB, desc ocispec.Descriptor, platform string) ocispec.Descriptor {
	t.Helper()
	parsed := parse(t, platform)
	desc.Platform = &parsed
	return desc
}

func mustJoin(t testing.TB, opts join.Options, sources ...join.Source) *join.Plan {
	t.Helper()
	plan, err := join.New(t.Context(), sources, opts)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// shape is an index in short: what its entries are.
func shape(t testing.TB, plan *join.Plan) []string {
	t.Helper()
	parsed, err := index.Parse(plan.Root.MediaType, plan.Body)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, desc := range parsed.Manifests {
		line := platforms.FormatAll(*desc.Platform)
		if subject, ok := index.Subject(desc); ok {
			line = "attests " + subject.String()
		}
		list = append(list, line)
	}
	return list
}

func newClient(t testing.TB) *registry.Client {
	t.Helper()
	client := registry.New(registry.Options{ConfigDir: t.TempDir()})
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// logTo collects warnings.
func logTo(b *bytes.Buffer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }
