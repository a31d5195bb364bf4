package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
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

func newDelivery(o buildOptions, plan *planner.Plan, node *buildkit.Node) (*delivery, error) {
	switch {
	case o.output.Type == output.Image && o.output.Push:
		return pushDelivery(o, node)
	case o.output.Type == output.Local:
		return localDelivery(o, plan)
	case o.output.Type == output.Tar:
		return tarDelivery(o, plan)
	}
	return layoutDelivery(o)
}

// pushDelivery lets the daemon push every image by its digest to every repository
// and writes the tags from here.
func pushDelivery(o buildOptions, node *buildkit.Node) (*delivery, error) {
	repositories, err := output.Repositories(o.names)
	if err != nil {
		return nil, err
	}
	client, err := newRegistryClient(o.engineConfig)
	if err != nil {
		return nil, err
	}
	attrs := o.imageAttrs()
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
func (o *buildOptions) imageAttrs() map[string]string {
	attrs := map[string]string{"oci-mediatypes": "true"}
	maps.Copy(attrs, o.output.Attrs)
	return attrs
}

// layoutDelivery brings the images into an OCI layout: the image store, a
// directory, or a temporary one that becomes an archive.
func layoutDelivery(o buildOptions) (*delivery, error) {
	dir, temporary, err := o.layoutDir()
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
	attrs := o.imageAttrs()
	attrs["tar"] = "false"
	if o.inputs.attested && len(o.names) > 0 {
		attrs["name"] = strings.Join(o.names, ",") // what attestations are about
	}
	keeper := output.Keeper{Layout: layout, Names: o.names, Annotations: o.inputs.annotations.ofIndex()}
	d := &delivery{
		exports:   same(buildkit.Export{Type: ociExporter, Attrs: attrs, Store: layout.Blobs()}),
		publisher: &keeper,
		content:   layout,
		close: func() {
			_ = release()
			if temporary {
				_ = os.RemoveAll(dir)
			}
		},
		summary: o.keptSummary,
	}
	if o.output.Type == output.OCI {
		d.summary = func(*builder.Result) string { return "Wrote " + o.output.Dest }
	}
	if temporary {
		d.publisher = &output.Archiver{Keeper: keeper, Dest: o.output.Dest}
	}
	return d, nil
}

// layoutDir is where the images are put together. What becomes an archive is put
// beside it, where there is room for it twice, or else it could not be written; but
// not beside a device.
func (o *buildOptions) layoutDir() (dir string, temporary bool, err error) {
	switch {
	case o.output.Type != output.OCI:
		dir, err = output.DefaultStore()
		return dir, false, err
	case o.output.Directory:
		return o.output.Dest, false, nil
	}
	parent := os.TempDir()
	if info, err := os.Stat(o.output.Dest); o.output.Dest != output.Stdout && (err != nil || info.Mode().IsRegular()) {
		parent = filepath.Dir(o.output.Dest)
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
func localDelivery(o buildOptions, plan *planner.Plan) (*delivery, error) {
	return &delivery{
		exports: func(job planner.Job) []buildkit.Export {
			dir := o.output.Dest
			if len(plan.Jobs) > 1 {
				dir = filepath.Join(dir, output.PlatformDir(job.Platform))
			}
			return []buildkit.Export{{Type: localExporter, Dir: dir}}
		},
		summary: func(*builder.Result) string { return "Wrote " + o.output.Dest },
		close:   func() {},
	}, nil
}

// tarDelivery joins the platforms' file systems into one archive.
func tarDelivery(o buildOptions, plan *planner.Plan) (*delivery, error) {
	tars := &output.Tars{Dest: o.output.Dest}
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
		summary:   func(*builder.Result) string { return "Wrote " + o.output.Dest },
		close:     func() { _ = tars.Close() },
	}, nil
}

func same(export buildkit.Export) func(planner.Job) []buildkit.Export {
	return func(planner.Job) []buildkit.Export { return []buildkit.Export{export} }
}
