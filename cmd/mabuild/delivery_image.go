package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/verify"
	"github.com/mabuild/mabuild/planner"
)

// pushDelivery lets the daemon push every image by its digest to every repository
// and writes the tags from here.
//
// BuildKit pushes by digest to names without a tag only, and these are what its
// attestations are about then. Those with the tags are made beside, for the image
// store or without going anywhere, and brought to the repositories from here. The
// others stay behind there without anything that leads to them.
func pushDelivery(o *buildOptions, v *variant, node *buildkit.Node) (*delivery, error) {
	repositories, err := output.Repositories(v.names)
	if err != nil {
		return nil, err
	}
	client, err := o.registryClient()
	if err != nil {
		return nil, err
	}
	push := buildkit.Export{Type: imageExporter, Image: v.number, Made: v.twins.Add, Attrs: maps.Clone(v.attrs)}
	maps.Copy(push.Attrs, map[string]string{
		"name": strings.Join(repositories, ","), "push": "true", "push-by-digest": "true", "name-canonical": "true",
	})
	exports := []buildkit.Export{push}
	pusher := &output.Pusher{Registry: client, Names: v.names, ByDigest: v.byDigest, Annotations: o.inputs.annotations.ofIndex()}
	var settle func(context.Context, []ocispec.Descriptor) error
	if o.inputs.attested && !v.byDigest {
		exports[0].Image, exports[0].Made = -1, nil
		push.Attrs["oci-artifact"] = "false" // or it is found by its subject
		var source registry.Provider = node
		if v.layout != nil {
			source = v.layout
		} else {
			attrs := maps.Clone(v.attrs)
			maps.Copy(attrs, map[string]string{"name": strings.Join(v.names, ","), "store": "false"})
			exports = append(exports, buildkit.Export{Type: imageExporter, Image: v.number, Made: v.twins.Add, Attrs: attrs})
		}
		var there sync.Map
		pusher.Attest = func(ctx context.Context, ref string, desc ocispec.Descriptor) error {
			if _, known := there.Load(ref); known {
				return nil
			}
			err := client.Copy(ctx, ref, source, desc)
			if err == nil {
				there.Store(ref, true)
			}
			return err
		}
		settle = func(ctx context.Context, manifests []ocispec.Descriptor) error {
			_, err := v.twins.Publisher(gatherer{pusher}).Publish(ctx, manifests)
			return err
		}
	}
	publisher, err := o.pusher(client, pusher)
	if err != nil {
		return nil, err
	}
	return &delivery{
		exports:   func(planner.Job) []buildkit.Export { return slices.Clone(exports) },
		publisher: v.publisher(publisher),
		settle:    settle,
		content:   pushedContent{node, inRegistry{client, v.names[0]}},
		summary: func(*builder.Result) string {
			if waiting := o.shards.waiting(); waiting != "" {
				return waiting
			}
			names := strings.Join(v.names, ", ")
			if v.byDigest {
				names = strings.Join(v.names, "@"+v.root.Digest.String()+", ") + "@" + v.root.Digest.String()
			}
			return "Pushed " + names
		},
		close: func() {},
	}, nil
}

// gatherer brings images to the registries, and writes no name.
type gatherer struct{ *output.Pusher }

func (g gatherer) Publish(ctx context.Context, manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	_, err := g.Gather(ctx, manifests)
	return ocispec.Descriptor{}, err
}

// layoutDelivery brings all images that are kept into one OCI layout, which is all
// that BuildKit's client fills in a Solve: the image store, a directory, or a temporary
// one. Archives are made from it, and other directories copied.
func layoutDelivery(o *buildOptions, variants []*variant, node *buildkit.Node) (*delivery, error) {
	dir, temporary, err := layoutDir(variants)
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
	all := &delivery{content: layout, close: func() {
		_ = release()
		if temporary {
			_ = os.RemoveAll(dir)
		}
	}}
	var exports []buildkit.Export
	var publishers builder.Publishers
	var summaries []func(*builder.Result) string
	for _, v := range variants {
		attrs := maps.Clone(v.attrs)
		attrs["tar"] = "false"
		if o.inputs.attested && len(v.names) > 0 {
			attrs["name"] = strings.Join(v.names, ",") // what attestations are about
		}
		v.layout = layout
		exports = append(exports, buildkit.Export{Type: ociExporter, Attrs: attrs, Store: layout.Blobs(), Image: v.number, Made: v.twins.Add})
		if slices.ContainsFunc(v.kept, isLoaded) {
			all.loads = v
		}
		for _, spec := range v.kept {
			publisher, err := keptPublisher(o, v, spec, dir, node.Native())
			if err != nil {
				all.close()
				return nil, err
			}
			publishers = append(publishers, v.publisher(publisher))
			summaries = append(summaries, func(*builder.Result) string {
				if isStored(spec) {
					return v.storedText()
				}
				return "Wrote " + spec.Dest
			})
		}
	}
	all.exports = func(planner.Job) []buildkit.Export { return slices.Clone(exports) }
	all.publisher = publishers
	all.summary = func(result *builder.Result) string { return joinSummaries(summaries, result) }
	return all, nil
}

// keptPublisher publishes what is in the layout in dir as one output wants it.
func keptPublisher(o *buildOptions, v *variant, spec output.Spec, dir string, native ocispec.Platform) (builder.Publisher, error) {
	keeper := output.Keeper{Layout: v.layout, From: v.layout, Names: v.names, Annotations: o.inputs.annotations.ofIndex()}
	switch {
	case isStored(spec):
		return &keeper, nil
	case spec.Type == output.Docker:
		return &output.Archiver{Keeper: keeper, Dest: spec.Dest, Docker: &output.ForDocker{Platform: native}}, nil
	case !spec.Directory:
		return &output.Archiver{Keeper: keeper, Dest: spec.Dest}, nil
	case spec.Dest != dir:
		own, err := output.OpenLayout(spec.Dest)
		if err != nil {
			return nil, err
		}
		keeper.Layout = own
	}
	return &keeper, nil
}

// layoutDir is where the images are put together: the image store if they go there,
// the directory for an image that is the only one, or else a temporary one. That is
// beside what is made of it, where there is room for it twice, or else it could not be
// written; but not beside a device.
func layoutDir(variants []*variant) (dir string, temporary bool, err error) {
	var specs []output.Spec
	for _, v := range variants {
		specs = append(specs, v.kept...)
	}
	if slices.ContainsFunc(specs, isStored) {
		dir, err = output.DefaultStore()
		return dir, false, err
	}
	if i := slices.IndexFunc(specs, func(s output.Spec) bool { return s.Directory }); i >= 0 && len(variants) == 1 {
		return specs[i].Dest, false, nil
	}
	parent, dest := os.TempDir(), specs[0].Dest
	if info, err := os.Stat(dest); dest != output.Stdout && (err != nil || info.Mode().IsRegular() || info.IsDir()) {
		parent = filepath.Dir(dest)
	}
	dir, err = os.MkdirTemp(parent, ".mabuild-oci-*")
	if err != nil {
		err = fmt.Errorf("creating a directory beside the output: %w", err)
	}
	return dir, true, err
}

// storedText says how to send on what is in the image store.
func (v *variant) storedText() string {
	if len(v.names) == 0 {
		short := v.root.Digest.Encoded()[:12]
		return fmt.Sprintf("Kept %s in the image store. Push it with: mabuild push --as REGISTRY/NAME:TAG %s", short, short)
	}
	return fmt.Sprintf("Kept %s in the image store. Push it with: mabuild push %s", strings.Join(v.names, ", "), strings.Join(v.names, " "))
}

// anywhere is content that is in one of several places.
type anywhere []verify.Source

// Open asks one place after the other.
func (all anywhere) Open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	var errs []error
	for _, place := range all {
		blob, err := place.Open(ctx, desc)
		if err == nil {
			return blob, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}
