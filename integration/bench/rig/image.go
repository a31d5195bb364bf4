package rig

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	readLimit      = 64 << 20
)

// Image is an image of several platforms, as a registry has it.
type Image struct {
	Digest    digest.Digest
	Manifests []ocispec.Descriptor // those that have a platform
	registry  *Registry
	name      string
}

// Image reads what tag points at: an index, or the manifest of an image for one
// platform, whose configuration then says which.
func (r *Registry) Image(ctx context.Context, name, tag string) (*Image, error) {
	accept := []string{ocispec.MediaTypeImageIndex, dockerList, ocispec.MediaTypeImageManifest, dockerManifest}
	body, err := r.Get(ctx, fmt.Sprintf("%s/manifests/%s", name, tag), accept...)
	if err != nil {
		return nil, err
	}
	image := &Image{Digest: digest.FromBytes(body), registry: r, name: name}
	var manifest ocispec.Manifest
	if json.Unmarshal(body, &manifest) == nil && (manifest.MediaType == ocispec.MediaTypeImageManifest || manifest.MediaType == dockerManifest) {
		image.Manifests, err = r.single(ctx, name, manifest, body)
	} else {
		image.Manifests, err = ParseIndex(body)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s:%s: %w", name, tag, err)
	}
	return image, nil
}

// single describes a manifest as an index would.
func (r *Registry) single(ctx context.Context, name string, manifest ocispec.Manifest, body []byte) ([]ocispec.Descriptor, error) {
	config, err := r.Get(ctx, fmt.Sprintf("%s/blobs/%s", name, manifest.Config.Digest))
	if err != nil {
		return nil, err
	}
	var platform ocispec.Platform
	if err := json.Unmarshal(config, &platform); err != nil {
		return nil, fmt.Errorf("parsing the configuration %s: %w", manifest.Config.Digest, err)
	}
	return []ocispec.Descriptor{{
		MediaType: manifest.MediaType, Digest: digest.FromBytes(body), Size: int64(len(body)), Platform: &platform,
	}}, nil
}

// ParseIndex returns an index' descriptors of images, without those of attestations.
func ParseIndex(text []byte) ([]ocispec.Descriptor, error) {
	var index ocispec.Index
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, fmt.Errorf("parsing the index: %w", err)
	}
	if index.MediaType != ocispec.MediaTypeImageIndex && index.MediaType != dockerList {
		return nil, fmt.Errorf("parsing the index: its media type %q is another one", index.MediaType)
	}
	return slices.DeleteFunc(index.Manifests, func(desc ocispec.Descriptor) bool {
		return desc.Platform == nil || desc.Platform.OS == "unknown"
	}), nil
}

// CheckPlatforms returns an error unless the manifests are of exactly these
// platforms, in any order.
func CheckPlatforms(manifests []ocispec.Descriptor, want []string) error {
	var got []string
	for _, desc := range manifests {
		got = append(got, platforms.Format(platforms.Normalize(*desc.Platform)))
	}
	slices.Sort(got)
	sorted := slices.Sorted(slices.Values(want))
	if !slices.Equal(got, sorted) {
		return fmt.Errorf("checking the platforms: the index has %s, not %s", strings.Join(got, " "), strings.Join(sorted, " "))
	}
	return nil
}

// File reads a regular file from the layers of one of the image's manifests. The
// last layer that has it counts. Its config is read as well, to see that it is there.
func (i *Image) File(ctx context.Context, desc ocispec.Descriptor, path string) ([]byte, error) {
	body, err := i.registry.Get(ctx, fmt.Sprintf("%s/manifests/%s", i.name, desc.Digest), desc.MediaType)
	if err != nil {
		return nil, err
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(body, &manifest); err != nil {
		return nil, fmt.Errorf("parsing the manifest %s: %w", desc.Digest, err)
	}
	if _, err := i.registry.Get(ctx, fmt.Sprintf("%s/blobs/%s", i.name, manifest.Config.Digest)); err != nil {
		return nil, err
	}
	for _, layer := range slices.Backward(manifest.Layers) {
		blob, err := i.registry.Get(ctx, fmt.Sprintf("%s/blobs/%s", i.name, layer.Digest))
		if err != nil {
			return nil, err
		}
		content, err := FileInLayer(blob, path)
		if err == nil || !errors.Is(err, errNotThere) {
			return content, err
		}
	}
	return nil, fmt.Errorf("reading %q: none of %d layers has it", path, len(manifest.Layers))
}

var errNotThere = errors.New("it isn't there")

// FileInLayer reads a regular file from a gzip-compressed layer.
func FileInLayer(blob []byte, path string) ([]byte, error) {
	uncompressed, err := gzip.NewReader(bytes.NewReader(blob))
	if err != nil {
		return nil, fmt.Errorf("uncompressing a layer: %w", err)
	}
	archive := tar.NewReader(uncompressed)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("looking for %q in a layer: %w", path, errNotThere)
		}
		if err != nil {
			return nil, fmt.Errorf("reading a layer: %w", err)
		}
		if header.Typeflag == tar.TypeReg && header.Name == path {
			return io.ReadAll(io.LimitReader(archive, readLimit))
		}
	}
}

// Get reads what the registry has below /v2/.
func (r *Registry) Get(ctx context.Context, path string, accept ...string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.Addr+"/v2/"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("asking the registry for %q: %w", path, err)
	}
	request.Header["Accept"] = accept
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking the registry for %q: %w", path, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, readLimit))
	if err != nil {
		return nil, fmt.Errorf("reading %q from the registry: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("reading %q from the registry: %s", path, response.Status)
	}
	return body, nil
}
