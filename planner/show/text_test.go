package show_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/show"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// images has every image for every platform but one.
type images struct{ lacks string }

func (r images) Resolve(_ context.Context, ref string) (*exact.Base, error) {
	base := &exact.Base{Ref: ref, Digest: digest.FromString(ref), MediaType: ocispec.MediaTypeImageIndex}
	for _, arch := range []string{"amd64", "arm64", "s390x"} {
		if arch != r.lacks {
			base.Manifests = append(base.Manifests, ocispec.Descriptor{
				MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(ref + arch), Size: 1,
				Platform: &ocispec.Platform{OS: "linux", Architecture: arch},
			})
		}
	}
	return base, nil
}

func (images) Config(_ context.Context, _ string, manifest ocispec.Descriptor) ([]byte, error) {
	// BuildKit takes an image without layers for scratch.
	layers := ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromString("layer")}}
	return json.Marshal(ocispec.Image{Platform: *manifest.Platform, RootFS: layers})
}

const dockerfile = `FROM --platform=$BUILDPLATFORM node:22 AS assets
RUN npm ci
RUN npm run build
FROM golang:1.26 AS build
RUN go build -trimpath -ldflags="-s -w" -o /out/app ./cmd/app && go vet ./... && go test ./... -count=1 -timeout 10m
FROM debian:12
COPY --from=assets /dist /dist
COPY --from=build /out/app /app
`

func TestText(t *testing.T) {
	tests := []struct {
		name    string
		lacks   string
		options show.Options
	}{
		{"good", "", show.Options{File: "Dockerfile"}},
		{"ascii", "", show.Options{File: "Dockerfile", ASCII: true, Width: 80}},
		{"lacking", "s390x", show.Options{File: "Dockerfile"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			platforms, err := planner.ParsePlatforms("linux/amd64,linux/arm64,linux/s390x")
			if err != nil {
				t.Fatal(err)
			}
			plan, err := exact.Plan(t.Context(), exact.Options{
				Dockerfile: []byte(dockerfile), Platforms: platforms, BuildPlatform: platforms[0], Resolver: images{test.lacks},
			})
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := show.Text(&got, plan, test.options); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", test.name+".txt")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("the screen differs (-want +got):\n%s", diff)
			}
			var document bytes.Buffer
			if err := show.JSON(&document, plan, test.options); err != nil {
				t.Fatal(err)
			}
			var back map[string]any
			if err := json.Unmarshal(document.Bytes(), &back); err != nil || back["version"] != 1.0 {
				t.Errorf("the JSON form is %s, %v", document.Bytes(), err)
			}
		})
	}
}
