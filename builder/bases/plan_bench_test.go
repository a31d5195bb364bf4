package bases_test

import (
	"fmt"
	"testing"

	"github.com/mabuild/mabuild/builder/bases"
	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/exact"
)

// BenchmarkPlan plans three bases for two platforms with a registry on this
// machine: the first time, and again in the next process.
func BenchmarkPlan(b *testing.B) {
	images := content{}
	server := registrytest.New(b, registrytest.Memory())
	settings := registry.Options{ConfigDir: b.TempDir()}
	client := registry.New(settings)
	dockerfile := ""
	for i, name := range []string{"node", "golang", "debian"} {
		ref := server.Host() + "/" + name + ":1"
		if err := client.Copy(b.Context(), ref, images, images.multi(six...)); err != nil {
			b.Fatal(err)
		}
		dockerfile += fmt.Sprintf("FROM %s AS s%d\nARG TARGETARCH\nRUN make $TARGETARCH\n", ref, i)
	}
	dockerfile += "COPY --from=s0 / /\nCOPY --from=s1 / /\n"
	client.CloseIdleConnections()
	wanted, err := planner.ParsePlatforms("linux/amd64,linux/arm64")
	if err != nil {
		b.Fatal(err)
	}
	plan := func(b *testing.B, dir string) {
		b.Helper()
		client := registry.New(settings) // with no connection yet
		defer client.CloseIdleConnections()
		result, err := exact.Plan(b.Context(), exact.Options{
			Dockerfile: []byte(dockerfile), Platforms: wanted, BuildPlatform: wanted[0],
			Resolver: bases.New(bases.Options{Registry: client, Dir: dir}),
		})
		if err != nil || len(result.Bases) != 3 || len(result.Findings) > 0 {
			b.Fatalf("%+v, %v", result, err)
		}
	}
	b.Run("cold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			plan(b, b.TempDir())
		}
	})
	b.Run("warm", func(b *testing.B) {
		b.ReportAllocs()
		dir := b.TempDir()
		plan(b, dir)
		for b.Loop() {
			plan(b, dir)
		}
	})
}
