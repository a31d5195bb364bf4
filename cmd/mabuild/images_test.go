package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
	"github.com/mabuild/mabuild/builder/verify"
)

// keepImage keeps an image of one layer in an image store of the test's own.
func keepImage(t *testing.T, name string) *output.Layout {
	t.Helper()
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	store, err := openStore()
	if err != nil {
		t.Fatal(err)
	}
	add := func(mediaType string, body []byte) ocispec.Descriptor {
		t.Helper()
		desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
		if err := store.Write(t.Context(), desc, body); err != nil {
			t.Fatal(err)
		}
		return desc
	}
	encode := func(v any) []byte {
		t.Helper()
		body, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	var packed bytes.Buffer
	if err := tar.NewWriter(&packed).Close(); err != nil {
		t.Fatal(err)
	}
	layer := add(ocispec.MediaTypeImageLayer, packed.Bytes())
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Digest}}}
	manifest := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: add(ocispec.MediaTypeImageConfig, encode(config)), Layers: []ocispec.Descriptor{layer}}
	manifest.SchemaVersion = 2
	if err := store.Add(add(ocispec.MediaTypeImageManifest, encode(manifest)), name); err != nil {
		t.Fatal(err)
	}
	return store
}

// Nothing is deleted of an image while something reads it, and afterwards it can be.
func TestStoreReaders(t *testing.T) {
	const name = "app:1"
	for reader, read := range map[string]func(t *testing.T, during func()) error{
		"push": func(t *testing.T, during func()) error {
			t.Setenv("DOCKER_CONFIG", t.TempDir())
			remote := registrytest.New(t, registrytest.Memory())
			remote.Add(registrytest.Rule{Path: "/blobs/uploads/", Times: 1, Fault: registrytest.After(during)})
			return push(t.Context(), []string{name}, []string{remote.Host() + "/" + name}, "")
		},
		"verify": func(t *testing.T, during func()) error {
			_, err := verifyImage(t.Context(), name, "", verify.Options{Assisted: func(ocispec.Platform, verify.Layer) bool {
				during()
				return false
			}})
			return err
		},
		"inspect": func(t *testing.T, during func()) error {
			image, err := inspect(t.Context(), name, "auto", "")
			if err != nil {
				return err
			}
			during()
			image.close()
			return nil
		},
	} {
		t.Run(reader, func(t *testing.T) {
			store := keepImage(t, name)
			prune := func() error {
				_, err := store.Prune(t.Context(), true)
				return err
			}
			meanwhile := errors.New("nobody read")
			if err := read(t, func() { meanwhile = prune() }); err != nil {
				t.Fatal(err)
			}
			if !errors.Is(meanwhile, output.ErrInUse) {
				t.Errorf("pruning meanwhile: %v, want %v", meanwhile, output.ErrInUse)
			}
			if err := prune(); err != nil {
				t.Errorf("pruning afterwards: %v", err)
			}
		})
	}
}

// An image that is removed while the store is in use has gone, and what it had goes with
// the next prune.
func TestRemoveWhileInUse(t *testing.T) {
	const name = "app:1"
	store := keepImage(t, name)
	release, err := store.Use()
	if err != nil {
		t.Fatal(err)
	}
	images := newImagesCommand()
	images.SetArgs([]string{"rm", name})
	if err := images.ExecuteContext(t.Context()); err != nil {
		t.Errorf("removing: %v", err)
	}
	if _, err := store.Find(t.Context(), name); !errors.Is(err, output.ErrNotFound) {
		t.Errorf("looking for it: %v, want %v", err, output.ErrNotFound)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if freed, err := store.Prune(t.Context(), false); freed == 0 || err != nil {
		t.Errorf("%d bytes are free, %v", freed, err)
	}
}
