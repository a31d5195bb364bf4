package assist_test

import (
	"context"
	"fmt"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/exact"
)

func ExamplePlan() {
	ctx := context.Background()
	registry := newWorld()
	registry.image(&testing.T{}, "golang:1.26", goVariant("amd64", "1.26.8"), goVariant("arm64", "1.26.8"))
	text := []byte("FROM golang:1.26\nRUN mkdir /out\nRUN go build -o /out .\n")

	amd64, arm64 := ocispec.Platform{OS: "linux", Architecture: "amd64"}, ocispec.Platform{OS: "linux", Architecture: "arm64"}
	plan, err := exact.Plan(ctx, exact.Options{
		Dockerfile: text, Platforms: []ocispec.Platform{amd64, arm64}, BuildPlatform: amd64, Resolver: registry,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := assist.Plan(ctx, plan, assist.Options{Dockerfile: text, Resolver: registry, Content: registry})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, step := range result.Steps {
		fmt.Printf("%d: %s%s\n", step.Line, step.Recipe, step.Reason)
	}
	edit, err := result.Apply("linux/arm64")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s", edit.Text)
	// Output:
	// 2: it does not use what recipe go makes faster
	// 3: go
	// FROM golang:1.26
	// RUN mkdir /out
	// RUN --mount=type=bind,from=mabuild-assist-go,source=/usr/local/go/pkg/tool/linux_amd64,target=/usr/local/go/pkg/tool/linux_arm64 go build -o /out .
}
