//go:build !race

// BuildKit's frontend has a data race of its own where it caches images
// (withResolveCache), so it is not run under the race detector.

package exact_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mabuild/mabuild/planner/exact"
)

// TestStockFrontend holds that the digests of a plan are those that BuildKit's own
// frontend hands to the solver, so that a build's vertices can be told by them.
func TestStockFrontend(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			opts := readOptions(t, section(t, archive, "options"))
			opts.Dockerfile = section(t, archive, "Dockerfile")
			opts.Resolver = parseRegistry(t, string(section(t, archive, "images")))
			opts.SessionID = "session"
			want, err := exact.Stock(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			all := make(map[digest.Digest]bool)
			for _, s := range plan(t, opts).Steps {
				for _, d := range s.Digests {
					all[d] = true
				}
			}
			known := 0
			for platform, digests := range want {
				for _, d := range digests {
					if !all[d] {
						t.Errorf("%s: BuildKit has an operation %s that the plan has not", platform, d)
					}
				}
				known += len(digests)
			}
			if known == 0 {
				t.Error("the frontend asks for nothing")
			}
			var stock []digest.Digest
			for _, digests := range want {
				stock = append(stock, digests...)
			}
			slices.Sort(stock)
			if diff := cmp.Diff(len(slices.Compact(stock)), len(all)); diff != "" {
				t.Errorf("number of operations (-BuildKit +plan):\n%s", diff)
			}
		})
	}
}
