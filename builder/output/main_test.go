package output_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"

	"github.com/mabuild/mabuild/builder/output"
)

// The test binary is also another process that fills a layout.
func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard) // containerd's store warns of file systems without fs-verity
	if dir := os.Getenv("MABUILD_TEST_FILL"); dir != "" {
		if err := fill(dir, os.Getenv("MABUILD_TEST_FILL_AS")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fillCount is how many images [fill] adds.
const fillCount = 25

// fill adds images, each with a blob that every process writes and one of its own.
// It begins at the first byte on standard input and says which images it has added.
func fill(dir, name string) error {
	layout, err := output.OpenLayout(dir)
	if err != nil {
		return err
	}
	if _, err := bufio.NewReader(os.Stdin).ReadByte(); err != nil {
		return err
	}
	for n := range fillCount {
		shared := bytes.Repeat([]byte(fmt.Sprintf("shared %d ", n)), 1<<13)
		own := []byte(fmt.Sprintf("%s %d", name, n))
		for _, body := range [][]byte{shared, own} {
			if err := layout.Write(context.Background(), blob(body), body); err != nil {
				return err
			}
		}
		if err := layout.Add(blob(own), fmt.Sprintf("%s:%d", name, n)); err != nil {
			return err
		}
		fmt.Println(n)
	}
	return nil
}

// blob describes content that is not looked into.
func blob(body []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: "application/octet-stream", Digest: digest.FromBytes(body), Size: int64(len(body))}
}

func open(t testing.TB) *output.Layout {
	t.Helper()
	layout, err := output.OpenLayout(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return layout
}

func put(t testing.TB, layout *output.Layout, desc ocispec.Descriptor, body []byte) {
	t.Helper()
	if err := layout.Write(t.Context(), desc, body); err != nil {
		t.Fatal(err)
	}
}

// putImage writes a random image for a platform and returns its manifest, as a
// build of that platform would.
func putImage(t testing.TB, layout *output.Layout, platform ocispec.Platform) ocispec.Descriptor {
	t.Helper()
	image, err := random.Image(64, 2)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	image = mutate.ConfigMediaType(mutate.MediaType(image, types.OCIManifestSchema1), types.OCIConfigJSON)
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		putLayer(t, layout, layer)
	}
	body, err := image.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	put(t, layout, blob(body), body)
	if body, err = image.RawManifest(); err != nil {
		t.Fatal(err)
	}
	desc, err := partial.Descriptor(image)
	if err != nil {
		t.Fatal(err)
	}
	manifest := blob(body)
	manifest.MediaType, manifest.Platform = string(desc.MediaType), &platform
	put(t, layout, manifest, body)
	return manifest
}

func putLayer(t testing.TB, layout *output.Layout, layer v1.Layer) {
	t.Helper()
	reader, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	put(t, layout, blob(body), body)
}

var (
	amd64 = ocispec.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = ocispec.Platform{OS: "linux", Architecture: "arm64"}
	armv7 = ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}
)
