package builder_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/planner"
)

// joiner is a publisher that keeps the index to itself.
type joiner struct{}

func (joiner) Publish(_ context.Context, manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	root, _, err := index.Join(manifests, index.Options{})
	return root, err
}

func ExampleBuild() {
	list, err := planner.ParsePlatforms("linux/amd64,linux/arm64")
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := planner.Expand([]byte("FROM debian\nRUN make\n"), planner.Options{Platforms: list, BuildPlatform: list[0]})
	if err != nil {
		fmt.Println(err)
		return
	}
	// A solver is a BuildKit daemon in earnest: package buildkit has it.
	node := solver(func(_ context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
		return []ocispec.Descriptor{image(job.Platform)}, nil
	})
	result, err := builder.Build(context.Background(), plan, builder.Options{Solver: node, Publisher: joiner{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Root.MediaType)
	for _, job := range result.Jobs {
		fmt.Println(platforms.Format(job.Platform), job.Manifests[0].Digest.Encoded()[:12])
	}
	// Output:
	// application/vnd.oci.image.index.v1+json
	// linux/amd64 baf0239e48ff
	// linux/arm64 b3e3ab55f887
}

func ExampleJobError() {
	list, err := planner.ParsePlatforms("linux/amd64,linux/arm64")
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := planner.Expand([]byte("FROM debian\nRUN make\n"), planner.Options{Platforms: list, BuildPlatform: list[0]})
	if err != nil {
		fmt.Println(err)
		return
	}
	node := solver(func(ctx context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
		if job.Platform.Architecture == "arm64" {
			return nil, errors.New("exit code: 2")
		}
		<-ctx.Done() // cancelled, because the other one failed
		return nil, context.Cause(ctx)
	})
	_, err = builder.Build(context.Background(), plan, builder.Options{Solver: node, Publisher: joiner{}})
	var failed *builder.JobError
	if errors.As(err, &failed) {
		fmt.Println(failed.Platform.Architecture)
	}
	fmt.Println(err)
	// Output:
	// arm64
	// linux/arm64: exit code: 2
}
