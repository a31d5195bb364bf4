package exact_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/exact"
)

const images = `
index base linux/amd64,linux/arm64,linux/arm/v7
index app:1 linux/amd64,linux/arm64
single amdonly linux/amd64
index oneentry linux/amd64
index liar linux/amd64,linux/arm64=linux/amd64
`

func options(t testing.TB, dockerfile string) exact.Options {
	t.Helper()
	return exact.Options{
		Dockerfile: []byte(dockerfile), Platforms: list(t, "linux/amd64,linux/arm64"), BuildPlatform: list(t, "linux/amd64")[0],
		Resolver: parseRegistry(t, images),
	}
}

// TestFindings says what is found in a Dockerfile, and nothing else is.
func TestFindings(t *testing.T) {
	t.Parallel()
	for name, test := range findingTests() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := options(t, test.dockerfile)
			opts.Args = test.args
			if test.platforms != "" {
				opts.Platforms = list(t, test.platforms)
			}
			result := plan(t, opts)
			checkFindings(t, result, test.want, test.message, test.fix)
		})
	}
}

type findingTest struct {
	dockerfile string
	args       map[string]string
	platforms  string
	want       string // "LINE RULE PLATFORMS"
	message    string
	fix        string
}

func findingTests() map[string]findingTest {
	armChild, amdChild := child("app:1", "linux/arm64").String(), child("app:1", "linux/amd64").String()
	index := digest.FromString(full("app:1")).String()
	return map[string]findingTest{
		"case 1: default in a stage": {
			dockerfile: "FROM --platform=$BUILDPLATFORM base AS b\nARG TARGETARCH=amd64\nRUN echo $TARGETARCH >/a\nFROM base\nCOPY --from=b /a /a",
			want:       "2 builtin-arg-default linux/arm64", message: `TARGETARCH is "amd64" for linux/arm64`, fix: "write ARG TARGETARCH without a default",
		},
		"case 1: global default": {
			dockerfile: "ARG TARGETARCH=amd64\nFROM base\nARG TARGETARCH\nRUN echo $TARGETARCH",
			want:       "1 builtin-arg-default linux/arm64",
		},
		"case 1: default for both platforms": {
			dockerfile: "FROM base\nARG TARGETOS=linux TARGETVARIANT=v7\nRUN true", platforms: "linux/amd64,linux/arm64,linux/arm/v7",
			want: "2 builtin-arg-default linux/amd64 linux/arm64",
		},
		"case 1: default that refers to an undeclared argument": {
			dockerfile: "FROM base\nARG TARGETARCH=${TARGETARCH:-amd64}\nRUN true",
			want:       "2 builtin-arg-default linux/arm64",
		},
		"case 1: default that refers to a declared argument": {
			dockerfile: "FROM base\nARG TARGETARCH\nARG TARGETARCH=${TARGETARCH:-amd64}\nRUN true",
		},
		"case 1: global default with a fallback": {dockerfile: "ARG TARGETARCH=${TARGETARCH:-amd64}\nFROM base\nRUN true"},
		"case 1: same value":                     {dockerfile: "FROM base\nARG TARGETOS=linux\nRUN true"},
		"case 1: given by the user":              {dockerfile: "FROM base\nARG TARGETARCH=amd64\nRUN true", args: map[string]string{"TARGETARCH": "arm64"}},
		"case 1: in a stage that is not reached": {dockerfile: "FROM base AS x\nARG TARGETARCH=amd64\nFROM base"},
		"case 3: constant platform": {
			dockerfile: "FROM --platform=linux/amd64 base\nRUN uname -m >/m",
			want:       "1 runtime-pinned linux/arm64", message: "files for linux/amd64", fix: "drop --platform",
		},
		"case 3: build platform through a stage": {
			dockerfile: "FROM --platform=$BUILDPLATFORM base AS root\nRUN true\nFROM root\nRUN true",
			want:       "1 runtime-pinned linux/arm64",
		},
		"case 3: pinned stage that is only copied from": {
			dockerfile: "FROM --platform=$BUILDPLATFORM base AS b\nRUN true\nFROM base\nCOPY --from=b /a /a",
		},
		"case 3: scratch": {dockerfile: "FROM --platform=linux/amd64 scratch\nCOPY x /"},
		"case 3: the platform that is built": {
			dockerfile: "FROM --platform=linux/arm64 base\nRUN true", platforms: "linux/arm64",
		},
		"case 4: plain manifest": {
			dockerfile: "FROM base AS x\nFROM amdonly\nRUN true",
			want:       "2 base-platform linux/arm64", message: "amdonly is one image for linux/amd64", fix: "linux/arm64",
		},
		"case 4: index with one entry": {
			dockerfile: "FROM oneentry", want: "1 base-platform linux/arm64", message: "it has linux/amd64",
		},
		"case 4: configuration of another architecture": {
			dockerfile: "FROM liar", want: "1 base-platform linux/arm64", message: "the image itself is for linux/amd64",
		},
		"case 5: digest of a child": {
			dockerfile: "FROM app:1@" + armChild, want: "1 base-digest-single linux/amd64", message: "pinned to the image for linux/arm64",
			fix: "pin the index: app:1@" + index,
		},
		"case 5: digest of a child without a tag": {
			dockerfile: "FROM app@" + amdChild, want: "1 base-digest-single linux/arm64", fix: "pin the digest of the index",
		},
		"case 5: digest of a child in a pinned stage": {
			dockerfile: "FROM --platform=linux/amd64 app:1@" + amdChild + " AS b\nFROM scratch\nCOPY --from=b /x /",
		},
		"case 5: one platform": {
			dockerfile: "FROM app:1@" + armChild, platforms: "linux/amd64", want: "1 base-platform linux/amd64",
		},
		"case 12: image in COPY --from": {
			dockerfile: "FROM base\nCOPY --from=amdonly /bin/busybox /b", want: "2 base-platform linux/arm64", fix: "FROM --platform=$BUILDPLATFORM amdonly AS NAME",
		},
		"case 14: image that is in no registry": {
			dockerfile: "FROM built-just-now\nRUN true", want: "1 base-unavailable linux/amd64 linux/arm64", fix: "--build-context built-just-now=",
		},
		"early argument from the parent stage": {
			dockerfile: "FROM --platform=$BUILDPLATFORM base AS a\nARG TARGETPLATFORM\nFROM a AS b\nRUN make\nFROM scratch\nCOPY --from=b /x /",
			want:       "2 arg-early linux/amd64 linux/arm64", fix: "declare ARG TARGETPLATFORM in stage b, below line 4",
		},
		"early argument, not pinned": {dockerfile: "FROM base\nARG TARGETARCH\nRUN make"},
	}
}

func checkFindings(t *testing.T, result *exact.Result, want, message, fix string) {
	t.Helper()
	var got []string
	for _, f := range result.Findings {
		if f.URL != "" {
			continue // BuildKit's rules have a test of their own
		}
		got = append(got, strings.Join([]string{string(rune('0' + f.Line)), f.Rule, strings.Join(f.Platforms, " ")}, " "))
		if !strings.Contains(f.Message, message) || !strings.Contains(f.Fix, fix) || f.Fix == "" || f.File != "Dockerfile" {
			t.Errorf("finding %+v\nhas not message %q with fix %q", f, message, fix)
		}
	}
	if diff := cmp.Diff(want, strings.Join(got, "\n")); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

// TestExamples holds that nothing is found in the examples.
func TestExamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../examples/*/Dockerfile")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		opts := options(t, string(text))
		opts.Context = filepath.Dir(file)
		all := "linux/amd64,linux/arm64,linux/arm/v7,linux/s390x"
		opts.Platforms = list(t, all)
		opts.Resolver = parseRegistry(t, "index golang:1.26 "+all+"\nindex debian:bookworm-slim "+all+
			"\nindex debian:trixie-slim "+all+"\nindex busybox "+all)
		for _, f := range plan(t, opts).Findings {
			t.Errorf("%s: %s", file, describeFinding(f))
		}
	}
}

// TestRequests holds that every reference and every manifest is asked for once,
// whichever stages and platforms use it.
func TestRequests(t *testing.T) {
	t.Parallel()
	dockerfile := strings.Repeat("FROM base\nCOPY --from=app:1 / /\nRUN true\n", 20) + strings.Repeat("COPY --from=0 / /\n", 3)
	for i := range 19 {
		dockerfile += "COPY --from=" + string(rune('0'+i%10)) + " / /\n"
	}
	opts := options(t, dockerfile)
	r := parseRegistry(t, images)
	opts.Resolver = r
	plan(t, opts)
	want := map[string]int{
		"docker.io/library/base:latest": 1, "docker.io/library/base:latest linux/amd64": 1, "docker.io/library/base:latest linux/arm64": 1,
		"docker.io/library/app:1": 1, "docker.io/library/app:1 linux/amd64": 1, "docker.io/library/app:1 linux/arm64": 1,
	}
	if diff := cmp.Diff(want, r.asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// TestSessions holds that IDs do not depend on the session, and the digests do.
func TestSessions(t *testing.T) {
	t.Parallel()
	opts := options(t, "FROM base\nARG TARGETARCH\nCOPY bin/$TARGETARCH /x\nRUN --mount=type=secret,id=s --mount=type=cache,target=/c true\n")
	first := plan(t, opts)
	opts.SessionID = "another"
	second := plan(t, opts)
	changed := 0
	for i, s := range first.Steps {
		if s.ID != second.Steps[i].ID {
			t.Errorf("ID of %q changes", s.Command)
		}
		if s.Digests[0] != second.Steps[i].Digests[0] {
			changed++
		}
	}
	if changed == 0 {
		t.Error("no digest changes with the session")
	}
	if s := first.Steps[0]; s.Kind != "local" || len(s.Digests) != 2 || !s.Shared {
		t.Errorf("the context is not one step with two digests: %+v", s)
	}
}

func TestIgnoreFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".dockerignore"), "*.tmp\n")
	opts := options(t, "FROM base\nCOPY . /x\n")
	plain := plan(t, opts)
	opts.Context = dir
	ignoring := plan(t, opts)
	write(t, filepath.Join(dir, "Dockerfile.dockerignore"), "*.o\n")
	opts.DockerfileDir = dir
	own := plan(t, opts)
	seen := map[digest.Digest]bool{}
	for _, r := range []*exact.Result{plain, ignoring, own} {
		seen[r.Steps[0].Digests[0]] = true
	}
	if len(seen) != 3 {
		t.Errorf("ignore files make %d different contexts, want 3", len(seen))
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestLayout plans with a base in an image layout, which no registry has.
func TestLayout(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	blob := func(content any, mediaType string) ocispec.Descriptor {
		text, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
		write(t, filepath.Join(dir, "blobs/sha256", d.Digest.Encoded()), string(text))
		return d
	}
	config := blob(ocispec.Image{Platform: *parse(t, "linux/arm64"), RootFS: ocispec.RootFS{DiffIDs: []digest.Digest{digest.FromString("x")}}}, ocispec.MediaTypeImageConfig)
	manifest := blob(ocispec.Manifest{Config: config}, ocispec.MediaTypeImageManifest)
	manifest.Platform = parse(t, "linux/arm64")
	root := blob(ocispec.Index{Manifests: []ocispec.Descriptor{manifest}}, ocispec.MediaTypeImageIndex)
	root.Annotations = map[string]string{ocispec.AnnotationRefName: "v1"}
	manifest.Annotations = map[string]string{ocispec.AnnotationRefName: "single"}
	text, err := json.Marshal(ocispec.Index{Manifests: []ocispec.Descriptor{root, manifest}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "index.json"), string(text))

	opts := options(t, "FROM mine\nRUN true\n")
	for tag, message := range map[string]string{"v1": "it has linux/arm64", "single": "one image for linux/arm64"} {
		opts.NamedContexts = map[string]string{"mine": "oci-layout://" + dir + ":" + tag}
		checkFindings(t, plan(t, opts), "1 base-platform linux/amd64", message, "")
	}
	opts.NamedContexts["mine"] = "oci-layout://" + dir
	if _, err := exact.Plan(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "has 2 images") {
		t.Errorf("ambiguous layout: %v", err)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		dockerfile string
		change     func(*exact.Options)
		want       string
		line       int // of a planner.Error
	}{
		"unknown instruction":   {dockerfile: "FROM base\nFOO bar", want: "unknown instruction: FOO", line: 2},
		"refused in conversion": {dockerfile: "FROM base\nCOPY $X:$Y /\nRUN --mount=type=bind,from=base,target=/ true", want: "invalid mount target", line: 3},
		"foreign frontend":      {dockerfile: "# syntax=example.com/front\nFROM base\nFOO bar", want: "planning for the frontend example.com/front with the builtin one", line: 3},
		"arguments that grow":   {dockerfile: "FROM base\nENV A=0123456789\n" + strings.Repeat("ENV A=$A$A\n", 40), want: "a variable is longer than 128 KiB"},
		"commands that grow": {
			dockerfile: "FROM base\nENV A=" + strings.Repeat("x", 60000) + "\n" + strings.Repeat("LABEL a=$A$A$A$A$A$A\n", 200), want: "variables add more than 64 MiB",
		},
		"endless chain":            {dockerfile: "FROM base\n" + strings.Repeat("RUN true\n", 3000), want: "3000 instructions build on each other", line: 1},
		"no resolver":              {dockerfile: "FROM base", change: func(o *exact.Options) { o.Resolver = nil }, want: "set Options.Resolver"},
		"context over plain ssh":   {dockerfile: "FROM base", change: func(o *exact.Options) { o.NamedContexts = map[string]string{"x": "ssh://me:secret@example.com/x"} }, want: "build context x=ssh://xxxxx@example.com/x: BuildKit takes only"},
		"context of a bake file":   {dockerfile: "FROM base", change: func(o *exact.Options) { o.NamedContexts = map[string]string{"x": "target:y"} }, want: "build context x=target:y"},
		"directory that is none":   {dockerfile: "FROM base", change: func(o *exact.Options) { o.NamedContexts = map[string]string{"x": "plan_test.go"} }, want: "plan_test.go is no directory"},
		"layout that is none":      {dockerfile: "FROM base", change: func(o *exact.Options) { o.NamedContexts = map[string]string{"x": "oci-layout://testdata"} }, want: "index.json"},
		"target that is not there": {dockerfile: "FROM base AS one", change: func(o *exact.Options) { o.Target = "two" }, want: `target stage "two" does not exist`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := options(t, test.dockerfile)
			if test.change != nil {
				test.change(&opts)
			}
			_, err := exact.Plan(t.Context(), opts)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			var located *planner.Error
			if test.line > 0 && (!errors.As(err, &located) || located.Line != test.line) {
				t.Errorf("line %+v, want %d", located, test.line)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	reason := errors.New("the user left")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	if _, err := exact.Plan(ctx, options(t, "FROM base")); !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
}

func TestSyntaxArgument(t *testing.T) {
	t.Parallel()
	opts := options(t, "FROM base\n")
	opts.Args = map[string]string{"BUILDKIT_SYNTAX": "docker/dockerfile:1-labs"}
	if r := plan(t, opts); !r.Approximate || r.Syntax != "docker/dockerfile:1-labs" {
		t.Errorf("%+v", r)
	}
}
