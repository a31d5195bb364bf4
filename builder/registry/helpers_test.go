package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
)

// store is a registry.Provider in memory.
type store struct {
	mu      sync.Mutex
	content map[digest.Digest][]byte
	opened  map[digest.Digest]int
}

func newStore() *store {
	return &store{content: map[digest.Digest][]byte{}, opened: map[digest.Digest]int{}}
}

func (s *store) Open(_ context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened[desc.Digest]++
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

func (s *store) body(desc ocispec.Descriptor) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.content[desc.Digest]
}

// image adds an image for linux/arch with layers of the given sizes. Their
// content depends on seed.
func (s *store) image(t testing.TB, arch string, seed uint64, sizes ...int) ocispec.Descriptor {
	t.Helper()
	random := rand.NewChaCha8([32]byte{byte(seed), byte(len(arch)), arch[1]})
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
	}
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: arch}}
	for _, size := range sizes {
		layer := make([]byte, size)
		_, _ = random.Read(layer)
		desc := s.add(ocispec.MediaTypeImageLayer, layer)
		manifest.Layers = append(manifest.Layers, desc)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, desc.Digest)
	}
	config.RootFS.Type = "layers"
	manifest.Config = s.addJSON(t, ocispec.MediaTypeImageConfig, config)
	desc := s.addJSON(t, ocispec.MediaTypeImageManifest, manifest)
	desc.Platform = &config.Platform
	return desc
}

// layers returns the layers of an image.
func (s *store) layers(t testing.TB, image ocispec.Descriptor) []ocispec.Descriptor {
	t.Helper()
	var manifest ocispec.Manifest
	if err := json.Unmarshal(s.body(image), &manifest); err != nil {
		t.Fatal(err)
	}
	return manifest.Layers
}

// children returns the manifests of an index.
func (s *store) children(t testing.TB, index ocispec.Descriptor) []ocispec.Descriptor {
	t.Helper()
	var doc ocispec.Index
	if err := json.Unmarshal(s.body(index), &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Manifests
}

// index adds an index of manifests.
func (s *store) index(t testing.TB, manifests ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	return s.addJSON(t, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: manifests,
	})
}

// twoPlatforms adds an index of two small images.
func (s *store) twoPlatforms(t testing.TB, seed uint64) ocispec.Descriptor {
	t.Helper()
	return s.index(t, s.image(t, "amd64", seed, 300, 2000), s.image(t, "arm64", seed, 300, 2000))
}

// newClient returns a client that finds no credentials unless opts say where,
// and waits on the returned clock.
func newClient(t testing.TB, opts registry.Options) (*registry.Client, *registrytest.Clock) {
	t.Helper()
	if opts.ConfigDir == "" {
		opts.ConfigDir = t.TempDir()
	}
	client, clock := registry.New(opts), &registrytest.Clock{}
	client.SetClock(clock)
	t.Cleanup(client.CloseIdleConnections)
	return client, clock
}

// backends are the registries that tests of pushes run against.
func backends(t *testing.T) map[string]http.Handler {
	return map[string]http.Handler{
		"memory":       registrytest.Memory(),
		"distribution": registrytest.Distribution(t),
	}
}

// mustCopy pushes desc or ends the test.
func mustCopy(t testing.TB, client *registry.Client, ref string, src registry.Provider, desc ocispec.Descriptor) {
	t.Helper()
	if err := client.Copy(t.Context(), ref, src, desc); err != nil {
		t.Fatal(err)
	}
}

// checkTag fails the test unless ref points to desc and everything below it can
// be read.
func checkTag(t testing.TB, client *registry.Client, ref string, desc ocispec.Descriptor) {
	t.Helper()
	got, err := client.Resolve(t.Context(), ref)
	if err != nil {
		t.Fatalf("resolving what was pushed: %v", err)
	}
	if got.Digest != desc.Digest || got.MediaType != desc.MediaType || got.Size != desc.Size {
		t.Fatalf("%s is %s %s of %d bytes, want %s %s of %d", ref, got.MediaType, got.Digest, got.Size, desc.MediaType, desc.Digest, desc.Size)
	}
	checkContent(t, client, ref, got)
}

func checkContent(t testing.TB, client *registry.Client, ref string, desc ocispec.Descriptor) {
	t.Helper()
	body, err := client.Fetch(t.Context(), ref, desc)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Manifests []ocispec.Descriptor
		Config    ocispec.Descriptor
		Layers    []ocispec.Descriptor
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	for _, child := range doc.Manifests {
		checkContent(t, client, ref, child)
	}
	if doc.Config.Digest != "" {
		if _, err := client.Fetch(t.Context(), ref, doc.Config); err != nil {
			t.Fatal(err)
		}
	}
	for _, layer := range doc.Layers {
		reader, err := client.Open(t.Context(), ref, layer)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, reader); err != nil {
			t.Fatal(err)
		}
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
	}
}

// wantError returns err as a *registry.Error, or ends the test unless its text
// and hint contain the parts.
func wantError(t testing.TB, err error, text, hint string) *registry.Error {
	t.Helper()
	var described *registry.Error
	if !errors.As(err, &described) {
		t.Fatalf("got error %v, want a *registry.Error with %q", err, text)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("got error %q, want one with %q", err, text)
	}
	if !strings.Contains(described.Hint, hint) {
		t.Errorf("got hint %q, want one with %q", described.Hint, hint)
	}
	return described
}
