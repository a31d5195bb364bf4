package native_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/native"
	"github.com/mabuild/mabuild/planner/pin"
)

// images has every image for amd64 and arm64.
type images struct{}

func (images) Resolve(_ context.Context, ref string) (*exact.Base, error) {
	base := &exact.Base{Ref: ref, Digest: digest.FromString(ref), MediaType: ocispec.MediaTypeImageIndex}
	for _, arch := range []string{"amd64", "arm64"} {
		base.Manifests = append(base.Manifests, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(ref + arch), Size: 1,
			Platform: &ocispec.Platform{OS: "linux", Architecture: arch},
		})
	}
	return base, nil
}

func (images) Config(_ context.Context, _ string, manifest ocispec.Descriptor) ([]byte, error) {
	// BuildKit takes an image without layers for scratch.
	layers := ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromString("layer")}}
	return json.Marshal(ocispec.Image{Platform: *manifest.Platform, RootFS: layers})
}

const dockerfile = `FROM golang AS build
COPY . /src
RUN CGO_ENABLED=0 go build -o /out/app ./src
FROM debian
RUN useradd app
COPY --from=build /out/app /usr/bin/app
`

func options() exact.Options {
	list := []ocispec.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}}
	return exact.Options{Dockerfile: []byte(dockerfile), Platforms: list, BuildPlatform: list[0], Resolver: images{}}
}

// states lists where the commands run.
func states(plan *exact.Result) string {
	var list []string
	for _, s := range plan.Steps {
		if s.State != "" {
			list = append(list, s.Stage+" "+string(s.State)+" for "+strings.Join(s.Platforms, " "))
		}
	}
	return strings.Join(list, "\n")
}

// TestPins moves one stage: its commands are native in the plan, every job sends a
// file of its own without moving a line, and what the image has from it is known.
func TestPins(t *testing.T) {
	result, err := native.Plan(t.Context(), options(), native.Options{Pins: []pin.Pin{{Stage: "build"}}})
	if err != nil {
		t.Fatal(err)
	}
	want := "build native for linux/amd64\nbuild native for linux/arm64\nstage-1 native for linux/amd64\nstage-1 emulated for linux/arm64"
	if diff := cmp.Diff(want, states(result.Plan)); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		text := string(result.Edits["linux/"+arch].Text)
		if strings.Count(text, "\n") != strings.Count(dockerfile, "\n") || !strings.Contains(text, "GOARCH="+arch) || !strings.Contains(text, "FROM --platform=$BUILDPLATFORM golang") {
			t.Errorf("for %s is sent\n%s", arch, text)
		}
	}
	if diff := cmp.Diff([]string{"usr/bin/app", "usr/bin/app/**"}, result.Copied()); diff != "" {
		t.Errorf("copied (-want +got):\n%s", diff)
	}
}

// TestNothingToDo sends the Dockerfile as it is, and says why.
func TestNothingToDo(t *testing.T) {
	result, err := native.Plan(t.Context(), options(), native.Options{Recipes: assist.Default()})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Edits) > 0 || result.Copied() != nil || result.Wrote(platforms.DefaultSpec(), "RUN /bin/sh -c useradd app # buildkit") {
		t.Errorf("edited: %v", result.Edits)
	}
	for _, s := range result.Assists {
		if s.Recipe != "" || s.Reason == "" {
			t.Errorf("%+v", s)
		}
	}
	if len(result.Assists) != 2 {
		t.Errorf("%d emulated commands", len(result.Assists))
	}
}

func TestUnknownStage(t *testing.T) {
	_, err := native.Plan(t.Context(), options(), native.Options{Pins: []pin.Pin{{Stage: "nosuch"}}})
	if err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("error %v", err)
	}
}
