package buildkittest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"

	"github.com/mabuild/mabuild/builder/buildkittest"
)

func connect(t *testing.T, server *buildkittest.Server) *client.Client {
	t.Helper()
	c, err := client.New(t.Context(), server.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

var step = digest.FromString("step")

// quote makes an image, or for s390x an error that is the Dockerfile.
func quote(ctx context.Context, solve *buildkittest.Solve) (map[string]string, error) {
	solve.Report(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: step, Name: "for " + solve.Platform()}}})
	dir, err := solve.Local(ctx, "dockerfile")
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "Dockerfile"))
	if err != nil {
		return nil, err
	}
	if solve.Platform() == "linux/s390x" {
		return nil, errdefs.WrapVertex(errors.New(string(text)), step)
	}
	return buildkittest.Image(ocispec.Descriptor{Digest: step, Size: 1}), nil
}

// BuildKit's client sees what the script does: local sources in the session of the
// Solve itself, status, response and errors with details.
func TestServer(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	server := buildkittest.New(t, buildkittest.Options{Solve: quote})
	files, err := fsutil.NewFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, server)
	solve := func(platform string) (*client.SolveResponse, []string, error) {
		status := make(chan *client.SolveStatus, 10)
		response, err := c.Solve(t.Context(), nil, client.SolveOpt{
			Frontend: "dockerfile.v0", FrontendAttrs: map[string]string{"platform": platform},
			LocalMounts: map[string]fsutil.FS{"dockerfile": files},
		}, status)
		var names []string
		for s := range status {
			for _, v := range s.Vertexes {
				names = append(names, v.Name)
			}
		}
		return response, names, err
	}
	response, names, err := solve("linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	if got := response.ExporterResponse[exptypes.ExporterImageDigestKey]; got != step.String() {
		t.Errorf("the image is %q", got)
	}
	if diff := cmp.Diff([]string{"for linux/amd64"}, names); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	_, _, err = solve("linux/s390x")
	var failed *errdefs.VertexError
	if !errors.As(err, &failed) || failed.Digest != step.String() || err.Error() != "failed to solve: FROM scratch\n" {
		t.Errorf("error %v", err)
	}
	if got := len(server.Requests()); got != 2 {
		t.Errorf("%d requests", got)
	}
}

func TestServerWithoutWorker(t *testing.T) {
	workers, err := connect(t, buildkittest.New(t, buildkittest.Options{NoWorker: true})).ListWorkers(t.Context())
	if err != nil || len(workers) != 0 {
		t.Errorf("workers %v, error %v", workers, err)
	}
}

func TestServerKill(t *testing.T) {
	server := buildkittest.New(t, buildkittest.Options{})
	c := connect(t, server)
	if _, err := c.ListWorkers(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if _, err := c.ListWorkers(t.Context()); err == nil {
		t.Error("a server that was killed answers")
	}
}
