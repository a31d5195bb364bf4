package lint_test

import (
	"context"
	"fmt"
	"log"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/lint"
)

func ExampleFindings() {
	dockerfile := []byte("FROM debian:bookworm\nRUN make ARCH=$TARGETARCH install\n")
	amd64 := ocispec.Platform{OS: "linux", Architecture: "amd64"}
	plan, err := exact.Plan(context.Background(), exact.Options{
		Dockerfile: dockerfile, BuildPlatform: amd64, Platforms: []ocispec.Platform{amd64, {OS: "linux", Architecture: "arm64"}},
		Resolver: images{},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range lint.Findings(plan, lint.Options{Dockerfile: dockerfile}) {
		fmt.Printf("%s:%d: %s: %s (%s)\n%s\n", f.File, f.Line, f.Level, f.Message, f.Rule, f.Fix)
	}
	// Output:
	// Dockerfile:2: warning: TARGETARCH is used in stage stage-0 without ARG there, so the shell finds nothing (arg-undeclared)
	// insert above line 2: ARG TARGETARCH
}

func ExampleRules() {
	for _, rule := range lint.Rules()[:3] {
		fmt.Println(rule.Name, rule.Level)
	}
	// Output:
	// base-platform error
	// base-unavailable error
	// base-digest-single error
}
