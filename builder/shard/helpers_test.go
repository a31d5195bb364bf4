package shard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
	"github.com/mabuild/mabuild/builder/shard"
)

var (
	amd64 = ocispec.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = ocispec.Platform{OS: "linux", Architecture: "arm64"}
)

// built is what a build of one platform has made: an image, and maybe an attestation.
type built struct {
	seed    string
	descs   []ocispec.Descriptor
	bodies  [][]byte
	configs map[digest.Digest]string
}

// buildImage makes the manifests of an image. Their content depends on platform and seed.
func buildImage(platform ocispec.Platform, seed string, attested bool) built {
	b := built{seed: seed, configs: map[digest.Digest]string{}}
	image := b.add(fmt.Sprintf(`{"architecture":%q,"os":%q,"author":%q,"rootfs":{"type":"layers"}}`, platform.Architecture, platform.OS, seed))
	image.Platform = &platform
	b.descs = append(b.descs, image)
	if attested {
		attestation := b.add(fmt.Sprintf(`{"author":"attestation of %s %s"}`, image.Digest, seed))
		attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
		attestation.Annotations = map[string]string{
			"vnd.docker.reference.type":   "attestation-manifest",
			"vnd.docker.reference.digest": image.Digest.String(),
		}
		b.descs = append(b.descs, attestation)
	}
	return b
}

func (b *built) add(config string) ocispec.Descriptor {
	configured := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromString(config), Size: int64(len(config))}
	body, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    configured,
		Layers:    []ocispec.Descriptor{},
	})
	if err != nil {
		panic(err)
	}
	b.configs[configured.Digest] = config
	b.bodies = append(b.bodies, body)
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(body), Size: int64(len(body))}
}

// Open makes b a registry.Provider.
func (b *built) Open(_ context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	for i, body := range b.bodies {
		if b.descs[i].Digest == desc.Digest {
			return io.NopCloser(bytes.NewReader(body)), nil
		}
	}
	return io.NopCloser(strings.NewReader(b.configs[desc.Digest])), nil
}

// cutTag takes a reference apart at its tag.
func cutTag(name string) (repository, tag string) {
	at := strings.LastIndexByte(name, ':')
	return name[:at], name[at+1:]
}

// site is a registry with a runner that reaches it.
type site struct {
	*registrytest.Proxy
	client *registry.Client
	clock  *registrytest.Clock
	name   string // of the image
}

func newSite(t testing.TB, backend http.Handler) *site {
	t.Helper()
	return newRunner(t, registrytest.New(t, backend))
}

// newRunner returns another runner that reaches the same registry.
func newRunner(t testing.TB, proxy *registrytest.Proxy) *site {
	t.Helper()
	s := &site{Proxy: proxy, clock: &registrytest.Clock{}}
	s.client = registry.New(registry.Options{
		ConfigDir: t.TempDir(), Clock: registry.Clock{Now: s.clock.Now, Sleep: s.clock.Sleep},
	})
	t.Cleanup(s.client.CloseIdleConnections)
	s.name = s.Host() + "/app:1"
	return s
}

// options are those of a shard of an image for two platforms.
func (s *site) options() shard.Options {
	return shard.Options{
		Registry: s.client, Names: []string{s.name}, Run: "17",
		Plan:      shard.Plan{"the Dockerfile": "FROM scratch", "the build arguments": "VERSION=1"},
		Platforms: []ocispec.Platform{amd64, arm64},
		Clock:     registry.Clock{Now: s.clock.Now, Sleep: s.clock.Sleep},
	}
}

func newMeeting(t testing.TB, opts shard.Options) *shard.Meeting {
	t.Helper()
	meeting, err := shard.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return meeting
}

// push is what the engine does: it writes an image to the repositories of names.
func (s *site) push(t testing.TB, image built, names ...string) []ocispec.Descriptor {
	t.Helper()
	for _, name := range append(names, s.name) {
		repository, _ := cutTag(name)
		for _, desc := range image.descs {
			if err := s.client.Copy(t.Context(), repository+"@"+desc.Digest.String(), &image, desc); err != nil {
				t.Fatal(err)
			}
		}
	}
	return image.descs
}

// put writes any manifest under a tag, as anybody may who has the right to push.
func (s *site) put(t testing.TB, tag string, mediaType string, body []byte) {
	t.Helper()
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	if err := s.client.PushManifest(t.Context(), tag, desc, body); err != nil {
		t.Fatal(err)
	}
}

// resolve returns what a reference leads to, nothing if it is absent.
func (s *site) resolve(t testing.TB, name string) digest.Digest {
	t.Helper()
	desc, err := s.client.Resolve(t.Context(), name)
	if err != nil {
		return ""
	}
	return desc.Digest
}

// announced has the announcement of one image under its staging tag.
func (s *site) announce(t testing.TB, opts shard.Options, image built) {
	t.Helper()
	if err := newMeeting(t, opts).Announce(t.Context(), s.push(t, image)); err != nil {
		t.Fatal(err)
	}
}

// unseen is a shard of another plan, for arm64. It announces its image when the next one
// has looked for it and is about to announce its own.
func (s *site) unseen(t *testing.T) *shard.Meeting {
	t.Helper()
	opts := s.options()
	opts.Plan = shard.Plan{"the Dockerfile": "FROM busybox"}
	other := newMeeting(t, opts)
	manifests := s.push(t, buildImage(arm64, "1", false))
	s.Add(registrytest.Rule{Method: "PUT", Path: "/mabuild-", Times: 1, Fault: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if err := other.Announce(r.Context(), manifests); err != nil {
			t.Error(err)
		}
		next.ServeHTTP(w, r)
	}})
	return other
}
