package exact_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/planner/exact"
)

// bigDockerfile has 60 stages and 500 RUNs, all of them reached.
func bigDockerfile() string {
	var b strings.Builder
	for stage := range 60 {
		fmt.Fprintf(&b, "FROM --platform=$BUILDPLATFORM base%d AS s%d\n", stage%5, stage)
		if stage%2 == 1 {
			b.WriteString("ARG TARGETARCH\n")
		}
		if stage > 0 {
			fmt.Fprintf(&b, "COPY --from=s%d /out /in\n", stage-1)
		}
		for run := range 25*(stage+1)/3 - 25*stage/3 {
			fmt.Fprintf(&b, "RUN --mount=type=cache,target=/root/.cache go build -o /out/%d ./cmd/%d\n", run, stage)
		}
	}
	b.WriteString("FROM scratch\nCOPY --from=s59 /out /\n")
	return b.String()
}

// BenchmarkPlan plans a file far larger than real ones for three platforms, with
// a registry that answers at once.
func BenchmarkPlan(b *testing.B) {
	opts := options(b, bigDockerfile())
	opts.Platforms = list(b, "linux/amd64,linux/arm64,linux/arm/v7")
	var images strings.Builder
	for i := range 5 {
		fmt.Fprintf(&images, "index base%d linux/amd64,linux/arm64,linux/arm/v7\n", i)
	}
	opts.Resolver = parseRegistry(b, images.String())
	benchmark(b, opts, 61)
}

// BenchmarkPlanSmall plans a file of usual size.
func BenchmarkPlanSmall(b *testing.B) {
	benchmark(b, options(b, "FROM --platform=$BUILDPLATFORM base AS build\nCOPY . .\nARG TARGETARCH\nRUN make ARCH=$TARGETARCH\n"+
		"FROM base\nRUN true\nFROM app:1\nCOPY --from=build /out /\nCOPY --from=1 /etc /etc\n"), 3)
}

func benchmark(b *testing.B, opts exact.Options, stages int) {
	b.ReportAllocs()
	for b.Loop() {
		if r := plan(b, opts); len(r.Stages) != stages {
			b.Fatalf("%d stages", len(r.Stages))
		}
	}
}
