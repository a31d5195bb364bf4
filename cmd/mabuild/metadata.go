package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/platforms"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder"
)

// metadata is the file of --metadata-file. The first three keys are buildx's.
type metadata struct {
	Digest     digest.Digest               `json:"containerimage.digest,omitempty"`
	Descriptor *ocispec.Descriptor         `json:"containerimage.descriptor,omitempty"`
	Name       string                      `json:"image.name,omitempty"`
	Platforms  map[string]platformMetadata `json:"mabuild.platforms"`
}

type platformMetadata struct {
	Digest    digest.Digest `json:"digest,omitempty"`
	MediaType string        `json:"mediaType,omitempty"`
	Size      int64         `json:"size,omitempty"`
	Seconds   float64       `json:"seconds"`
}

// writeMetadata writes the file whole or not at all.
func writeMetadata(path string, result *builder.Result, names []string) error {
	m := metadata{Digest: result.Root.Digest, Name: strings.Join(names, ","), Platforms: map[string]platformMetadata{}}
	if m.Digest != "" {
		m.Descriptor = &result.Root
	}
	for _, job := range result.Jobs {
		p := platformMetadata{Seconds: job.Duration.Round(1e6).Seconds()}
		if len(job.Manifests) > 0 {
			image := job.Manifests[0]
			p.Digest, p.MediaType, p.Size = image.Digest, image.MediaType, image.Size
		}
		m.Platforms[platforms.Format(job.Platform)] = p
	}
	body, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, append(body, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the metadata file: %w", err)
	}
	return os.Rename(tmp, path)
}
