package pin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/pin"
)

// images answers that every image has three platforms, "foreign" only arm64.
type images struct{}

func (images) Resolve(_ context.Context, ref string) (*exact.Base, error) {
	base := &exact.Base{Ref: ref, Digest: digest.FromString(ref), MediaType: ocispec.MediaTypeImageIndex}
	for _, name := range []string{"linux/amd64", "linux/arm64", "linux/arm/v7"} {
		if strings.Contains(ref, "foreign") && name != "linux/arm64" {
			continue
		}
		platform := platforms.MustParse(name)
		base.Manifests = append(base.Manifests, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(ref + name), Platform: &platform,
		})
	}
	return base, nil
}

func (images) Config(_ context.Context, _ string, manifest ocispec.Descriptor) ([]byte, error) {
	image := ocispec.Image{Platform: *manifest.Platform, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{manifest.Digest}}}
	image.Config.Env = []string{"PATH=/bin"}
	return json.Marshal(image)
}

func planOf(t testing.TB, text, list string) *exact.Result {
	t.Helper()
	var wanted []ocispec.Platform
	for name := range strings.SplitSeq(list, ",") {
		wanted = append(wanted, platforms.MustParse(name))
	}
	plan, err := exact.Plan(t.Context(), exact.Options{
		Dockerfile: []byte(text), Platforms: wanted, BuildPlatform: platforms.MustParse("linux/amd64"), Resolver: images{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// TestCandidates writes the first stage as state, language, pin and reasons.
func TestCandidates(t *testing.T) {
	const (
		first = "FROM golang AS build\nWORKDIR /src\nCOPY . .\n"
		last  = "FROM scratch\nCOPY --from=build /out/app /app\n"
		build = "RUN CGO_ENABLED=0 go build -o /out/app .\n"
		js    = "FROM node AS build\nRUN npm ci && npm run build\n"
	)
	tests := []struct{ name, text, want string }{
		{"go", first + build + last, "candidate go build:go"},
		{"go, cgo off by ENV", first + "ENV CGO_ENABLED=0\nRUN go mod download\nRUN go build -o /out/app\n" + last, "candidate go build:go"},
		{"go, cgo on", first + "RUN go build -o /out/app\n" + last, "blocked go lang@4: cgo is on, or off by chance; say CGO_ENABLED=0 if the program does not need it"},
		{"go test", first + build + "RUN go test ./...\n" + last, "blocked go S7@5: go test runs what it builds, which would be for the target"},
		{"go install", first + "RUN CGO_ENABLED=0 go install ./...\n" + last, "blocked go lang@4: go install puts programs for other platforms elsewhere; use go build -o"},
		{"go run", first + build + "RUN go run . > /out/x\n" + last, "blocked go S7@5: go run runs what it builds, which would be for the target"},
		{"race", first + "RUN CGO_ENABLED=0 go build -race -o /out/app\n" + last, "blocked go lang@4: -race needs cgo"},
		{"shared library", first + "RUN CGO_ENABLED=0 go build -buildmode=c-shared\n" + last, "blocked go lang@4: -buildmode=c-shared needs cgo"},
		{"product runs", first + build + "RUN /out/app --version\n" + last, "blocked go S7@5: /out/app may be what was built, or a script"},
		{"make", first + build + "RUN make x\n" + last, "blocked go lang@5: what make does is not known"},
		{"own cross build", first + "RUN CGO_ENABLED=0 GOARCH=arm64 go build\n" + last, "blocked go lang@4: it sets GOARCH=arm64 itself"},
		{"asks for the machine", first + "RUN echo $(uname -m) > /x\n" + build + last, "blocked go S6@4: uname -m asks for the machine"},
		{"fetches for the target", "FROM golang AS build\nARG TARGETARCH\nRUN curl -O https://example.com/x-$TARGETARCH\n" + build + last, "blocked go S6@3: curl fetches something for the target"},
		{"pinned", "FROM --platform=$BUILDPLATFORM golang AS build\n" + build + last, "pinned  "},
		{"own platform", "FROM --platform=linux/arm64 golang AS build\n" + build + last, "blocked go S2@1: it says --platform=linux/arm64"},
		{"base without the build platform", "FROM foreign AS build\n" + build + last, "blocked go S1@1: foreign has no image for linux/amd64"},
		{"target", "FROM golang AS build\n" + build, "blocked go S3@1: its files are those of the image"},
		{"parent of a stage", first + build + "FROM build\nRUN true\n", "blocked go S3@5: stage stage-1 is built from it"},
		{"all is copied", first + build + "FROM scratch\nCOPY --from=build / /\n", "blocked go S5@6: all of / is copied, also what belongs to the platform"},
		{"bin is copied", first + build + "FROM scratch\nCOPY --from=0 /usr/local/bin/* /\n", "blocked go S5@6: all of /usr/local/bin/* is copied, also what belongs to the platform"},
		{"runs from a mount", first + build + "FROM busybox\nRUN --mount=from=build,target=/b /b/out/app\n", "blocked go S4@6: stage stage-1 runs programs from build"},
		{"takes from a mount", first + build + "FROM busybox\nRUN --mount=from=build,target=/b cp /b/out/app /app\n", "candidate go build:go"},
		{"nothing runs", "FROM golang AS build\nCOPY . .\n" + last, "no   it runs no commands"},
		{"not needed", first + build + "FROM scratch\nCOPY x y\n", "no   nothing that is built needs it"},
		{"js", js + "FROM nginx\nCOPY --from=build /src/dist /srv\n", "candidate js build:plain (no *.node or other programs in what is copied)"},
		{"js with modules", js + "FROM node\nCOPY --from=build /src/node_modules /node_modules\n", "blocked js S5@4: /src/node_modules is copied, which may have native modules in it"},
		{"maven", "FROM maven AS build\nRUN mvn -B package\n" + last, "candidate java build:plain (no native libraries in the jars)"},
		{"jlink", "FROM maven AS build\nRUN mvn package && jlink --output /jre\n" + last, "blocked java lang@2: jlink --output /jre makes something for the machine"},
		{"rust", "FROM rust AS build\nRUN cargo build\n" + last, "blocked rust lang@2: a cross build needs a target and a linker, and has another output directory: see cargo-zigbuild, or xx-cargo of tonistiigi/xx"},
		{"unknown", "FROM debian AS build\nRUN frobnicate\n" + last, "blocked  lang@2: whether its commands make the same for all platforms is not known"},
		{"script", "FROM debian AS build\nRUN ./build.sh\n" + last, "blocked  lang@2: whether its commands make the same for all platforms is not known"},
		{"js and go", "FROM x AS build\nRUN npm run build && CGO_ENABLED=0 go build\n" + last, "blocked go lang@2: it uses go and js, which need different environments; split the stage"},
		{"on a stage", "FROM golang AS base\nRUN true\nFROM base AS build\n" + build + last, "blocked  S3@3: stage build is built from it"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			stages, err := pin.Candidates(planOf(t, test.text, "linux/amd64,linux/arm64"), []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			s := stages[0]
			got := fmt.Sprintf("%s %s ", s.State, s.Lang)
			if s.State == pin.Candidate {
				got += s.Pin.String()
				if s.Verify != "" {
					got += " (" + s.Verify + ")"
				}
			} else if len(s.Reasons) > 0 {
				r := s.Reasons[0]
				if r.Rule != "" {
					got += fmt.Sprintf("%s@%d: ", r.Rule, r.Line)
				} else {
					got += " "
				}
				got += r.Text
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s\nall: %v", got, test.want, s.Reasons)
			}
		})
	}
	stages, err := pin.Candidates(planOf(t, first+build+last, "linux/amd64"), []byte(first+build+last))
	if err != nil || stages[0].State != pin.No {
		t.Errorf("a native build is %v (%v)", stages[0], err)
	}
}

// TestApply edits for linux/arm/v7; PIN and ENV stand for the additions.
func TestApply(t *testing.T) {
	const last = "FROM scratch\nCOPY --from=b /x /x\n"
	tests := []struct{ name, pin, text, want string }{
		{"go", "b", "FROM golang AS b\nRUN go mod download\nRUN go build\n" + last, "FROM PIN golang AS b\nRUN go mod download\nRUN ENVgo build\n" + last},
		{"number", "0:go", "FROM golang\nRUN go build\n" + last, "FROM PIN golang\nRUN ENVgo build\n" + last},
		{"plain", "b:plain", "from golang AS b\nRUN go build\n" + last, "from PIN golang AS b\nRUN go build\n" + last},
		{"plain by itself", "b", "FROM node AS b\nRUN npm ci\n" + last, "FROM PIN node AS b\nRUN npm ci\n" + last},
		{"pinned already", "b:go", "FROM --platform=$BUILDPLATFORM golang AS b\nRUN go build\n" + last, "FROM --platform=$BUILDPLATFORM golang AS b\nRUN ENVgo build\n" + last},
		{"flags and continuation", "b", "FROM golang AS b\nRUN --mount=type=cache,target=/x \\\n    --network=none \\\n# why\n\n    go build \\\n && x\n" + last, "FROM PIN golang AS b\nRUN --mount=type=cache,target=/x \\\n    --network=none \\\n# why\n\n    ENVgo build \\\n && x\n" + last},
		{"chain", "b", "FROM golang AS b\nRUN cd x && CGO_ENABLED=0 go build\n" + last, "FROM PIN golang AS b\nRUN ENVcd x && CGO_ENABLED=0 go build\n" + last},
		{"heredoc", "b", "FROM golang AS b\nRUN <<E\nset -e\ngo build\nE\n" + last, "FROM PIN golang AS b\nRUN <<E\nENVset -e\ngo build\nE\n" + last},
		{"heredoc with tabs", "b", "FROM golang AS b\nRUN <<-E\n\tgo build\n\tE\n" + last, "FROM PIN golang AS b\nRUN <<-E\nENV\tgo build\n\tE\n" + last},
		{"carriage returns", "b", "FROM golang AS b\r\nRUN go build\r\nFROM x\r\n", "FROM PIN golang AS b\r\nRUN ENVgo build\r\nFROM x\r\n"},
		{"other stages stay", "b", "FROM golang AS a\nRUN go build\nFROM golang AS b\nRUN go build\n" + last, "FROM golang AS a\nRUN go build\nFROM PIN golang AS b\nRUN ENVgo build\n" + last},
		{"exec form", "b", "FROM golang AS b\nRUN [\"go\", \"build\"]\n" + last, "error: line 2 has no shell"},
		{"other shell", "b", "FROM golang AS b\nSHELL [\"pwsh\", \"-c\"]\nRUN go build\n" + last, "error: line 3 has the shell pwsh"},
		{"interpreter", "b:go", "FROM golang AS b\nRUN <<E\n#!/bin/bash\ngo build\nE\n" + last, "error: has an interpreter of its own"},
		{"no go build", "b:go", "FROM golang AS b\nRUN make\n" + last, "error: no RUN of it calls go build"},
		{"unknown", "c", "FROM golang AS b\nRUN make\n" + last, "error: there is none; choose one of: b, stage-1"},
		{"last", "1", "FROM golang AS b\nFROM x\nRUN go build\n", "error: it is the last one"},
		{"parent", "b", "FROM golang AS b\nRUN go build\nFROM b\n", "error: stage stage-1 is built from it"},
		{"child", "c", "FROM golang AS b\nFROM b AS c\nRUN go build\nFROM x\n", "error: it is built from stage b"},
		{"own platform", "b", "FROM --platform=linux/arm64 golang AS b\nRUN go build\n" + last, "error: line 1 says --platform=linux/arm64"},
		{"no Dockerfile", "b", "FRM x\n", "error: reading the Dockerfile"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := pin.Parse(test.pin)
			if err != nil {
				t.Fatal(err)
			}
			got, err := pin.Apply([]byte(test.text), []pin.Pin{p, p}, platforms.MustParse("linux/arm/v7"))
			if part, ok := strings.CutPrefix(test.want, "error: "); ok {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("the error is %v, want %q in it", err, part)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := strings.ReplaceAll(test.want, "PIN", "--platform=$BUILDPLATFORM")
			want = strings.ReplaceAll(want, "ENV", "export CGO_ENABLED=0 GOOS=linux GOARCH=arm GOARM=7; ")
			if diff := cmp.Diff(want, string(got)); diff != "" {
				t.Errorf("wrong text (-want +got):\n%s", diff)
			}
		})
	}
}

// TestShared counts runs: what is not edited runs once for all platforms.
func TestShared(t *testing.T) {
	const text = "FROM golang AS b\nRUN go mod download\nRUN CGO_ENABLED=0 go build\nFROM scratch\nCOPY --from=b /x /x\n"
	ids := map[digest.Digest]int{}
	for _, name := range []string{"linux/amd64", "linux/arm64", "linux/arm/v7"} {
		edited, err := pin.Apply([]byte(text), []pin.Pin{{Stage: "b", Mode: pin.Go}}, platforms.MustParse(name))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range planOf(t, string(edited), name).Steps {
			if s.Kind == "exec" {
				ids[s.ID]++
				if s.State != exact.StateNative {
					t.Errorf("line %d is %s", s.Line, s.State)
				}
			}
		}
	}
	if len(ids) != 4 {
		t.Errorf("%d commands run, want go mod download once and go build three times", len(ids))
	}
}

func TestPatch(t *testing.T) {
	const last = "FROM scratch\nCOPY --from=b /x /x\n"
	const lines = "ARG TARGETOS TARGETARCH TARGETVARIANT\nENV CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH GOARM=${TARGETVARIANT#v}\n"
	tests := []struct{ name, pin, platforms, text, want string }{
		{"go", "b:go", "linux/arm64", "FROM golang AS b\nRUN go mod download\n\n# The program.\nRUN go build\n" + last, "FROM --platform=$BUILDPLATFORM golang AS b\nRUN go mod download\n\n# The program.\n" + lines + "RUN go build\n" + last},
		{"go with variants", "b", "linux/amd64/v3", "FROM golang AS b\nRUN go build\n" + last, "FROM --platform=$BUILDPLATFORM golang AS b\n" + strings.TrimSuffix(lines, "\n") + " GOAMD64=$TARGETVARIANT\nRUN go build\n" + last},
		{"plain", "b:plain", "linux/arm64", "FROM node AS b\nRUN npm ci\n" + last, "FROM --platform=$BUILDPLATFORM node AS b\nRUN npm ci\n" + last},
		{"carriage returns", "b", "linux/arm64", "FROM golang AS b\r\nRUN go build\r\nFROM x\r\n", "FROM --platform=$BUILDPLATFORM golang AS b\r\n" + strings.ReplaceAll(lines, "\n", "\r\n") + "RUN go build\r\nFROM x\r\n"},
		{"sets GOARCH", "b", "linux/arm64", "FROM golang AS b\nENV GOARCH=arm64\nRUN go build\n" + last, "error: sets GOARCH already"},
		{"no go build", "b:go", "linux/arm64", "FROM golang AS b\nRUN make\n" + last, "error: calls go build"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := pin.Parse(test.pin)
			if err != nil {
				t.Fatal(err)
			}
			list := []ocispec.Platform{platforms.MustParse(test.platforms)}
			got, err := pin.Patch([]byte(test.text), []pin.Pin{p}, list)
			if part, ok := strings.CutPrefix(test.want, "error: "); ok {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("the error is %v, want %q in it", err, part)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Errorf("wrong text (-want +got):\n%s", diff)
			}
			again, err := pin.Patch(got, []pin.Pin{p}, list)
			if err != nil || string(again) != string(got) {
				t.Errorf("patching again gives %q (%v)", again, err)
			}
			for _, s := range planOf(t, string(got), "linux/arm64").Steps {
				if s.Kind == "exec" && s.State != exact.StateNative {
					t.Errorf("line %d is %s", s.Line, s.State)
				}
			}
		})
	}
}

func TestParse(t *testing.T) {
	for spec, want := range map[string]pin.Pin{"build": {Stage: "build"}, "Build:go": {Stage: "build", Mode: pin.Go}, "0:plain": {Stage: "0", Mode: pin.Plain}} {
		if got, err := pin.Parse(spec); err != nil || got != want {
			t.Errorf("%q is %v (%v), want %v", spec, got, err, want)
		}
	}
	for _, spec := range []string{"", ":go", "build:", "build:rust", "a:go:plain"} {
		if got, err := pin.Parse(spec); err == nil {
			t.Errorf("%q is %v, want an error", spec, got)
		}
	}
}

func TestEnvironment(t *testing.T) {
	for name, want := range map[string]string{
		"linux/arm64": "[CGO_ENABLED=0 GOOS=linux GOARCH=arm64]", "linux/arm/v6": "[CGO_ENABLED=0 GOOS=linux GOARCH=arm GOARM=6]",
		"linux/arm": "[CGO_ENABLED=0 GOOS=linux GOARCH=arm GOARM=7]", "linux/amd64/v3": "[CGO_ENABLED=0 GOOS=linux GOARCH=amd64 GOAMD64=v3]",
		"linux/s390x": "[CGO_ENABLED=0 GOOS=linux GOARCH=s390x]",
	} {
		if got := fmt.Sprint(pin.Environment(platforms.MustParse(name))); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
