package imagestore_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/integration/testbed/imagestore"
)

// put stores an image for two platforms and returns its index and images.
func put(t *testing.T, store imagestore.Store) (ocispec.Descriptor, []imagestore.Image) {
	t.Helper()
	var images []imagestore.Image
	var manifests []ocispec.Descriptor
	for _, platform := range []ocispec.Platform{
		{OS: "linux", Architecture: "amd64"},
		{OS: "linux", Architecture: "arm", Variant: "v7"},
	} {
		layer, err := store.PutLayer(t.Context(), "library/tiny", "a test", []imagestore.Entry{
			imagestore.File("arch", 0o644, []byte(platform.Architecture)),
		})
		if err != nil {
			t.Fatal(err)
		}
		img := imagestore.Image{
			Platform: platform,
			Config:   ocispec.ImageConfig{Cmd: []string{"sh"}},
			Layers:   []imagestore.Layer{layer},
		}
		desc, err := store.PutImage(t.Context(), "library/tiny", img)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&platform, desc.Platform); diff != "" {
			t.Errorf("the descriptor's platform differs (-want +got):\n%s", diff)
		}
		images, manifests = append(images, img), append(manifests, desc)
	}
	index, err := store.PutIndex(t.Context(), "library/tiny", []string{"1", "latest"}, manifests)
	if err != nil {
		t.Fatal(err)
	}
	return index, images
}

func open(t *testing.T, root string) imagestore.Store {
	t.Helper()
	store, err := imagestore.Open(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestStore(t *testing.T) {
	root := t.TempDir()
	index, want := put(t, open(t, root))

	store := open(t, root)
	got, err := store.Images(t.Context(), "library/tiny", "latest")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the images read differ from those written (-want +got):\n%s", diff)
	}
	for tag, want := range map[string]bool{"1": true, "latest": true, "2": false} {
		if got := store.Tagged(t.Context(), "library/tiny", tag, index.Digest); got != want {
			t.Errorf("Tagged(%q) = %v, want %v", tag, got, want)
		}
	}
	if store.Tagged(t.Context(), "library/tiny", "1", digest.FromString("other")) {
		t.Error("the tag is taken for that of another image")
	}
}

func TestStoreIsDeterministic(t *testing.T) {
	first, _ := put(t, open(t, t.TempDir()))
	second, _ := put(t, open(t, t.TempDir()))
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("the same content gives another image (-first +second):\n%s", diff)
	}
}

func TestStoreMount(t *testing.T) {
	store := open(t, t.TempDir())
	_, images := put(t, store)
	layer := images[0].Layers[0].Descriptor
	if err := store.Mount(t.Context(), "library/tiny", "library/other", layer); err != nil {
		t.Fatal(err)
	}
	if _, err := store.PutImage(t.Context(), "library/other", images[0]); err != nil {
		t.Errorf("an image of the mounted layer can't be stored: %v", err)
	}
	layer.Digest = digest.FromString("nothing")
	if err := store.Mount(t.Context(), "library/tiny", "library/other", layer); err == nil {
		t.Error("a blob was mounted that isn't there")
	}
}

func TestStoreKeepsNothingHalf(t *testing.T) {
	store := open(t, t.TempDir())
	stop := errors.New("the user had enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	file := imagestore.File("big", 0o644, make([]byte, 10))
	open := file.Open
	file.Open = func() (io.ReadCloser, error) { cancel(stop); return open() }
	_, err := store.PutLayer(ctx, "library/tiny", "a test", []imagestore.Entry{file})
	if !errors.Is(err, stop) {
		t.Errorf("got the error %v, want the cause of the cancellation", err)
	}
	if _, err := store.PutImage(t.Context(), "library/tiny", imagestore.Image{
		Layers: []imagestore.Layer{{Descriptor: ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString("big"), Size: 3,
		}}},
	}); err == nil {
		t.Error("an image was stored whose layer isn't there")
	}
}
