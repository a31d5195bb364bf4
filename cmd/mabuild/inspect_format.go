package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/template"

	"github.com/containerd/platforms"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/planner"
)

// Predicates of attestations, and where manifests say which one a layer has.
const (
	predicateType   = "in-toto.io/predicate-type"
	slsaPredicates  = "https://slsa.dev/provenance/"
	spdxPredicate   = "https://spdx.dev/Document"
	tableOfManifest = "{{.Manifest}}" // shown as without a template, as in buildx
)

// shownManifest is an index as templates see it; buildx has the same fields.
type shownManifest struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType,omitempty"`
	Digest        digest.Digest        `json:"digest"`
	Size          int64                `json:"size"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
	Annotations   map[string]string    `json:"annotations,omitempty"`
}

// provenance and sbom are what attestations say of one platform.
type provenance struct {
	SLSA any `json:"SLSA,omitempty"`
}

type sbom struct {
	SPDX            any   `json:"SPDX,omitempty"`
	AdditionalSPDXs []any `json:"AdditionalSPDXs,omitempty"`
}

// oneShown is what templates see of an image for one platform. What they do not ask
// for is not fetched.
type oneShown struct {
	Name     string         `json:"name"`
	Manifest any            `json:"manifest,omitempty"`
	Image    *ocispec.Image `json:"image,omitempty"`

	provenance func() (provenance, error)
	sbom       func() (sbom, error)
}

// Provenance says how the image was made.
func (o oneShown) Provenance() (provenance, error) { return o.provenance() }

// SBOM says what is in the image.
func (o oneShown) SBOM() (sbom, error) { return o.sbom() }

// allShown is what templates see of an image for several platforms, by platform.
type allShown struct {
	Name     string                    `json:"name"`
	Manifest any                       `json:"manifest,omitempty"`
	Image    map[string]*ocispec.Image `json:"image,omitempty"`

	provenance func() (map[string]provenance, error)
	sbom       func() (map[string]sbom, error)
}

// Provenance says how the images were made.
func (a allShown) Provenance() (map[string]provenance, error) { return a.provenance() }

// SBOM says what is in the images.
func (a allShown) SBOM() (map[string]sbom, error) { return a.sbom() }

// format fills a template of the Go language, as buildx imagetools inspect does. With a
// platform, or if there is one only, it sees what is for that one.
func (i *inspected) format(ctx context.Context, w io.Writer, text, platform string) error {
	if text == tableOfManifest {
		return i.print(w)
	}
	filled, err := template.New("--format").Funcs(template.FuncMap{"json": func(v any) (string, error) {
		body, err := json.MarshalIndent(v, "", "  ")
		return string(body), err
	}}).Parse(text)
	if err != nil {
		return usagef("%w", err)
	}
	reader, err := i.reader(ctx, platform)
	if err != nil {
		return err
	}
	data, err := reader.data(platform != "")
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := filled.Execute(&out, data); err != nil {
		return fmt.Errorf("filling the template: %w", err)
	}
	if !bytes.HasSuffix(out.Bytes(), []byte("\n")) {
		out.WriteByte('\n')
	}
	_, err = w.Write(out.Bytes())
	return err
}

// imageReader reads what images say of themselves and attestations of them.
type imageReader struct {
	*inspected
	read   func(desc ocispec.Descriptor, into any) error
	images map[string]ocispec.Descriptor // manifests by platform
	// attestations are manifests by the digest of their image.
	attestations map[digest.Digest][]ocispec.Descriptor
	index        *ocispec.Index // nil if the image is one manifest
}

func (i *inspected) reader(ctx context.Context, platform string) (*imageReader, error) {
	r := &imageReader{
		inspected: i, images: make(map[string]ocispec.Descriptor), attestations: make(map[digest.Digest][]ocispec.Descriptor),
		read: func(desc ocispec.Descriptor, into any) error {
			body, err := i.fetch(ctx, desc)
			if err == nil {
				err = json.Unmarshal(body, into)
			}
			return err
		},
	}
	for _, item := range i.Platforms {
		r.images[item.Platform] = ocispec.Descriptor{MediaType: item.MediaType, Digest: item.Digest, Size: item.Size}
	}
	if i.MediaType != ocispec.MediaTypeImageManifest && i.MediaType != index.MediaTypeDockerManifest {
		parsed, err := index.Parse(i.MediaType, i.body)
		if err != nil {
			return nil, err
		}
		r.index = &parsed
		for _, desc := range parsed.Manifests {
			if subject, ok := index.Subject(desc); ok {
				r.attestations[subject] = append(r.attestations[subject], desc)
			}
		}
	}
	return r, r.choose(platform)
}

// choose leaves one platform if one was asked for.
func (r *imageReader) choose(platform string) error {
	if platform == "" {
		return nil
	}
	wanted, err := planner.ParsePlatforms(platform)
	if err != nil {
		return err
	}
	if len(wanted) != 1 {
		return usagef("--platform %s are several platforms; give one, or none for all", platform)
	}
	for name, desc := range r.images {
		has, err := platforms.Parse(name)
		if err == nil && platforms.OnlyStrict(wanted[0]).Match(has) {
			r.images = map[string]ocispec.Descriptor{name: desc}
			return nil
		}
	}
	return usagef("%s has no %s; it has %s", r.Name, platforms.FormatAll(wanted[0]), r.platformList())
}

// data is what the template sees.
func (r *imageReader) data(chosen bool) (any, error) {
	configs := make(map[string]*ocispec.Image)
	for name, desc := range r.images {
		var manifest ocispec.Manifest
		config := &ocispec.Image{}
		err := r.read(desc, &manifest)
		if err == nil {
			err = r.read(manifest.Config, config)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the image for %s: %w", name, err)
		}
		configs[name] = config
	}
	if len(r.images) != 1 {
		return allShown{
			Name: r.Name, Manifest: r.manifest(), Image: configs,
			provenance: func() (map[string]provenance, error) { return perPlatform(r, r.provenanceOf) },
			sbom:       func() (map[string]sbom, error) { return perPlatform(r, r.sbomOf) },
		}, nil
	}
	platform := slices.Collect(maps.Keys(r.images))[0]
	one := oneShown{
		Name: r.Name, Manifest: r.manifest(), Image: configs[platform],
		provenance: func() (provenance, error) { return r.provenanceOf(platform) },
		sbom:       func() (sbom, error) { return r.sbomOf(platform) },
	}
	if chosen {
		one.Manifest = r.images[platform]
	}
	return one, nil
}

func (r *imageReader) manifest() any {
	if r.index == nil {
		return ocispec.Descriptor{MediaType: r.MediaType, Digest: r.Digest, Size: r.Size}
	}
	return shownManifest{
		SchemaVersion: r.index.SchemaVersion, MediaType: r.MediaType, Digest: r.Digest, Size: r.Size,
		Manifests: r.index.Manifests, Annotations: r.index.Annotations,
	}
}

// perPlatform gathers what is there of every platform.
func perPlatform[T any](r *imageReader, of func(platform string) (T, error)) (map[string]T, error) {
	found := make(map[string]T)
	for name, desc := range r.images {
		if len(r.attestations[desc.Digest]) == 0 {
			continue
		}
		one, err := of(name)
		if err != nil {
			return nil, err
		}
		found[name] = one
	}
	return found, nil
}

func (r *imageReader) provenanceOf(platform string) (provenance, error) {
	found, err := r.predicates(platform, func(kind string) bool { return strings.HasPrefix(kind, slsaPredicates) })
	if err != nil || len(found) == 0 {
		return provenance{}, err
	}
	return provenance{SLSA: found[0]}, nil
}

func (r *imageReader) sbomOf(platform string) (sbom, error) {
	found, err := r.predicates(platform, func(kind string) bool { return kind == spdxPredicate })
	if err != nil || len(found) == 0 {
		return sbom{}, err
	}
	return sbom{SPDX: found[0], AdditionalSPDXs: found[1:]}, nil
}

// predicates are what the attestations of one kind say of a platform.
func (r *imageReader) predicates(platform string, wanted func(kind string) bool) ([]any, error) {
	var found []any
	for _, desc := range r.attestations[r.images[platform].Digest] {
		var manifest ocispec.Manifest
		if err := r.read(desc, &manifest); err != nil {
			return nil, fmt.Errorf("reading the attestations of %s: %w", platform, err)
		}
		for _, layer := range manifest.Layers {
			if !wanted(layer.Annotations[predicateType]) {
				continue
			}
			var statement struct {
				Predicate any `json:"predicate"`
			}
			if err := r.read(layer, &statement); err != nil {
				return nil, fmt.Errorf("reading an attestation of %s: %w", platform, err)
			}
			if statement.Predicate == nil {
				return nil, errors.New("reading an attestation: it has no predicate")
			}
			found = append(found, statement.Predicate)
		}
	}
	return found, nil
}
