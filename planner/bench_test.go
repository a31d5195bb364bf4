package planner_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/planner"
)

// bigDockerfile has 60 stages and 500 RUNs, all of them reached.
func bigDockerfile() []byte {
	var b strings.Builder
	b.WriteString("ARG VERSION=1\n")
	for stage := range 60 {
		fmt.Fprintf(&b, "FROM --platform=$BUILDPLATFORM golang:$VERSION.%d AS s%d\nARG TARGETARCH\n", stage, stage)
		if stage > 0 {
			fmt.Fprintf(&b, "COPY --from=s%d /out /in\n", stage-1)
		}
		for run := range 25*(stage+1)/3 - 25*stage/3 {
			fmt.Fprintf(&b, "RUN --mount=type=cache,target=/root/.cache --mount=from=s%d,target=/m \\\n    go build -o /out/%d ./cmd/%d && ls /out\n", max(stage-1, 0), run, stage)
		}
	}
	text := b.String()
	return []byte(strings.ReplaceAll(text, "--mount=from=s0,target=/m", ""))
}

// BenchmarkExpand plans a file far larger than real ones for six platforms.
func BenchmarkExpand(b *testing.B) {
	list, err := planner.ParsePlatforms("linux/amd64,linux/arm64,linux/arm/v7,linux/s390x,linux/ppc64le,linux/riscv64")
	if err != nil {
		b.Fatal(err)
	}
	text := bigDockerfile()
	b.ReportAllocs()
	for b.Loop() {
		plan, err := planner.Expand(text, planner.Options{Platforms: list})
		if err != nil {
			b.Fatal(err)
		}
		if len(plan.Jobs[5].Stages) != 60 {
			b.Fatalf("%d stages", len(plan.Jobs[5].Stages))
		}
	}
}
