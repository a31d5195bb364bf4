package main

import (
	"context"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

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
	// settle brings what one job made to safety, if it is not yet: the daemon forgets,
	// and other platforms can take hours. Nil is nothing.
	settle func(ctx context.Context, manifests []ocispec.Descriptor) error
	// discard throws away what a job exported that failed. Its exporters run at the same
	// time, and one can fail when the others are done. Nil is nothing.
	discard func(planner.Job)
	// content has the images of all jobs; nil if they are none.
	content verify.Source
	// loads is what goes into a running Docker; nil is nothing.
	loads *variant
	// summary says where the result is.
	summary func(*builder.Result) string
	close   func()
}

// newDelivery delivers to all outputs, registries last: names that others see move
// when everything else is done.
func newDelivery(o *buildOptions, plan *planner.Plan, node *buildkit.Node) (*delivery, error) {
	o.images = o.variants()
	kept := slices.DeleteFunc(slices.Clone(o.images), func(v *variant) bool { return len(v.kept) == 0 })
	var makers []func() (*delivery, error)
	if len(kept) > 0 {
		makers = append(makers, func() (*delivery, error) { return layoutDelivery(o, kept, node) })
	}
	for _, spec := range o.outputs {
		switch spec.Type {
		case output.Local:
			makers = append(makers, func() (*delivery, error) { return localDelivery(spec, plan) })
		case output.Tar:
			makers = append(makers, func() (*delivery, error) { return tarDelivery(spec, plan) })
		default: // an image
		}
	}
	for _, v := range o.images {
		if len(v.pushed) > 0 {
			makers = append(makers, func() (*delivery, error) { return pushDelivery(o, v, node) })
		}
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
		discard: func(job planner.Job) {
			for _, d := range all {
				if d.discard != nil {
					d.discard(job)
				}
			}
		},
		close: func() {
			for _, d := range all {
				d.close()
			}
		},
	}
	var publishers builder.Publishers
	var places anywhere
	for _, d := range all {
		if d.settle != nil {
			joined.settle = inTurn(joined.settle, d.settle)
		}
		if d.publisher != nil {
			publishers = append(publishers, d.publisher)
		}
		if d.content != nil {
			places = append(places, d.content)
		}
		if d.loads != nil {
			joined.loads = d.loads
		}
	}
	if len(places) > 0 {
		joined.content = places
	}
	if len(publishers) > 0 {
		joined.publisher = publishers
	}
	return joined
}

// inTurn does one thing, if there is one, and then another.
func inTurn(first, then func(context.Context, []ocispec.Descriptor) error) func(context.Context, []ocispec.Descriptor) error {
	if first == nil {
		return then
	}
	return func(ctx context.Context, manifests []ocispec.Descriptor) error {
		if err := first(ctx, manifests); err != nil {
			return err
		}
		return then(ctx, manifests)
	}
}

// settling is a solver whose jobs have ended when what they made is safe.
type settling struct {
	*buildkit.Solver
	settle func(ctx context.Context, manifests []ocispec.Descriptor) error // nil is nothing
}

// Solve builds a job. If the daemon has forgotten what it made before that was safe, it
// makes it again, of what is in its cache.
func (s settling) Solve(ctx context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
	for again := 2; ; again-- {
		manifests, err := s.Solver.Solve(ctx, job)
		if err != nil || s.settle == nil {
			return manifests, err
		}
		if err = s.settle(ctx, manifests); err == nil || again == 0 || !errdefs.IsNotFound(err) {
			return manifests, err
		}
	}
}

// Names of BuildKit's exporters.
const (
	imageExporter = client.ExporterImage
	ociExporter   = client.ExporterOCI
	tarExporter   = client.ExporterTar
)

func joinSummaries(all []func(*builder.Result) string, result *builder.Result) string {
	lines := make([]string, len(all))
	for i, summary := range all {
		lines[i] = summary(result)
	}
	return strings.Join(lines, "\n")
}

// localDelivery writes the images' files, each platform's into a directory of its
// own if there are several. They come in archives: the client of BuildKit's local
// exporter writes to its directory for some time after a build was given up.
func localDelivery(spec output.Spec, plan *planner.Plan) (*delivery, error) {
	files := &output.Files{Dest: spec.Dest}
	places := make([]string, len(plan.Jobs))
	for i, job := range plan.Jobs {
		places[i] = spec.Dest
		if spec.Splits(len(plan.Jobs)) {
			places[i] = filepath.Join(spec.Dest, output.PlatformDir(job.Platform))
		}
	}
	if err := files.Prepare(places...); err != nil {
		return nil, err
	}
	number := func(job planner.Job) int {
		return slices.IndexFunc(plan.Jobs, func(other planner.Job) bool {
			return output.PlatformDir(other.Platform) == output.PlatformDir(job.Platform)
		})
	}
	return &delivery{
		exports: func(job planner.Job) []buildkit.Export {
			return []buildkit.Export{{Type: tarExporter, Tar: func() (io.WriteCloser, error) { return files.Unpack(number(job)) }}}
		},
		discard:   func(job planner.Job) { files.Discard(number(job)) },
		publisher: files,
		summary:   func(*builder.Result) string { return "Wrote " + spec.Dest },
		close:     func() { _ = files.Close() },
	}, nil
}

// tarDelivery joins the platforms' file systems into one archive.
func tarDelivery(spec output.Spec, plan *planner.Plan) (*delivery, error) {
	tars := &output.Tars{Dest: spec.Dest, Split: spec.Split}
	for _, job := range plan.Jobs {
		tars.Platforms = append(tars.Platforms, job.Platform)
	}
	if err := tars.Prepare(); err != nil {
		return nil, err
	}
	return &delivery{
		exports: func(job planner.Job) []buildkit.Export {
			return []buildkit.Export{{Type: tarExporter, Tar: tars.Part(job.Platform)}}
		},
		discard:   func(job planner.Job) { tars.Discard(job.Platform) },
		publisher: tars,
		summary:   func(*builder.Result) string { return "Wrote " + spec.Dest },
		close:     func() { _ = tars.Close() },
	}, nil
}
