package buildkit

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
)

// Export is one way of delivering a job's result. All of a job's are filled by one
// Solve.
type Export struct {
	// Type is BuildKit's name of the exporter: image, oci, local or tar.
	Type string
	// Attrs are the exporter's attributes.
	Attrs map[string]string
	// Store receives blobs and manifests of an oci export. Those of one job have one
	// in common.
	Store content.Store
	// Dir receives the files of a local export.
	Dir string
	// Tar opens the file that a tar export writes.
	Tar func() (io.WriteCloser, error)
	// Image says which of the job's images this is: exports with the same number make
	// the same one, others are compressed or described in another way. Solve returns
	// the one of the lowest number. A negative one is not asked for.
	Image int
	// Made hears of the image that the export made, and of its attestations, before
	// Solve returns the image called first. Nil hears nothing.
	Made func(first, own []ocispec.Descriptor)
}

// exportsOf are a job's, in the order in which the daemon is asked for them: what it
// answers is about the last image.
func (s *Solver) exportsOf(job planner.Job) []Export {
	if s.opts.Exports == nil {
		return nil
	}
	exports := slices.Clone(s.opts.Exports(job))
	slices.SortStableFunc(exports, func(a, b Export) int { return cmp.Compare(min(a.Image, 0), min(b.Image, 0)) })
	return exports
}

// isImage reports whether somebody asks for the image that the export makes.
func (e *Export) isImage() bool {
	return e.Image >= 0 && (e.Type == client.ExporterImage || e.Type == client.ExporterOCI)
}

// addExports completes a request. BuildKit's client takes one store in all, which its
// daemon finds in the session for every export to one.
func addExports(request *client.SolveOpt, exports []Export) error {
	var store content.Store
	for _, export := range exports {
		entry := client.ExportEntry{Type: export.Type, Attrs: maps.Clone(export.Attrs), OutputDir: export.Dir}
		switch {
		case export.Store == nil:
		case store == nil:
			store = export.Store
			entry.OutputStore = store
		case store != export.Store:
			return errors.New("exporting to several stores: a job has one, copy from it to the others")
		}
		if export.Tar != nil {
			entry.Output = func(map[string]string) (io.WriteCloser, error) { return export.Tar() }
		}
		request.Exports = append(request.Exports, entry)
	}
	return nil
}

// severalImages reports whether exports make more than one image.
func severalImages(exports []Export) bool {
	first := slices.IndexFunc(exports, func(e Export) bool { return e.isImage() })
	return first >= 0 && slices.ContainsFunc(exports, func(e Export) bool { return e.isImage() && e.Image != exports[first].Image })
}

// imagesOf reads which images the exporters made, and tells it to those who want to
// hear it.
func (s *Solver) imagesOf(ctx context.Context, response map[string]string, ref string, job planner.Job) ([]ocispec.Descriptor, error) {
	exports := s.exportsOf(job)
	images := make(map[int][]ocispec.Descriptor) // by number
	if severalImages(exports) {
		made, err := s.opts.Node.made(ctx, ref)
		if err != nil {
			return nil, err
		}
		for i, export := range exports {
			if !export.isImage() || images[export.Image] != nil {
				continue
			}
			desc, ok := made[int64(i)]
			if !ok {
				return nil, fmt.Errorf("the daemon's history of builds lacks output %d, by which several images of one build are told apart", i+1)
			}
			if images[export.Image], err = s.flatten(ctx, desc, job); err != nil {
				return nil, err
			}
		}
	} else {
		desc, err := answered(response)
		if err != nil || desc == nil {
			return nil, err
		}
		list, err := s.flatten(ctx, *desc, job)
		if err != nil {
			return nil, err
		}
		images[0] = list
		for _, export := range exports {
			if export.isImage() {
				images[export.Image] = list
			}
		}
	}
	first := images[slices.Min(slices.Collect(maps.Keys(images)))]
	for _, export := range exports {
		if export.isImage() && export.Made != nil {
			export.Made(first, images[export.Image])
		}
	}
	return first, nil
}

// answered is the image that the daemon's answer to a Solve is about, nil if there is
// none.
func answered(response map[string]string) (*ocispec.Descriptor, error) {
	encoded, ok := response[exptypes.ExporterImageDescriptorKey]
	if !ok {
		return nil, nil //nolint:nilnil // nil is no image
	}
	body, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("decoding the exporter's descriptor: %w", err)
	}
	var desc ocispec.Descriptor
	if err := json.Unmarshal(body, &desc); err != nil {
		return nil, fmt.Errorf("decoding the exporter's descriptor: %w", err)
	}
	return &desc, nil
}

// made reads from the daemon's history what every export of a Solve made: its answer
// to the Solve has room for one.
func (n *Node) made(ctx context.Context, ref string) (map[int64]ocispec.Descriptor, error) {
	events, err := n.client.ControlClient().ListenBuildHistory(ctx, &controlapi.BuildHistoryRequest{Ref: ref, EarlyExit: true})
	if err != nil {
		return nil, fmt.Errorf("reading the daemon's history of builds: %w", err)
	}
	made := make(map[int64]ocispec.Descriptor)
	for {
		event, err := events.Recv()
		if errors.Is(err, io.EOF) {
			return made, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the daemon's history of builds: %w", err)
		}
		for i, desc := range event.GetRecord().GetResult().GetResults() {
			made[i] = ocispec.Descriptor{
				MediaType: desc.MediaType, Digest: digest.Digest(desc.Digest), Size: desc.Size, Annotations: desc.Annotations,
			}
		}
	}
}
