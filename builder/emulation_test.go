package builder_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/planner"
)

// node lists platforms and solves nothing.
type node struct {
	t         *testing.T
	platforms []string
	err       error
}

func (n *node) Platforms(context.Context) ([]ocispec.Platform, error) {
	list, err := platforms.ParseAll(n.platforms)
	return list, errors.Join(err, n.err)
}

func (n *node) Solve(_ context.Context, job planner.Job) ([]ocispec.Descriptor, error) {
	n.t.Errorf("a job for %s was solved", platforms.Format(job.Platform))
	return nil, nil
}

const crossDockerfile = `FROM --platform=$BUILDPLATFORM golang AS build
RUN go build

FROM debian AS packages

RUN apt-get install ca-certificates

FROM packages
RUN useradd app
COPY --from=build /app /app
`

// Case 17: what cannot run is told before anything runs, for all stages at once.
func TestBuildNeedsEmulation(t *testing.T) {
	list, err := planner.ParsePlatforms("linux/amd64,linux/s390x,linux/arm/v7")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := planner.Expand([]byte(crossDockerfile), planner.Options{Platforms: list, BuildPlatform: list[0]})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		runnable []string
		hint     func([]ocispec.Platform) string
		want     []string
	}{
		"two platforms": {
			runnable: []string{"linux/amd64", "linux/386"},
			hint: func(missing []ocispec.Platform) string {
				var names []string
				for _, platform := range missing {
					names = append(names, platforms.FormatAll(platform))
				}
				return "Install QEMU for " + strings.Join(names, " and ") + "."
			},
			want: []string{
				"app/Dockerfile:6: stage packages runs commands on linux/s390x, which cannot be run or emulated here",
				"app/Dockerfile:9: stage stage-2 runs commands on linux/s390x, which cannot be run or emulated here",
				"app/Dockerfile:6: stage packages runs commands on linux/arm/v7, which cannot be run or emulated here",
				"app/Dockerfile:9: stage stage-2 runs commands on linux/arm/v7, which cannot be run or emulated here",
				"Install QEMU for linux/s390x and linux/arm/v7.",
			},
		},
		"one platform, no hint": {
			runnable: []string{"linux/amd64", "linux/s390x"},
			want: []string{
				"app/Dockerfile:6: stage packages runs commands on linux/arm/v7, which cannot be run or emulated here",
				"app/Dockerfile:9: stage stage-2 runs commands on linux/arm/v7, which cannot be run or emulated here",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			published := &publisher{}
			_, err := builder.Build(t.Context(), plan, builder.Options{
				Solver: &node{t: t, platforms: test.runnable}, Publisher: published, File: "app/Dockerfile", EmulationHint: test.hint,
			})
			var missing *builder.EmulationError
			if !errors.As(err, &missing) {
				t.Fatalf("error: %v", err)
			}
			if diff := cmp.Diff(test.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if len(published.manifests) > 0 {
				t.Errorf("published %v", published.manifests)
			}
		})
	}
}

func TestBuildWhenTheNodeDoesNotAnswer(t *testing.T) {
	lost := errors.New("no answer")
	_, err := builder.Build(t.Context(), expand(t, "linux/amd64"), builder.Options{Solver: &node{t: t, err: lost}})
	if !errors.Is(err, lost) {
		t.Errorf("error %v, want %v", err, lost)
	}
}
