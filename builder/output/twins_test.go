package output_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/builder/output"
)

var _ builder.Publisher = (&output.Twins{}).Publisher(nil)

// A publisher of twins publishes what was made for it of the images that there are,
// each with what the index says of the first.
func TestTwins(t *testing.T) {
	store := open(t)
	var twins output.Twins
	var first, own []ocispec.Descriptor
	for _, platform := range []ocispec.Platform{amd64, armv7, arm64} {
		a, b := putImage(t, store, platform), putImage(t, store, platform)
		twins.Add([]ocispec.Descriptor{a}, []ocispec.Descriptor{b})
		first, own = append(first, a), append(own, b)
	}
	first[2].Annotations = map[string]string{"own": "arm"}
	own[2].Annotations = first[2].Annotations
	root, err := twins.Publisher(&output.Keeper{Layout: store}).Publish(t.Context(), first[1:]) // one is missing
	if err != nil {
		t.Fatal(err)
	}
	joined, err := index.Flatten([]byte(read(t, store, root)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(own[1:], joined); diff != "" {
		t.Errorf("manifests (-want +got):\n%s", diff)
	}
	if _, err := twins.Publisher(&output.Keeper{Layout: store}).Publish(t.Context(), own); err == nil {
		t.Error("an image without a twin was published")
	}
}

// A second layout gets everything that its image leads to, and nothing else.
func TestKeeperCopies(t *testing.T) {
	dir := t.TempDir()
	to, err := output.OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	from := open(t)
	manifests := []ocispec.Descriptor{putImage(t, from, arm64), putImage(t, from, amd64)}
	other := putImage(t, from, armv7)
	for range 2 { // the second time, all is there
		root, err := (&output.Keeper{Layout: to, From: from, Names: []string{"app:1"}}).Publish(t.Context(), manifests)
		if err != nil {
			t.Fatal(err)
		}
		entry, err := to.Find(t.Context(), "app:1")
		if err != nil || entry.Descriptor.Digest != root.Digest {
			t.Errorf("entry %+v, error %v", entry, err)
		}
		image, err := layout.ImageIndexFromPath(dir)
		if err == nil {
			err = validate.Index(image)
		}
		if err != nil {
			t.Error(err)
		}
	}
	if _, err := to.Blobs().Info(t.Context(), other.Digest); err == nil {
		t.Error("another image was copied too")
	}
	if entries, err := from.List(t.Context()); err != nil || len(entries) > 0 {
		t.Errorf("the first layout has entries: %v, %v", entries, err)
	}
}

// manifest.json of docker save has the platform of Docker's machine if there is one,
// index.json all.
func TestArchiverForDocker(t *testing.T) {
	for name, test := range map[string]struct {
		platforms []ocispec.Platform
		want      string // architecture in manifest.json
	}{
		"own and another":      {[]ocispec.Platform{arm64, amd64}, "amd64"},
		"none of the machine":  {[]ocispec.Platform{arm64, armv7}, "arm64"},
		"one, of another kind": {[]ocispec.Platform{armv7}, "arm"},
	} {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			var manifests []ocispec.Descriptor
			for _, platform := range test.platforms {
				manifests = append(manifests, putImage(t, store, platform))
			}
			var archive bytes.Buffer
			archiver := &output.Archiver{
				Keeper: output.Keeper{Layout: store, Names: []string{"me/app:1"}},
				Dest:   output.Stdout, Stdout: &archive, Docker: &output.ForDocker{Platform: amd64},
			}
			root, err := archiver.Publish(t.Context(), manifests)
			if err != nil {
				t.Fatal(err)
			}
			files := archived(t, &archive)
			var saved []struct {
				Config   string
				RepoTags []string
				Layers   []string
			}
			var all ocispec.Index
			if err := errors.Join(json.Unmarshal(files["manifest.json"], &saved), json.Unmarshal(files["index.json"], &all)); err != nil {
				t.Fatal(err)
			}
			if len(saved) != 1 || !slices.Equal(saved[0].RepoTags, []string{"me/app:1"}) || len(saved[0].Layers) != 2 {
				t.Fatalf("manifest.json is %s", files["manifest.json"])
			}
			var config ocispec.Image
			if err := json.Unmarshal(files[saved[0].Config], &config); err != nil || config.Architecture != test.want {
				t.Errorf("manifest.json has %s, want %s (%v)", config.Architecture, test.want, err)
			}
			if len(all.Manifests) != 1 || all.Manifests[0].Digest != root.Digest {
				t.Errorf("index.json is %s", files["index.json"])
			}
		})
	}
}

func archived(t *testing.T, archive io.Reader) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err == nil {
			files[header.Name], err = io.ReadAll(reader)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
