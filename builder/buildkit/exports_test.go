package buildkit_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/buildkittest"
	"github.com/mabuild/mabuild/planner"
)

func madeImage(name string) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(name), Size: 1}
}

// One Solve makes several images; each export hears of its own, and Solve returns the
// one of the lowest number. What nobody asks for comes first in the request, because
// the daemon answers with the last.
func TestSolveSeveralImages(t *testing.T) {
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	heard := make(map[string][]string)
	hears := func(name string) func(first, own []ocispec.Descriptor) {
		return func(first, own []ocispec.Descriptor) {
			heard[name] = []string{first[0].Digest.String(), own[0].Digest.String()}
		}
	}
	attrs := func(name string) map[string]string { return map[string]string{"name": name} }
	exports := []buildkit.Export{
		{Type: client.ExporterOCI, Attrs: attrs("zstd"), Store: store, Image: 1, Made: hears("zstd")},
		{Type: client.ExporterImage, Attrs: attrs("quiet"), Image: -1},
		{Type: client.ExporterOCI, Attrs: attrs("gzip"), Store: store, Made: hears("gzip")},
		{Type: client.ExporterImage, Attrs: attrs("gzip too"), Made: hears("gzip too")},
	}
	history := true
	solver, _ := newSolver(t, func(_ context.Context, solve *buildkittest.Solve) (map[string]string, error) {
		var order []string
		for i, e := range solve.Request.Exporters {
			order = append(order, e.Attrs["name"])
			if history {
				solve.Made(i, madeImage(strings.TrimSuffix(e.Attrs["name"], " too")))
			}
		}
		if diff := cmp.Diff([]string{"quiet", "zstd", "gzip", "gzip too"}, order); diff != "" {
			t.Errorf("exporters (-want +got):\n%s", diff)
		}
		return buildkittest.Image(madeImage("gzip")), nil
	}, buildkit.Options{Exports: func(planner.Job) []buildkit.Export { return exports }})
	images, err := solver.Solve(t.Context(), jobFor(t, "linux/amd64"))
	if err != nil {
		t.Fatal(err)
	}
	gzip, zstd := madeImage("gzip").Digest, madeImage("zstd").Digest
	if len(images) != 1 || images[0].Digest != gzip {
		t.Errorf("images %v, want %s", images, gzip)
	}
	want := map[string][]string{
		"zstd": {gzip.String(), zstd.String()}, "gzip": {gzip.String(), gzip.String()}, "gzip too": {gzip.String(), gzip.String()},
	}
	if diff := cmp.Diff(want, heard); diff != "" {
		t.Errorf("heard (-want +got):\n%s", diff)
	}
	history = false
	if _, err := solver.Solve(t.Context(), jobFor(t, "linux/amd64")); err == nil || !strings.Contains(err.Error(), "history of builds") {
		t.Errorf("without a history: %v", err)
	}
	// The same image several times needs none.
	exports = slices.Delete(exports, 0, 1)
	solver, _ = newSolver(t, func(context.Context, *buildkittest.Solve) (map[string]string, error) {
		return buildkittest.Image(madeImage("gzip")), nil
	}, buildkit.Options{Exports: func(planner.Job) []buildkit.Export { return exports }})
	if images, err = solver.Solve(t.Context(), jobFor(t, "linux/amd64")); err != nil || len(images) != 1 || images[0].Digest != gzip {
		t.Errorf("images %v, error %v", images, err)
	}
}
