package index_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// image returns the descriptor of an OCI manifest for platform, written
// os/arch[/variant]. Its digest depends on seed.
func image(platform, seed string) ocispec.Descriptor {
	parts := strings.Split(platform, "/")
	desc := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest,
		Digest:    digest.FromString(platform + seed),
		Size:      500,
		Platform:  &ocispec.Platform{OS: parts[0], Architecture: parts[1]},
	}
	if len(parts) > 2 {
		desc.Platform.Variant = parts[2]
	}
	return desc
}

func docker(desc ocispec.Descriptor) ocispec.Descriptor {
	desc.MediaType = index.MediaTypeDockerManifest
	return desc
}

func attest(subject ocispec.Descriptor, seed string) ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest,
		Digest:    digest.FromString("attestation" + seed + string(subject.Digest)),
		Size:      800,
		Platform:  &ocispec.Platform{OS: "unknown", Architecture: "unknown"},
		Annotations: map[string]string{
			"vnd.docker.reference.type":   "attestation-manifest",
			"vnd.docker.reference.digest": string(subject.Digest),
		},
	}
}

func with(desc ocispec.Descriptor, change func(*ocispec.Descriptor)) ocispec.Descriptor {
	desc.Annotations = maps.Clone(desc.Annotations)
	if desc.Platform != nil {
		platform := *desc.Platform
		desc.Platform = &platform
	}
	change(&desc)
	return desc
}

func annotated(desc ocispec.Descriptor, pairs ...string) ocispec.Descriptor {
	return with(desc, func(d *ocispec.Descriptor) {
		if d.Annotations == nil {
			d.Annotations = map[string]string{}
		}
		for i := 0; i < len(pairs); i += 2 {
			d.Annotations[pairs[i]] = pairs[i+1]
		}
	})
}

func TestJoinGolden(t *testing.T) {
	amd64, arm64, armv7 := image("linux/amd64", ""), image("linux/arm64", ""), image("linux/arm/v7", "")
	tests := []struct {
		name      string
		manifests []ocispec.Descriptor
		opts      index.Options
	}{
		{name: "oci", manifests: []ocispec.Descriptor{amd64, arm64, armv7}},
		{name: "docker", manifests: []ocispec.Descriptor{docker(arm64), docker(amd64)}},
		{name: "mixed", manifests: []ocispec.Descriptor{docker(amd64), arm64}}, // case 67
		{
			// case 61: attestations travel with their images, after all images.
			name: "attestations",
			manifests: []ocispec.Descriptor{
				attest(arm64, ""), amd64, attest(amd64, ""), arm64,
			},
			opts: index.Options{Annotations: map[string]string{
				"org.opencontainers.image.source": "https://example.com/?a=b&c=<d>",
				"empty":                           "",
			}},
		},
		{
			// What BuildKit and OCI layouts leave on descriptors must not reach
			// the index, or the time of the build would be in its digest.
			name: "annotations",
			manifests: []ocispec.Descriptor{
				annotated(amd64,
					"config.digest", string(amd64.Digest),
					"org.opencontainers.image.created", "2026-01-02T03:04:05Z",
					"org.opencontainers.image.ref.name", "latest",
					"io.containerd.image.name", "docker.io/library/x:latest",
					"containerimage.digest", "x",
					"containerd.io/distribution.source.ghcr.io", "a/b",
					"com.example.kept", "yes"),
				annotated(arm64, "config.digest", string(arm64.Digest)),
			},
		},
		{
			name: "windows",
			manifests: []ocispec.Descriptor{
				with(image("windows/amd64", "ltsc2022"), func(d *ocispec.Descriptor) {
					d.Platform.OSVersion = "10.0.20348.2527"
					d.Platform.OSFeatures = []string{"win32k"}
				}),
				with(image("windows/amd64", "ltsc2025"), func(d *ocispec.Descriptor) { d.Platform.OSVersion = "10.0.26100.1" }),
			},
		},
		{
			// The variant is written as given although arm64/v8 and arm64 are one platform.
			name:      "variant",
			manifests: []ocispec.Descriptor{image("linux/arm64/v8", ""), image("linux/arm/v6", ""), armv7},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			desc, body, err := index.Join(test.manifests, test.opts)
			if err != nil {
				t.Fatal(err)
			}
			if desc.Digest != digest.FromBytes(body) || desc.Size != int64(len(body)) {
				t.Errorf("descriptor %+v doesn't describe the body", desc)
			}
			golden := filepath.Join("testdata", test.name+".json")
			if *update {
				if err := os.WriteFile(golden, body, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(body)); diff != "" {
				t.Errorf("index differs from %s (-want +got):\n%s", golden, diff)
			}
			read, err := index.Parse(desc.MediaType, body)
			if err != nil {
				t.Fatalf("reading it back: %v", err)
			}
			again, _, err := index.Join(read.Manifests, index.Options{Annotations: read.Annotations})
			if err != nil {
				t.Fatalf("joining it again: %v", err)
			}
			if again.Digest != desc.Digest {
				t.Errorf("joining what was read gives %s, want %s", again.Digest, desc.Digest)
			}
		})
	}
}

func TestJoinRefuses(t *testing.T) {
	amd64, arm64 := image("linux/amd64", ""), image("linux/arm64", "")
	tests := []struct {
		name      string
		manifests []ocispec.Descriptor
		opts      index.Options
		want      string
	}{
		{name: "nothing", want: "no image"},
		{name: "only an attestation", manifests: []ocispec.Descriptor{attest(amd64, "")}, want: "no image"},
		{
			name: "index in index", // case 58
			manifests: []ocispec.Descriptor{with(amd64, func(d *ocispec.Descriptor) {
				d.MediaType = ocispec.MediaTypeImageIndex
			})},
			want: "flatten it first",
		},
		{
			name: "manifest list in index",
			manifests: []ocispec.Descriptor{with(amd64, func(d *ocispec.Descriptor) {
				d.MediaType = index.MediaTypeDockerManifestList
			})},
			want: "flatten it first",
		},
		{
			name: "schema 1",
			manifests: []ocispec.Descriptor{with(amd64, func(d *ocispec.Descriptor) {
				d.MediaType = "application/vnd.docker.distribution.manifest.v1+prettyjws"
			})},
			want: "can't be part",
		},
		{
			name:      "no media type",
			manifests: []ocispec.Descriptor{with(amd64, func(d *ocispec.Descriptor) { d.MediaType = "" })},
			want:      "no media type",
		},
		{
			name:      "no platform",
			manifests: []ocispec.Descriptor{with(amd64, func(d *ocispec.Descriptor) { d.Platform = nil })},
			want:      "no platform",
		},
		{
			name:      "no architecture",
			manifests: []ocispec.Descriptor{with(amd64, func(d *ocispec.Descriptor) { d.Platform.Architecture = "" })},
			want:      "no platform",
		},
		{
			name:      "unknown platform without annotation",
			manifests: []ocispec.Descriptor{image("unknown/unknown", "")},
			want:      "isn't marked as an attestation",
		},
		{
			name:      "two images for a platform", // case 65
			manifests: []ocispec.Descriptor{amd64, image("linux/amd64", "other")},
			want:      `"linux/amd64" already belongs`,
		},
		{
			name:      "two spellings of a platform", // case 65
			manifests: []ocispec.Descriptor{image("linux/arm64/v8", "a"), image("linux/arm64", "b")},
			want:      "already belongs",
		},
		{
			name:      "one image for two platforms",
			manifests: []ocispec.Descriptor{amd64, with(amd64, func(d *ocispec.Descriptor) { d.Platform.Architecture = "arm64" })},
			want:      "one image has one platform",
		},
		{
			name:      "one digest with two sizes",
			manifests: []ocispec.Descriptor{amd64, with(amd64, func(d *ocispec.Descriptor) { d.Size++ })},
			want:      "500 bytes and as",
		},
		{
			name:      "dangling attestation", // case 61
			manifests: []ocispec.Descriptor{amd64, attest(arm64, "")},
			want:      "not among the images",
		},
		{
			name: "attestation without subject", // case 61
			manifests: []ocispec.Descriptor{amd64, with(attest(amd64, ""), func(d *ocispec.Descriptor) {
				d.Annotations["vnd.docker.reference.digest"] = "sha256:short"
			})},
			want: "holds no digest",
		},
		{
			name: "attestation with a platform",
			manifests: []ocispec.Descriptor{amd64, with(attest(amd64, ""), func(d *ocispec.Descriptor) {
				d.Platform = amd64.Platform
			})},
			want: "instead of unknown/unknown",
		},
		{
			name: "attestation of two images",
			manifests: []ocispec.Descriptor{amd64, arm64, attest(amd64, ""), with(attest(amd64, ""), func(d *ocispec.Descriptor) {
				d.Annotations["vnd.docker.reference.digest"] = string(arm64.Digest)
			})},
			want: "two different images",
		},
		{
			name:      "unknown kind of reference",
			manifests: []ocispec.Descriptor{amd64, annotated(arm64, "vnd.docker.reference.type", "gift")},
			want:      `"gift"`,
		},
		{
			name:      "attestation in a Docker list",
			manifests: []ocispec.Descriptor{docker(amd64), docker(attest(amd64, ""))},
			want:      "can't hold attestations",
		},
		{
			name:      "annotation on a Docker list", // case 71
			manifests: []ocispec.Descriptor{docker(amd64)},
			opts:      index.Options{Annotations: map[string]string{"a": "b"}},
			want:      "can't hold annotations",
		},
		{
			name:      "annotation in a Docker list", // case 71
			manifests: []ocispec.Descriptor{docker(annotated(amd64, "a", "b"))},
			want:      "can't hold annotations",
		},
		{
			name:      "bad digest",
			manifests: []ocispec.Descriptor{with(amd64, func(d *ocispec.Descriptor) { d.Digest = "md5:abc" })},
			want:      "unsupported digest algorithm",
		},
		{
			name:      "no size",
			manifests: []ocispec.Descriptor{with(amd64, func(d *ocispec.Descriptor) { d.Size = 0 })},
			want:      "size 0",
		},
		{
			name:      "too large",
			manifests: []ocispec.Descriptor{amd64},
			opts:      index.Options{Annotations: map[string]string{"a": strings.Repeat("b", index.MaxSize)}},
			want:      "more than the 4194304",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, body, err := index.Join(test.manifests, test.opts)
			if err == nil {
				t.Fatalf("got %s, want an error with %q", body, test.want)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %q, want one with %q", err, test.want)
			}
		})
	}
}

// Whatever the order in which attestations arrive and however often an entry is
// repeated, the bytes are the same. Case 65: a rerun collapses equal entries.
func TestJoinIsDeterministic(t *testing.T) {
	images := []ocispec.Descriptor{
		image("linux/amd64", ""), image("linux/arm64", ""), image("linux/s390x", ""), image("linux/arm/v7", ""),
	}
	var attestations []ocispec.Descriptor
	for _, desc := range images {
		attestations = append(attestations, attest(desc, "provenance"), attest(desc, "sbom"))
	}
	opts := index.Options{Annotations: map[string]string{"a": "1", "b": "2", "c": "3"}}
	want, _, err := index.Join(slices.Concat(images, attestations), opts)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		shuffled := slices.Concat(attestations, attestations[:random.IntN(len(attestations))])
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		input := slices.Concat(shuffled[:2], images, shuffled[2:], images[:random.IntN(len(images))])
		got, body, err := index.Join(input, opts)
		if err != nil {
			t.Fatal(err)
		}
		if got.Digest != want.Digest {
			t.Fatalf("joining %v gave other bytes:\n%s", input, body)
		}
	}
}

// The bytes are those of BuildKit's own multi-platform export, which marshals
// the same type with the same indentation (exporter/containerimage/writer.go).
func TestJoinWritesLikeBuildKit(t *testing.T) {
	manifests := []ocispec.Descriptor{image("linux/amd64", ""), image("linux/arm64", ""), attest(image("linux/arm64", ""), "")}
	_, body, err := index.Join(manifests, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	theirs := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests}
	theirs.SchemaVersion = 2
	want, err := json.MarshalIndent(theirs, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(body, want) {
		t.Errorf("bytes differ (-want +got):\n%s", cmp.Diff(string(want), string(body)))
	}
}

func TestJoinLeavesItsInputAlone(t *testing.T) {
	manifests := []ocispec.Descriptor{
		annotated(image("linux/amd64", ""), "config.digest", "x"),
		attest(image("linux/amd64", ""), ""),
	}
	before := fmt.Sprintf("%+v %+v", manifests, manifests[0].Platform)
	if _, _, err := index.Join(manifests, index.Options{}); err == nil {
		if after := fmt.Sprintf("%+v %+v", manifests, manifests[0].Platform); after != before {
			t.Errorf("input changed from\n%s to\n%s", before, after)
		}
	} else {
		t.Fatal(err)
	}
}
