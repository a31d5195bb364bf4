package exact_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner/exact"
)

// amd64Only answers that every image is one for amd64.
type amd64Only struct{}

func (amd64Only) Resolve(_ context.Context, ref string) (*exact.Base, error) {
	manifest := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(ref),
		Platform: &ocispec.Platform{OS: "linux", Architecture: "amd64"},
	}
	return &exact.Base{Ref: ref, Digest: manifest.Digest, MediaType: manifest.MediaType, Manifests: []ocispec.Descriptor{manifest}}, nil
}

func (amd64Only) Config(_ context.Context, ref string, manifest ocispec.Descriptor) ([]byte, error) {
	return json.Marshal(ocispec.Image{
		Platform: *manifest.Platform,
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromString(ref)}},
	})
}

func ExamplePlan() {
	amd64 := ocispec.Platform{OS: "linux", Architecture: "amd64"}
	result, err := exact.Plan(context.Background(), exact.Options{
		Dockerfile:    []byte("FROM tools\nRUN make\n"),
		Platforms:     []ocispec.Platform{amd64, {OS: "linux", Architecture: "arm64"}},
		BuildPlatform: amd64,
		Resolver:      amd64Only{},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, step := range result.Steps {
		if step.Instruction == "RUN" {
			fmt.Println(step.Platforms, "on", step.ExecPlatform, step.State)
		}
	}
	for _, finding := range result.Findings {
		fmt.Printf("%s:%d: %s\n", finding.File, finding.Line, finding.Message)
	}
	// Output:
	// [linux/amd64] on linux/amd64 native
	// [linux/arm64] on linux/amd64 native
	// Dockerfile:1: tools is one image for linux/amd64 and no index, BuildKit takes it for linux/arm64 without a word
}
