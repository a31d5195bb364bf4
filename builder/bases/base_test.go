package bases_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/bases"
	"github.com/mabuild/mabuild/builder/index"
)

const (
	ociIndex    = ocispec.MediaTypeImageIndex
	ociManifest = ocispec.MediaTypeImageManifest
	ociConfig   = ocispec.MediaTypeImageConfig
)

func TestResolveShapes(t *testing.T) {
	for name, test := range map[string]struct {
		image   func(content) ocispec.Descriptor
		offered []string
	}{
		"OCI index": {
			func(c content) ocispec.Descriptor { return c.multi(six...) }, six,
		},
		"Docker manifest list": {func(c content) ocispec.Descriptor {
			return c.index(index.MediaTypeDockerManifestList,
				as("linux/amd64", c.dockerImage("linux/amd64")), as("linux/arm/v7", c.dockerImage("linux/arm/v7")))
		}, []string{"linux/amd64", "linux/arm/v7"}},
		"attestations": {func(c content) ocispec.Descriptor {
			one, two := as("linux/amd64", c.image("linux/amd64")), as("linux/arm64", c.image("linux/arm64"))
			return c.index(ociIndex, c.attestation(one), one, two, c.attestation(two))
		}, []string{"linux/amd64", "linux/arm64"}},
		"one image with its attestation": {func(c content) ocispec.Descriptor {
			one := as("linux/arm64", c.image("linux/arm64"))
			return c.index(ociIndex, one, c.attestation(one))
		}, []string{"linux/arm64"}},
		"unknown platform without annotation": {func(c content) ocispec.Descriptor {
			return c.index(ociIndex, as("unknown/unknown", c.image("linux/386")), as("linux/386", c.image("linux/386")))
		}, []string{"linux/386"}},
		"os.version": {func(c content) ocispec.Descriptor {
			one, two := as("windows/amd64", c.image("windows/amd64")), as("windows/amd64", c.image("windows/arm64"))
			one.Platform.OSVersion, two.Platform.OSVersion = "10.0.17763.1", "10.0.20348.2"
			return c.index(ociIndex, one, two)
		}, []string{"windows/amd64(10.0.17763.1)", "windows/amd64(10.0.20348.2)"}},
		"platforms in configs only": {func(c content) ocispec.Descriptor {
			artefact := c.manifest(ociManifest, c.add("application/vnd.cncf.helm.config.v1+json", `{}`))
			empty := c.image("linux/riscv64")
			empty.Platform = &ocispec.Platform{}
			return c.index(ociIndex, c.image("linux/arm/v6"), artefact, empty)
		}, []string{"linux/arm/v6", "linux/riscv64"}},
		"empty index": {func(c content) ocispec.Descriptor {
			return c.add(ociIndex, `{"schemaVersion":2,"mediaType":"`+ociIndex+`","manifests":[]}`)
		}, nil},
		"index without media type": {func(c content) ocispec.Descriptor {
			one := c.image("linux/amd64")
			return c.add(ociIndex, map[string]any{"schemaVersion": 2, "manifests": []any{as("linux/amd64", one)}})
		}, []string{"linux/amd64"}},
		"OCI manifest": {
			func(c content) ocispec.Descriptor { return c.image("linux/arm64/v8") }, []string{"linux/arm64/v8"},
		},
		"Docker manifest": {
			func(c content) ocispec.Descriptor { return c.dockerImage("linux/s390x") }, []string{"linux/s390x"},
		},
		"config with os.version": {func(c content) ocispec.Descriptor {
			return c.manifest(ociManifest, c.add(ociConfig, `{"os":"windows","architecture":"amd64","os.version":"10.0.1"}`))
		}, []string{"windows/amd64(10.0.1)"}},
		"config without platform": {func(c content) ocispec.Descriptor {
			return c.manifest(ociManifest, c.add(ociConfig, `{"config":{}}`))
		}, []string{"unknown"}},
		"config without architecture in an index": {func(c content) ocispec.Descriptor {
			return c.index(ociIndex, c.manifest(ociManifest, c.add(ociConfig, `{"os":"linux"}`)), c.image("linux/386"))
		}, []string{"linux/386"}},
		"artefact": {func(c content) ocispec.Descriptor {
			return c.manifest(ociManifest, c.add("application/vnd.oci.empty.v1+json", `{}`))
		}, []string{"unknown"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			desc := test.image(w.content)
			ref := w.push("base:v1", desc)
			online := w.resolve(w.resolver(bases.Options{}), ref)
			if online.Ref != ref || online.Digest != desc.Digest || online.MediaType != desc.MediaType {
				t.Errorf("%+v, want %+v", online, desc)
			}
			if diff := cmp.Diff(test.offered, offered(online)); diff != "" {
				t.Error(diff)
			}
			for _, one := range online.Manifests {
				if body := w.content[one.Digest]; int64(len(body)) != one.Size || !isManifest(one.MediaType) {
					t.Errorf("%+v", one)
				}
			}
			// By digest, and from the cache, it is the same.
			pinned := w.resolve(w.resolver(bases.Options{}), ref+"@"+desc.Digest.String())
			pinned.Ref = online.Ref
			offline := w.resolve(w.resolver(bases.Options{Offline: true}), ref)
			for _, other := range []*bases.Base{pinned, offline} {
				if diff := cmp.Diff(online, other); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func isManifest(mediaType string) bool {
	return mediaType == ociManifest || mediaType == index.MediaTypeDockerManifest
}

func TestResolveRefuses(t *testing.T) {
	w := newWorld(t)
	config := w.add(ociConfig, parsed("linux/amd64"))
	var many []ocispec.Descriptor
	for range 65 {
		many = append(many, w.manifest(ociManifest, config))
	}
	for want, desc := range map[string]ocispec.Descriptor{
		"indexes don't nest":           w.index(ociIndex, w.multi("linux/amd64")),
		"have no platform":             w.index(ociIndex, many...),
		"reading image config":         w.manifest(ociManifest, w.add(ociConfig, `["linux"]`)),
		"schema version 1":             w.add(ociManifest, `{"schemaVersion":1,"name":"library/old"}`),
		"both an image and an index":   w.add(ociIndex, map[string]any{"schemaVersion": 2, "config": config, "manifests": many[:1]}),
		"neither an image nor":         w.add(ociManifest, `{"schemaVersion":2}`),
		"not that of an image":         w.manifest("application/vnd.example.thing+json", config),
		"cannot unmarshal":             w.add(ociManifest, `{"schemaVersion":2,"config":7}`),
		"is not an image index":        w.index("application/vnd.example.list+json", many[:1]...),
		"invalid checksum digest":      w.manifest(ociManifest, ocispec.Descriptor{MediaType: ociConfig, Digest: "sha256:../../escape", Size: 2}),
		"has 1073741824 bytes":         w.manifest(ociManifest, ocispec.Descriptor{MediaType: ociConfig, Digest: config.Digest.Algorithm().FromString("big"), Size: 1 << 30}),
		"what the registry sent as sh": {MediaType: ociManifest, Digest: config.Digest},
	} {
		t.Run(want, func(t *testing.T) {
			body := w.content[desc.Digest]
			if strings.HasPrefix(want, "what") {
				body = []byte("something else")
			}
			r := w.resolver(bases.Options{Registry: fixed{desc, body, w.content}, Dir: t.TempDir()})
			_, err := r.Resolve(t.Context(), "example.com/base:v1")
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want …%s…", err, want)
			}
		})
	}
}
