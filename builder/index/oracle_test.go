package index_test

import (
	"bytes"
	"io"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
)

// An independent implementation reads the index together with its images and
// checks every size, digest, type and platform.
func TestJoinAgainstGoContainerRegistry(t *testing.T) {
	for _, mediaType := range []types.MediaType{types.OCIManifestSchema1, types.DockerManifestSchema2} {
		t.Run(string(mediaType), func(t *testing.T) {
			store, err := layout.Write(t.TempDir(), empty.Index)
			if err != nil {
				t.Fatal(err)
			}
			var manifests []ocispec.Descriptor
			for _, platform := range []v1.Platform{
				{OS: "linux", Architecture: "amd64"},
				{OS: "linux", Architecture: "arm", Variant: "v7"},
				{OS: "windows", Architecture: "amd64", OSVersion: "10.0.20348.2527"},
			} {
				manifests = append(manifests, storeImage(t, store, platform, mediaType))
			}
			desc, body, err := index.Join(manifests, index.Options{})
			if err != nil {
				t.Fatal(err)
			}
			joined := storeIndex(t, store, desc, body)
			if err := validate.Index(joined); err != nil {
				t.Error(err)
			}
			parsed, err := joined.IndexManifest()
			if err != nil {
				t.Fatal(err)
			}
			if len(parsed.Manifests) != len(manifests) {
				t.Errorf("it reads %d manifests, want %d", len(parsed.Manifests), len(manifests))
			}
		})
	}
}

// storeIndex writes an index to store and returns it as go-containerregistry
// reads it.
func storeIndex(t *testing.T, store layout.Path, desc ocispec.Descriptor, body []byte) v1.ImageIndex {
	t.Helper()
	hash, err := v1.NewHash(desc.Digest.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.WriteBlob(hash, io.NopCloser(bytes.NewReader(body))); err != nil {
		t.Fatal(err)
	}
	if err := store.AppendDescriptor(v1.Descriptor{MediaType: types.MediaType(desc.MediaType), Digest: hash, Size: desc.Size}); err != nil {
		t.Fatal(err)
	}
	root, err := store.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	joined, err := root.ImageIndex(hash)
	if err != nil {
		t.Fatal(err)
	}
	return joined
}

// storeImage writes a random image for platform to store and returns its
// descriptor.
func storeImage(t *testing.T, store layout.Path, platform v1.Platform, mediaType types.MediaType) ocispec.Descriptor {
	t.Helper()
	image, err := random.Image(64, 2)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config.OS, config.Architecture = platform.OS, platform.Architecture
	config.Variant, config.OSVersion = platform.Variant, platform.OSVersion
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	image = mutate.MediaType(image, mediaType)
	if err := store.AppendImage(image); err != nil {
		t.Fatal(err)
	}
	desc, err := partial.Descriptor(image)
	if err != nil {
		t.Fatal(err)
	}
	return ocispec.Descriptor{
		MediaType: string(desc.MediaType),
		Digest:    digest.Digest(desc.Digest.String()),
		Size:      desc.Size,
		Platform: &ocispec.Platform{
			OS: platform.OS, Architecture: platform.Architecture,
			Variant: platform.Variant, OSVersion: platform.OSVersion,
		},
	}
}
