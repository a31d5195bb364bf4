package bases_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/bases"
)

// hostile is a registry with one document for manifests and one for the rest.
type hostile struct{ manifest, other []byte }

func (h hostile) Resolve(context.Context, string) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{Digest: digest.FromBytes(h.manifest)}, nil
}

func (h hostile) Fetch(_ context.Context, _ string, desc ocispec.Descriptor) ([]byte, error) {
	if desc.Digest == digest.FromBytes(h.manifest) {
		return h.manifest, nil
	}
	return h.other, nil
}

func FuzzResolve(f *testing.F) {
	images := content{}
	config := images.add(ociConfig, parsed("linux/arm/v7"))
	single := images.manifest(ociManifest, config)
	for _, desc := range []ocispec.Descriptor{
		single, images.index(ociIndex, single), images.index(ociIndex, as("linux/arm/v7", single), images.attestation(single)),
	} {
		f.Add(images[desc.Digest], images[config.Digest])
		f.Add(images[desc.Digest], images[single.Digest])
	}
	dir := filepath.Join(f.TempDir(), "file") // where no folder can be made
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, manifest, other []byte) {
		r := bases.New(bases.Options{Registry: hostile{manifest, other}, Dir: dir})
		base, err := r.Resolve(t.Context(), "alpine")
		if err != nil {
			return
		}
		for _, desc := range base.Manifests {
			if desc.Platform == nil || desc.Digest.Validate() != nil || desc.Size < 0 || !isManifest(desc.MediaType) {
				t.Errorf("%+v", desc)
			}
			_, _ = r.Config(t.Context(), "alpine", desc)
		}
	})
}
