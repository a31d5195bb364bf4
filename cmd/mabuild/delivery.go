package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/buildkit/client"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/builder/verify"
	"github.com/mabuild/mabuild/planner"
)

// delivery is how one build's result gets to its place: what every job exports
// and what joins the platforms afterwards.
type delivery struct {
	exports   func(planner.Job) []buildkit.Export
	publisher builder.Publisher
	// content has the images of all jobs; nil if they are none.
	content verify.Source
	// summary says where the result is.
	summary func(*builder.Result) string
	close   func()
}

// newDelivery delivers to all outputs, registries last. BuildKit fills one image
// layout per Solve, so those outputs that need one share it.
func newDelivery(o *buildOptions, plan *planner.Plan, node *buildkit.Node) (*delivery, error) {
	var layouts []output.Spec
	var makers []func() (*delivery, error)
	outputs := slices.Clone(o.outputs)
	slices.SortStableFunc(outputs, func(a, b output.Spec) int { return cmp.Compare(rank(a), rank(b)) })
	for _, spec := range outputs {
		switch {
		case spec.Type == output.Image && spec.Push:
			makers = append(makers, func() (*delivery, error) { return pushDelivery(o, spec, node) })
		case spec.Type == output.Local:
			makers = append(makers, func() (*delivery, error) { return localDelivery(spec, plan) })
		case spec.Type == output.Tar:
			makers = append(makers, func() (*delivery, error) { return tarDelivery(spec, plan) })
		default:
			layouts = append(layouts, spec)
		}
	}
	if len(layouts) > 0 {
		makers = slices.Insert(makers, 0, func() (*delivery, error) { return layoutDelivery(o, layouts) })
	}
	var all []*delivery
	for _, make := range makers {
		d, err := make()
		if err != nil {
			for _, before := range all {
				before.close()
			}
			return nil, err
		}
		all = append(all, d)
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return joinDeliveries(all), nil
}

// rank is later for what others see.
func rank(spec output.Spec) int {
	if spec.Push {
		return 1
	}
	return 0
}

// joinDeliveries makes one of several: a job exports to all of them in one Solve.
func joinDeliveries(all []*delivery) *delivery {
	joined := &delivery{
		exports: func(job planner.Job) []buildkit.Export {
			var exports []buildkit.Export
			for _, d := range all {
				exports = append(exports, d.exports(job)...)
			}
			return exports
		},
		summary: func(result *builder.Result) string {
			var summaries []func(*builder.Result) string
			for _, d := range all {
				summaries = append(summaries, d.summary)
			}
			return joinSummaries(summaries, result)
		},
		close: func() {
			for _, d := range all {
				d.close()
			}
		},
	}
	var publishers builder.Publishers
	for _, d := range all {
		if d.publisher != nil {
			publishers = append(publishers, d.publisher)
		}
		if joined.content == nil {
			joined.content = d.content // the same images, whoever has them
		}
	}
	if len(publishers) > 0 {
		joined.publisher = publishers
	}
	return joined
}

// pushDelivery lets the daemon push every image by its digest to every repository
// and writes the tags from here.
func pushDelivery(o *buildOptions, spec output.Spec, node *buildkit.Node) (*delivery, error) {
	repositories, err := output.Repositories(o.names)
	if err != nil {
		return nil, err
	}
	client, err := o.registryClient()
	if err != nil {
		return nil, err
	}
	attrs := imageAttrs(spec)
	attrs["name"] = strings.Join(repositories, ",")
	attrs["push"] = "true"
	attrs["push-by-digest"] = "true"
	attrs["name-canonical"] = "true"
	return &delivery{
		exports:   same(buildkit.Export{Type: imageExporter, Attrs: attrs}),
		publisher: &output.Pusher{Registry: client, Names: o.names, Annotations: o.inputs.annotations.ofIndex()},
		content:   pushedContent{node, inRegistry{client, o.names[0]}},
		summary: func(*builder.Result) string {
			return "Pushed " + strings.Join(o.names, ", ")
		},
		close: func() {},
	}, nil
}

// Names of BuildKit's exporters.
const (
	imageExporter = client.ExporterImage
	ociExporter   = client.ExporterOCI
	localExporter = client.ExporterLocal
	tarExporter   = client.ExporterTar
)

// imageAttrs are those that the user gave, and OCI media types, which BuildKit's
// image exporter uses only when it has a reason to.
func imageAttrs(spec output.Spec) map[string]string {
	attrs := map[string]string{"oci-mediatypes": "true"}
	maps.Copy(attrs, spec.Attrs)
	return attrs
}

// layoutDelivery brings the images into an OCI layout: the image store, a
// directory, or a temporary one. Archives are made from it.
func layoutDelivery(o *buildOptions, specs []output.Spec) (*delivery, error) {
	lasting := slices.IndexFunc(specs, func(s output.Spec) bool { return s.Type != output.OCI || s.Directory })
	dir, temporary, err := layoutDir(specs[max(lasting, 0)])
	if err != nil {
		return nil, err
	}
	layout, err := output.OpenLayout(dir)
	if err != nil {
		return nil, err
	}
	release, err := layout.Use()
	if err != nil {
		return nil, err
	}
	attrs := imageAttrs(specs[0])
	attrs["tar"] = "false"
	if o.inputs.attested && len(o.names) > 0 {
		attrs["name"] = strings.Join(o.names, ",") // what attestations are about
	}
	keeper := output.Keeper{Layout: layout, Names: o.names, Annotations: o.inputs.annotations.ofIndex()}
	var publishers builder.Publishers
	var summaries []func(*builder.Result) string
	for _, spec := range specs {
		switch {
		case spec.Type != output.OCI:
			publishers, summaries = append(publishers, &keeper), append(summaries, o.keptSummary)
			continue
		case spec.Directory:
			publishers = append(publishers, &keeper)
		default:
			publishers = append(publishers, &output.Archiver{Keeper: keeper, Dest: spec.Dest})
		}
		summaries = append(summaries, func(*builder.Result) string { return "Wrote " + spec.Dest })
	}
	return &delivery{
		exports:   same(buildkit.Export{Type: ociExporter, Attrs: attrs, Store: layout.Blobs()}),
		publisher: publishers,
		content:   layout,
		close: func() {
			_ = release()
			if temporary {
				_ = os.RemoveAll(dir)
			}
		},
		summary: func(result *builder.Result) string { return joinSummaries(summaries, result) },
	}, nil
}

func joinSummaries(all []func(*builder.Result) string, result *builder.Result) string {
	lines := make([]string, len(all))
	for i, summary := range all {
		lines[i] = summary(result)
	}
	return strings.Join(lines, "\n")
}

// layoutDir is where the images are put together. What becomes an archive is put
// beside it, where there is room for it twice, or else it could not be written; but
// not beside a device.
func layoutDir(spec output.Spec) (dir string, temporary bool, err error) {
	switch {
	case spec.Type != output.OCI:
		dir, err = output.DefaultStore()
		return dir, false, err
	case spec.Directory:
		return spec.Dest, false, nil
	}
	parent := os.TempDir()
	if info, err := os.Stat(spec.Dest); spec.Dest != output.Stdout && (err != nil || info.Mode().IsRegular()) {
		parent = filepath.Dir(spec.Dest)
	}
	dir, err = os.MkdirTemp(parent, ".mabuild-oci-*")
	if err != nil {
		err = fmt.Errorf("creating a directory beside the archive: %w", err)
	}
	return dir, true, err
}

// keptSummary says how to send on what is in the image store.
func (o *buildOptions) keptSummary(result *builder.Result) string {
	if len(o.names) == 0 {
		short := result.Root.Digest.Encoded()[:12]
		return fmt.Sprintf("Kept %s in the image store. Push it with: mabuild push --as REGISTRY/NAME:TAG %s", short, short)
	}
	return fmt.Sprintf("Kept %s in the image store. Push it with: mabuild push %s", strings.Join(o.names, ", "), strings.Join(o.names, " "))
}

// localDelivery writes the images' files, each platform's into a directory of its
// own if there are several.
func localDelivery(spec output.Spec, plan *planner.Plan) (*delivery, error) {
	return &delivery{
		exports: func(job planner.Job) []buildkit.Export {
			dir := spec.Dest
			if len(plan.Jobs) > 1 {
				dir = filepath.Join(dir, output.PlatformDir(job.Platform))
			}
			return []buildkit.Export{{Type: localExporter, Dir: dir}}
		},
		summary: func(*builder.Result) string { return "Wrote " + spec.Dest },
		close:   func() {},
	}, nil
}

// tarDelivery joins the platforms' file systems into one archive.
func tarDelivery(spec output.Spec, plan *planner.Plan) (*delivery, error) {
	tars := &output.Tars{Dest: spec.Dest}
	for _, job := range plan.Jobs {
		tars.Platforms = append(tars.Platforms, job.Platform)
	}
	if err := tars.Prepare(); err != nil {
		return nil, err
	}
	return &delivery{
		exports: func(job planner.Job) []buildkit.Export {
			return []buildkit.Export{{Type: tarExporter, Tar: func() (io.WriteCloser, error) { return tars.Open(job.Platform) }}}
		},
		publisher: tars,
		summary:   func(*builder.Result) string { return "Wrote " + spec.Dest },
		close:     func() { _ = tars.Close() },
	}, nil
}

func same(export buildkit.Export) func(planner.Job) []buildkit.Export {
	return func(planner.Job) []buildkit.Export { return []buildkit.Export{export} }
}
