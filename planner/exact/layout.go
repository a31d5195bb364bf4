package exact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxDocument bounds what is read of a layout in one piece, as BuildKit does.
const maxDocument = 8 << 20

// layout is a Resolver for a directory in the OCI image layout.
type layout struct {
	dir  string
	root ocispec.Descriptor
}

// openLayout reads "DIR[:TAG][@DIGEST]" and returns the digest of the image.
func openLayout(spec string) (*layout, digest.Digest, error) {
	dir, pinned, _ := strings.Cut(spec, "@")
	tag := ""
	if i := strings.LastIndex(dir, ":"); i > strings.LastIndex(dir, string(filepath.Separator)) {
		dir, tag = dir[:i], dir[i+1:]
	}
	l := &layout{dir: dir}
	var index ocispec.Index
	if err := l.read("index.json", &index); err != nil {
		return nil, "", err
	}
	var found []ocispec.Descriptor
	for _, m := range index.Manifests {
		name := m.Annotations[ocispec.AnnotationRefName]
		if (tag == "" || name == tag || strings.HasSuffix(name, ":"+tag)) && (pinned == "" || m.Digest.String() == pinned) {
			found = append(found, m)
		}
	}
	if len(found) != 1 {
		return nil, "", fmt.Errorf("%s has %d images for %q; name one as in oci-layout://DIR:TAG or oci-layout://DIR@DIGEST", dir, len(found), spec)
	}
	l.root = found[0]
	if err := l.root.Digest.Validate(); err != nil {
		return nil, "", fmt.Errorf("reading %s: %w", filepath.Join(dir, "index.json"), err)
	}
	return l, l.root.Digest, nil
}

func (l *layout) read(name string, into any) error {
	text, err := l.file(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("reading %s: %w", filepath.Join(l.dir, name), err)
	}
	return nil
}

func (l *layout) file(name string) ([]byte, error) {
	file, err := os.OpenInRoot(l.dir, filepath.FromSlash(name))
	if err != nil {
		return nil, fmt.Errorf("reading the image layout: %w", err)
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxDocument))
}

func (l *layout) blob(d ocispec.Descriptor, into any) error {
	if err := d.Digest.Validate(); err != nil {
		return fmt.Errorf("reading the image layout %s: %w", l.dir, err)
	}
	return l.read(path.Join("blobs", d.Digest.Algorithm().String(), d.Digest.Encoded()), into)
}

// Resolve returns the image of the layout, whatever the reference: BuildKit
// makes one up for messages.
func (l *layout) Resolve(_ context.Context, ref string) (*Base, error) {
	base := &Base{Ref: ref, Digest: l.root.Digest, MediaType: l.root.MediaType}
	if !isIndex(base) {
		only := l.root
		config, err := l.config(only)
		if err != nil {
			return nil, err
		}
		var p ocispec.Platform
		if err := json.Unmarshal(config, &p); err != nil {
			return nil, fmt.Errorf("reading the configuration of %s: %w", ref, err)
		}
		only.Platform = &p
		base.Manifests = []ocispec.Descriptor{only}
		return base, nil
	}
	var index ocispec.Index
	if err := l.blob(l.root, &index); err != nil {
		return nil, err
	}
	base.Manifests = index.Manifests
	return base, nil
}

// Config returns the configuration of a manifest.
func (l *layout) Config(_ context.Context, _ string, manifest ocispec.Descriptor) ([]byte, error) {
	return l.config(manifest)
}

func (l *layout) config(d ocispec.Descriptor) ([]byte, error) {
	var manifest ocispec.Manifest
	if err := l.blob(d, &manifest); err != nil {
		return nil, err
	}
	if manifest.Config.Digest == "" {
		return nil, errors.New("manifest without a configuration")
	}
	var config json.RawMessage
	err := l.blob(manifest.Config, &config)
	return config, err
}
