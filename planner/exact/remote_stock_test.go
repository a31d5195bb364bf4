//go:build !race

package exact_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner/exact"
)

// TestRemoteStock is TestStockFrontend for contexts that are URLs.
func TestRemoteStock(t *testing.T) {
	t.Parallel()
	for name, opts := range remoteTests(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, err := exact.Stock(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			var stock, planned []digest.Digest
			for _, digests := range want {
				stock = append(stock, digests...)
			}
			for _, step := range plan(t, opts).Steps {
				planned = append(planned, step.Digests...)
			}
			slices.Sort(stock)
			slices.Sort(planned)
			if diff := cmp.Diff(slices.Compact(stock), slices.Compact(planned)); diff != "" || len(planned) == 0 {
				t.Errorf("operations (-BuildKit +plan):\n%s", diff)
			}
		})
	}
}
