package buildkit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/session/upload"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/buildkittest"
	"github.com/mabuild/mabuild/planner"
)

func cache(kind, ref string) client.CacheOptionsEntry {
	return client.CacheOptionsEntry{Type: kind, Attrs: map[string]string{"ref": ref}}
}

func TestInputs(t *testing.T) {
	store, err := secretsprovider.NewStore([]secretsprovider.Source{{ID: "token", Env: "MABUILD_TEST_TOKEN"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("MABUILD_TEST_TOKEN", "s3cr3t")
	var got string
	solver, server := newSolver(t, func(ctx context.Context, solve *buildkittest.Solve) (map[string]string, error) {
		caller, err := solve.Session(ctx)
		if err != nil {
			return nil, err
		}
		text, err := secrets.GetSecret(ctx, caller, "token")
		got = string(text)
		return nil, err
	}, buildkit.Options{Inputs: buildkit.Inputs{
		Attrs: func(job planner.Job) map[string]string {
			return map[string]string{"add-hosts": "a=192.0.2.1", "label:arch": job.Platform.Architecture}
		},
		Session:      []session.Attachable{secretsprovider.NewSecretProvider(store)},
		Entitlements: []string{"network.host"},
		CacheFrom: func(job planner.Job) []client.CacheOptionsEntry {
			return []client.CacheOptionsEntry{cache("registry", "r/c:x-"+job.Platform.Architecture)}
		},
		CacheTo: func(planner.Job) []client.CacheOptionsEntry {
			return []client.CacheOptionsEntry{cache("registry", "r/c:x")}
		},
	}})
	if _, err := solver.Solve(t.Context(), jobFor(t, "linux/arm64")); err != nil {
		t.Fatal(err)
	}
	request := server.Requests()[0]
	if got != "s3cr3t" {
		t.Errorf("the secret is %q", got)
	}
	if attrs := request.FrontendAttrs; attrs["add-hosts"] != "a=192.0.2.1" || attrs["label:arch"] != "arm64" {
		t.Errorf("attributes %v", attrs)
	}
	if len(request.Entitlements) != 1 || request.Entitlements[0] != "network.host" {
		t.Errorf("entitlements %q", request.Entitlements)
	}
	if imports := request.Cache.Imports; len(imports) != 1 || imports[0].Attrs["ref"] != "r/c:x-arm64" {
		t.Errorf("imports %v", imports)
	}
	if exports := request.Cache.Exports; len(exports) != 1 || exports[0].Attrs["ref"] != "r/c:x" {
		t.Errorf("exports %v", exports)
	}
}

// TestLackingCache: what a daemon cannot do with caches is a warning, once, and the
// build goes on (case 38).
func TestLackingCache(t *testing.T) {
	var log bytes.Buffer
	both := func(planner.Job) []client.CacheOptionsEntry {
		return []client.CacheOptionsEntry{cache("s3", "x"), cache("registry", "r/c:x")}
	}
	solver, server := newSolver(t, func(_ context.Context, solve *buildkittest.Solve) (map[string]string, error) {
		now := time.Now()
		solve.Report(&client.SolveStatus{Vertexes: []*client.Vertex{{
			Digest: digest.FromString("import"), Name: "importing cache manifest from s3:1", Started: &now, Completed: &now,
			Error: "unknown cache importer: s3",
		}}})
		for _, export := range solve.Request.Cache.Exports {
			if export.Type != "registry" {
				return nil, fmt.Errorf("unknown cache exporter: %q", export.Type)
			}
		}
		return nil, nil
	}, buildkit.Options{
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Inputs: buildkit.Inputs{CacheFrom: both, CacheTo: both},
	})
	for range 2 {
		if _, err := solver.Solve(t.Context(), jobFor(t, "linux/arm64")); err != nil {
			t.Fatal(err)
		}
	}
	requests := server.Requests()
	if len(requests) != 3 {
		t.Fatalf("%d requests, want one more than jobs", len(requests))
	}
	if got := strings.Count(log.String(), "no cache of this type"); got != 1 {
		t.Errorf("%d warnings:\n%s", got, log.String())
	}
	last := requests[2].Cache
	if len(last.Exports) != 1 || len(last.Imports) != 1 {
		t.Errorf("the last request has %v and %v", last.Exports, last.Imports)
	}
}

func TestAttested(t *testing.T) {
	image := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("image"), Size: 5,
		Platform: &ocispec.Platform{OS: "linux", Architecture: "arm64"},
	}
	attestation := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("attestation"), Size: 11,
		Platform: &ocispec.Platform{OS: "unknown", Architecture: "unknown"},
	}
	other := image
	other.Digest, other.Platform = digest.FromString("other"), &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	for name, test := range map[string]struct {
		children []ocispec.Descriptor
		err      error
		wrong    string
	}{
		"attested":          {children: []ocispec.Descriptor{image, attestation}},
		"another platform":  {children: []ocispec.Descriptor{other, attestation}, wrong: "linux/amd64 for linux/arm64"},
		"two images":        {children: []ocispec.Descriptor{image, image}, wrong: "linux/arm64"},
		"no image":          {children: []ocispec.Descriptor{attestation}, wrong: "without an image"},
		"cannot be fetched": {err: errors.New("gone"), wrong: "gone"},
	} {
		t.Run(name, func(t *testing.T) {
			solver, _ := newSolver(t, func(context.Context, *buildkittest.Solve) (map[string]string, error) {
				return buildkittest.Image(ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromString("index"), Size: 5}), nil
			}, buildkit.Options{Inputs: buildkit.Inputs{
				Children: func(context.Context, ocispec.Descriptor) ([]ocispec.Descriptor, error) {
					return test.children, test.err
				},
			}})
			got, err := solver.Solve(t.Context(), jobFor(t, "linux/arm64"))
			if test.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), test.wrong) {
					t.Errorf("error %v, want one with %q", err, test.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.children, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestSourceArchive: an archive that the client has is sent as often as it is asked for.
func TestSourceArchive(t *testing.T) {
	const name = "0123"
	var got []string
	node, server := dial(t, buildkittest.Options{Solve: func(ctx context.Context, solve *buildkittest.Solve) (map[string]string, error) {
		caller, err := solve.Session(ctx)
		if err != nil {
			return nil, err
		}
		address, err := url.Parse(solve.Request.FrontendAttrs["context"])
		if err != nil {
			return nil, err
		}
		for range 2 {
			up, err := upload.New(ctx, caller, address)
			if err != nil {
				return nil, err
			}
			var text bytes.Buffer
			if _, err := up.WriteTo(&text); err != nil {
				return nil, err
			}
			got = append(got, text.String())
		}
		return nil, nil
	}})
	source, err := node.Offer(t.Context(), buildkit.SourceOptions{
		URL: buildkit.ArchiveURL(name), Dockerfile: "sub/Dockerfile", InContext: true,
		Archive: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("archive")), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	solver, err := buildkit.NewSolver(buildkit.Options{Node: node, Source: source})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := solver.Solve(t.Context(), jobFor(t, "linux/arm64")); err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, " ") != "archive archive" {
		t.Errorf("the daemon received %q", got)
	}
	if attrs := server.Requests()[0].FrontendAttrs; attrs["filename"] != "sub/Dockerfile" || attrs["dockerfilekey"] != "" {
		t.Errorf("attributes %v", attrs)
	}
}

// TestSourceURL: the daemon fetches what is a URL; a Dockerfile can still be local.
func TestSourceURL(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "My.Dockerfile"), dockerfile)
	layout := t.TempDir()
	image := digest.FromString("image")
	write(t, filepath.Join(layout, "index.json"), fmt.Sprintf(
		`{"manifests": [{"digest": %q, "annotations": {"org.opencontainers.image.ref.name": "v1"}}, {"digest": %q}]}`, image, digest.FromString("x")))
	node, server := dial(t, buildkittest.Options{})
	offer := func(named map[string]string) (*buildkit.Source, error) {
		return node.Offer(t.Context(), buildkit.SourceOptions{
			URL: "https://example.com/app.git#v1", Dockerfile: filepath.Join(dir, "My.Dockerfile"), NamedContexts: named,
		})
	}
	if _, err := offer(map[string]string{"base": "oci-layout://" + layout}); err == nil || !strings.Contains(err.Error(), "2 images") {
		t.Errorf("error %v for a layout with two images", err)
	}
	source, err := offer(map[string]string{"base": "oci-layout://" + layout + ":v1", "lib": "https://example.com/lib.git"})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	solver, err := buildkit.NewSolver(buildkit.Options{Node: node, Source: source})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := solver.Solve(t.Context(), jobFor(t, "linux/arm64")); err != nil {
		t.Fatal(err)
	}
	attrs := server.Requests()[0].FrontendAttrs
	for name, want := range map[string]string{
		"context": "https://example.com/app.git#v1", "filename": "My.Dockerfile", "dockerfilekey": "dockerfile",
		"context:base": "oci-layout://layout0@" + image.String(), "context:lib": "https://example.com/lib.git",
	} {
		if attrs[name] != want {
			t.Errorf("%s is %q, want %q", name, attrs[name], want)
		}
	}
	if _, err := os.Stat(filepath.Join(layout, "blobs")); err == nil {
		t.Error("the layout was written to")
	}
}
