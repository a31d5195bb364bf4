package buildkit

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxIndex bounds what is read of a layout's index.
const maxIndex = 8 << 20

// openLayout opens what "DIR[:TAG][@DIGEST]" names in a directory in the OCI image
// layout.
func openLayout(spec string) (content.Store, digest.Digest, error) {
	dir, pinned, _ := strings.Cut(spec, "@")
	tag := ""
	if i := strings.LastIndex(dir, ":"); i > strings.LastIndex(dir, string(filepath.Separator)) {
		dir, tag = dir[:i], dir[i+1:]
	}
	file, err := os.OpenInRoot(dir, "index.json")
	if err != nil {
		return nil, "", fmt.Errorf("reading the image layout: %w", err)
	}
	defer file.Close()
	var index ocispec.Index
	if err := json.NewDecoder(io.LimitReader(file, maxIndex)).Decode(&index); err != nil {
		return nil, "", fmt.Errorf("reading %s: %w", filepath.Join(dir, "index.json"), err)
	}
	var found []digest.Digest
	for _, m := range index.Manifests {
		name := m.Annotations[ocispec.AnnotationRefName]
		if (tag == "" || name == tag || strings.HasSuffix(name, ":"+tag)) && (pinned == "" || m.Digest.String() == pinned) {
			found = append(found, m.Digest)
		}
	}
	if len(found) != 1 {
		return nil, "", fmt.Errorf("%s has %d images for %q; name one as in oci-layout://DIR:TAG or oci-layout://DIR@DIGEST", dir, len(found), spec)
	}
	if err := found[0].Validate(); err != nil {
		return nil, "", fmt.Errorf("reading %s: %w", filepath.Join(dir, "index.json"), err)
	}
	store, err := local.NewStore(dir)
	return store, found[0], err
}
