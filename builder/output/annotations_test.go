package output_test

import (
	"encoding/json"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/output"
)

// TestKeeperAnnotations: an index has annotations of its own, and so has its entry; one
// image alone has neither (cases 60, 71).
func TestKeeperAnnotations(t *testing.T) {
	layout := open(t)
	amd := putImage(t, layout, ocispec.Platform{OS: "linux", Architecture: "amd64"})
	arm := putImage(t, layout, ocispec.Platform{OS: "linux", Architecture: "arm64"})
	keeper := output.Keeper{Layout: layout, Names: []string{"app:1"}, Annotations: output.Annotations{
		Index: map[string]string{"in": "1"}, Descriptor: map[string]string{"at": "2"},
	}}
	root, err := keeper.Publish(t.Context(), []ocispec.Descriptor{amd, arm})
	if err != nil {
		t.Fatal(err)
	}
	body, err := content.ReadBlob(t.Context(), layout.Blobs(), root)
	if err != nil {
		t.Fatal(err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(body, &index); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"in": "1"}, index.Annotations); diff != "" {
		t.Errorf("index (-want +got):\n%s", diff)
	}
	entry, err := layout.Find(t.Context(), "app:1")
	if err != nil {
		t.Fatal(err)
	}
	if entry.Descriptor.Annotations["at"] != "2" {
		t.Errorf("the entry is %+v", entry.Descriptor)
	}
	alone, err := keeper.Publish(t.Context(), []ocispec.Descriptor{amd})
	if err != nil {
		t.Fatal(err)
	}
	if alone.Digest != amd.Digest || alone.Annotations["at"] != "" {
		t.Errorf("one image became %+v", alone)
	}
}
