package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
)

const (
	maxDocument = 4 << 20 // as registries bound manifests
	maxLayers   = 4096
)

// Image verifies the image of one manifest against the platform of its descriptor,
// or that of its config if the descriptor names none. What is wrong with the image
// is in the report. The error, an [*ImageError] or the cause of ctx, says why it
// could not be verified; it matches [ErrLimit], [ErrDigest], [ErrFormat] or
// [ErrManifest] if that is the image's fault.
func Image(ctx context.Context, src Source, manifest ocispec.Descriptor, opts Options) (*Report, error) {
	s, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	return s.image(ctx, src, manifest)
}

// image is an image on its way through verification.
type image struct {
	*settings
	src      Source
	desc     ocispec.Descriptor
	manifest ocispec.Manifest
	config   ocispec.Image
	platform ocispec.Platform
	report   *Report
	collector
}

func (s *settings) image(ctx context.Context, src Source, desc ocispec.Descriptor) (*Report, error) {
	m := &image{settings: s, src: src, desc: desc, report: &Report{Digest: desc.Digest, Findings: []Finding{}}}
	if desc.Platform != nil {
		m.platform = *desc.Platform
		m.report.Platform = platforms.FormatAll(platforms.Normalize(m.platform))
	}
	if s.Mode == Off {
		return m.report, nil
	}
	if err := m.verify(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		var placed *ImageError
		if !errors.As(err, &placed) {
			err = &ImageError{Platform: m.report.Platform, Digest: desc.Digest, Err: err}
		}
		return nil, err
	}
	if len(m.findings) > 0 {
		m.report.Findings, m.report.Omitted = m.sorted(), m.omitted
	}
	return m.report, nil
}

func (m *image) verify(ctx context.Context) error {
	if err := m.document(ctx, m.desc, &m.manifest); err != nil {
		return fmt.Errorf("reading the manifest: %w", err)
	}
	if !isConfig(m.manifest.Config.MediaType) {
		m.unverified("it is no container image but holds " + cmpOr(m.manifest.ArtifactType, m.manifest.Config.MediaType))
		return nil
	}
	if err := m.document(ctx, m.manifest.Config, &m.config); err != nil {
		return fmt.Errorf("reading the image's config: %w", err)
	}
	if n, ids := len(m.manifest.Layers), len(m.config.RootFS.DiffIDs); n != ids || n > maxLayers {
		return fmt.Errorf("%w: the manifest lists %d layers, the config %d", ErrManifest, n, ids)
	}
	m.report.Layers = len(m.manifest.Layers)
	m.comparePlatforms()
	w, ok := wanted(m.platform)
	if !ok {
		m.unverified("there are no rules for " + m.report.Platform)
		return nil
	}
	layers, err := m.load(ctx)
	if err != nil {
		return err
	}
	return m.check(w, layers)
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// isConfig knows the configs of images by OCI, Docker and, empty, ancient tools.
func isConfig(mediaType string) bool {
	switch mediaType {
	case ocispec.MediaTypeImageConfig, "application/vnd.docker.container.image.v1+json", "":
		return true
	}
	return false
}

func (m *image) unverified(why string) {
	m.add(Finding{Level: Note, Rule: RuleUnverified, Message: why})
}

// document reads a small JSON document and compares it with its digest.
func (m *image) document(ctx context.Context, desc ocispec.Descriptor, into any) error {
	if err := desc.Digest.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if desc.Size > maxDocument {
		return fmt.Errorf("%w: it has %d bytes, more than %d", ErrLimit, desc.Size, maxDocument)
	}
	r, err := m.src.Open(ctx, desc)
	if err != nil {
		return err
	}
	defer r.Close()
	body, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return err
	}
	if len(body) > maxDocument || desc.Digest.Algorithm().FromBytes(body) != desc.Digest || desc.Size > 0 && int64(len(body)) != desc.Size {
		return fmt.Errorf("%w: %d bytes are not the %d of %s", ErrDigest, len(body), desc.Size, desc.Digest)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: %w", ErrManifest, err)
	}
	return nil
}

// comparePlatforms compares what the config says with the descriptor.
func (m *image) comparePlatforms() {
	claimed := ocispec.Platform{
		OS: m.config.OS, Architecture: m.config.Architecture, Variant: m.config.Variant, OSVersion: m.config.OSVersion,
	}
	if m.desc.Platform == nil {
		m.platform = claimed
		m.report.Platform = platforms.FormatAll(platforms.Normalize(claimed))
	}
	fix := "push the image again with a tool that takes the platform from the config; mabuild does"
	have, want := platforms.Normalize(claimed), platforms.Normalize(m.platform)
	switch {
	case claimed.OS == "" || claimed.Architecture == "":
		m.add(Finding{
			Level: Error, Rule: RuleConfigPlatform, Fix: fix,
			Message: fmt.Sprintf("the image's config names no platform (os %q, architecture %q)", claimed.OS, claimed.Architecture),
		})
	case have.OS != want.OS || have.Architecture != want.Architecture:
		m.add(Finding{
			Level: Error, Rule: RuleConfigPlatform, Fix: fix,
			Message: fmt.Sprintf("the image's config says %s, its descriptor %s", platforms.FormatAll(claimed), m.report.Platform),
		})
	case claimed.Variant != "" && have.Variant != want.Variant:
		m.add(Finding{
			Level: Warning, Rule: RuleConfigPlatform, Fix: fix,
			Message: fmt.Sprintf("the image's config says %s, its descriptor %s", platforms.FormatAll(claimed), m.report.Platform),
		})
	}
}

// layerInfo describes the layer with that index, with the step that made it.
func (m *image) layerInfo(i int) Layer {
	l := Layer{Index: i, Digest: m.manifest.Layers[i].Digest, DiffID: m.config.RootFS.DiffIDs[i]}
	n := 0
	for _, h := range m.config.History {
		if h.EmptyLayer {
			continue
		}
		if n == i {
			l.CreatedBy = strings.TrimSpace(h.CreatedBy)
			break
		}
		n++
	}
	return l
}

// imagesOf returns the images of an index, without what only describes them.
func imagesOf(root ocispec.Descriptor, body []byte) ([]ocispec.Descriptor, error) {
	parsed, err := index.Parse(root.MediaType, body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	var images []ocispec.Descriptor
	for _, m := range parsed.Manifests {
		if _, attestation := index.Subject(m); attestation {
			continue
		}
		if m.Platform != nil && m.Platform.OS == "unknown" && m.Platform.Architecture == "unknown" {
			continue
		}
		images = append(images, m)
	}
	return images, nil
}
