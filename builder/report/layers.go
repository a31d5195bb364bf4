package report

import (
	"encoding/json"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// createdByMax bounds what an image says of a layer.
const createdByMax = 2048

// Layers reads the layers of an image from its manifest and its configuration. If
// the history does not match the layers, they are without it.
func Layers(manifest, config []byte) ([]Layer, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	var image ocispec.Image
	if err := json.Unmarshal(config, &image); err != nil {
		return nil, fmt.Errorf("reading the image's configuration: %w", err)
	}
	var created []string
	for _, h := range image.History {
		if !h.EmptyLayer {
			created = append(created, cut(h.CreatedBy, createdByMax))
		}
	}
	layers := make([]Layer, len(m.Layers))
	for i, l := range m.Layers {
		layers[i] = Layer{Digest: l.Digest.String(), Size: l.Size}
		if len(created) == len(m.Layers) {
			layers[i].CreatedBy = created[i]
		}
	}
	return layers, nil
}

// cut shortens text to a number of characters.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	n := 0
	for i := range text {
		if n++; n == limit {
			return text[:i] + "…"
		}
	}
	return text
}
