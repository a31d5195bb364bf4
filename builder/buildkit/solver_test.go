package buildkit_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/containerd/platforms"
	"github.com/docker/cli/cli/config"
	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc/codes"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/buildkittest"
	"github.com/mabuild/mabuild/planner"
)

var _ builder.Solver = (*buildkit.Solver)(nil)

const dockerfile = `FROM golang AS build
COPY . .
RUN go build

FROM debian
COPY --from=build /app /app
RUN ldconfig
`

// script is what a daemon does with a Solve.
type script = func(ctx context.Context, solve *buildkittest.Solve) (map[string]string, error)

// newSolver returns a solver on a scripted daemon. Node and Source of the options
// are filled in; the source has [dockerfile] and a file to copy.
func newSolver(t *testing.T, run script, opts buildkit.Options) (*buildkit.Solver, *buildkittest.Server) {
	t.Helper()
	return newSolverOn(t, buildkittest.Options{Solve: run}, opts)
}

func newSolverOn(t *testing.T, daemon buildkittest.Options, opts buildkit.Options) (*buildkit.Solver, *buildkittest.Server) {
	t.Helper()
	node, server := dial(t, daemon)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "main.go"), "package main\n")
	write(t, filepath.Join(dir, "Dockerfile"), dockerfile)
	source, err := node.Offer(t.Context(), buildkit.SourceOptions{Context: dir, Dockerfile: filepath.Join(dir, "Dockerfile")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = source.Close() })
	opts.Node, opts.Source = node, source
	solver, err := buildkit.NewSolver(opts)
	if err != nil {
		t.Fatal(err)
	}
	return solver, server
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// jobFor plans [dockerfile] for a platform.
func jobFor(t *testing.T, name string) planner.Job {
	t.Helper()
	return jobOf(t, dockerfile, name)
}

func jobOf(t *testing.T, text, name string) planner.Job {
	t.Helper()
	plan, err := planner.Expand([]byte(text), planner.Options{
		Platforms: []ocispec.Platform{platforms.MustParse(name)}, BuildPlatform: platforms.MustParse("linux/amd64"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan.Jobs[0]
}

func manifest(platform *ocispec.Platform) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("image"), Size: 5, Platform: platform}
}

func exported(desc ocispec.Descriptor) script {
	return func(context.Context, *buildkittest.Solve) (map[string]string, error) {
		return buildkittest.Image(desc), nil
	}
}

func TestSolve(t *testing.T) {
	for name, test := range map[string]struct {
		job  string
		made *ocispec.Platform
		want ocispec.Platform
	}{
		"same":                   {"linux/s390x", &ocispec.Platform{OS: "linux", Architecture: "s390x"}, ocispec.Platform{OS: "linux", Architecture: "s390x"}},
		"not told":               {"linux/s390x", nil, ocispec.Platform{OS: "linux", Architecture: "s390x"}},
		"variant not told":       {"linux/arm/v7", &ocispec.Platform{OS: "linux", Architecture: "arm"}, ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}},
		"variant v8 of arm64":    {"linux/arm64", &ocispec.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}, ocispec.Platform{OS: "linux", Architecture: "arm64"}},
		"variant of amd64":       {"linux/amd64/v3", &ocispec.Platform{OS: "linux", Architecture: "amd64", Variant: "v3"}, ocispec.Platform{OS: "linux", Architecture: "amd64", Variant: "v3"}},
		"same variant, oldest":   {"linux/arm/v5", &ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v5"}, ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v5"}},
		"windows has a version":  {"windows/amd64", &ocispec.Platform{OS: "windows", Architecture: "amd64", OSVersion: "10.0.20348.1"}, ocispec.Platform{OS: "windows", Architecture: "amd64", OSVersion: "10.0.20348.1"}},
		"riscv64 has no variant": {"linux/riscv64", &ocispec.Platform{OS: "linux", Architecture: "riscv64"}, ocispec.Platform{OS: "linux", Architecture: "riscv64"}},
	} {
		t.Run(name, func(t *testing.T) {
			solver, _ := newSolver(t, exported(manifest(test.made)), buildkit.Options{})
			images, err := solver.Solve(t.Context(), jobFor(t, test.job))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]ocispec.Descriptor{manifest(&test.want)}, images); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSolveWithoutImage(t *testing.T) {
	solver, _ := newSolver(t, nil, buildkit.Options{})
	images, err := solver.Solve(t.Context(), jobFor(t, "linux/amd64"))
	if err != nil || len(images) > 0 {
		t.Errorf("images %v, error %v", images, err)
	}
}

// Case 62: what is exported for another platform goes nowhere.
func TestSolveRefusesAnotherPlatform(t *testing.T) {
	for _, test := range []struct{ job, made string }{
		{"linux/arm64", "linux/amd64"},
		{"linux/arm64", "linux/arm/v7"},
		{"linux/arm/v7", "linux/arm/v6"},
		{"linux/amd64/v3", "linux/amd64"},
		{"linux/amd64", "windows/amd64"},
	} {
		t.Run(test.made+" for "+test.job, func(t *testing.T) {
			made := platforms.MustParse(test.made)
			solver, _ := newSolver(t, exported(manifest(&made)), buildkit.Options{})
			images, err := solver.Solve(t.Context(), jobFor(t, test.job))
			var e *buildkit.Error
			if !errors.As(err, &e) || images != nil {
				t.Fatalf("images %v, error %v", images, err)
			}
			if want := "the daemon exported " + test.made + " for " + test.job; e.Err.Error() != want || e.Hint == "" {
				t.Errorf("error %q, want %q", err, want)
			}
			if platforms.FormatAll(*e.Platform) != test.job {
				t.Errorf("the error is of %s", platforms.FormatAll(*e.Platform))
			}
		})
	}
}

// events notes what is reported.
type events struct {
	mu   sync.Mutex
	list []string
}

func (e *events) report(job planner.Job, status *client.SolveStatus) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if status == nil {
		e.list = append(e.list, platforms.Format(job.Platform)+" ends")
		return
	}
	for _, vertex := range status.Vertexes {
		e.list = append(e.list, vertex.Name)
	}
}

func step(name string) *client.SolveStatus {
	return &client.SolveStatus{Vertexes: []*client.Vertex{{Digest: digest.FromString(name), Name: name}}}
}

func TestSolveReportsInOrder(t *testing.T) {
	var heard events
	solver, _ := newSolver(t, func(_ context.Context, solve *buildkittest.Solve) (map[string]string, error) {
		for _, name := range []string{"a", "b", "c"} {
			solve.Report(step(name))
		}
		return nil, nil
	}, buildkit.Options{Report: heard.report})
	if _, err := solver.Solve(t.Context(), jobFor(t, "linux/amd64")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "linux/amd64 ends"}, heard.list); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
}

// locked is what containerd's store tells the second one who fetches a blob.
func locked() error {
	return grpcerrors.WrapCode(errors.New("failed to copy: ref layer-sha256:5f70bf18 locked for 43.1ms (since 2026-01-02 03:04:05 +0000 UTC): unavailable"),
		codes.Unavailable)
}

// Case 51.
func TestSolveTriesAgainWhenABlobIsLocked(t *testing.T) {
	t.Parallel()
	var heard events
	var tries atomic.Int32
	solver, server := newSolver(t, func(_ context.Context, solve *buildkittest.Solve) (map[string]string, error) {
		if tries.Add(1) == 1 {
			solve.Report(step("locked"))
			return nil, locked()
		}
		solve.Report(step("done"))
		return buildkittest.Image(manifest(nil)), nil
	}, buildkit.Options{Report: heard.report})
	images, err := solver.Solve(t.Context(), jobFor(t, "linux/amd64"))
	if err != nil || len(images) != 1 {
		t.Fatalf("images %v, error %v", images, err)
	}
	if got := len(server.Requests()); got != 2 {
		t.Errorf("%d tries", got)
	}
	if diff := cmp.Diff([]string{"locked", "done", "linux/amd64 ends"}, heard.list); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
}

// Case 51: a daemon whose blob stays locked is not lost.
func TestSolveGivesUpOnALockedBlob(t *testing.T) {
	t.Parallel()
	solver, server := newSolver(t, func(context.Context, *buildkittest.Solve) (map[string]string, error) { return nil, locked() }, buildkit.Options{})
	_, err := solver.Solve(t.Context(), jobFor(t, "linux/amd64"))
	var e *buildkit.Error
	if !errors.As(err, &e) || e.Kind != buildkit.BuildFailed || e.Hint == "" {
		t.Fatalf("error: %+v", err)
	}
	if got := len(server.Requests()); got != 5 {
		t.Errorf("%d tries", got)
	}
}

func TestSolveInterrupted(t *testing.T) {
	interrupt := errors.New("interrupted")
	for name, run := range map[string]func(cancel func()) script{
		"in the middle": func(cancel func()) script {
			return func(ctx context.Context, _ *buildkittest.Solve) (map[string]string, error) {
				cancel()
				<-ctx.Done()
				return nil, ctx.Err()
			}
		},
		"while it waits for a locked blob": func(cancel func()) script {
			return func(context.Context, *buildkittest.Solve) (map[string]string, error) {
				defer cancel()
				return nil, locked()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			var heard events
			solver, _ := newSolver(t, run(func() { cancel(interrupt) }), buildkit.Options{Report: heard.report})
			_, err := solver.Solve(ctx, jobFor(t, "linux/amd64"))
			if err != interrupt {
				t.Errorf("error %v, want %v", err, interrupt)
			}
			if !slices.Equal(heard.list, []string{"linux/amd64 ends"}) {
				t.Errorf("reports: %q", heard.list)
			}
		})
	}
}

func TestSolverPlatforms(t *testing.T) {
	solver, _ := newSolver(t, nil, buildkit.Options{})
	list, err := solver.Platforms(t.Context())
	if err != nil || len(list) != 1 || platforms.Format(list[0]) != "linux/amd64" {
		t.Errorf("platforms %v, error %v", list, err)
	}
}

func TestNewSolverReadsTheCredentials(t *testing.T) {
	before := config.Dir()
	t.Cleanup(func() { config.SetDir(before) })
	dir := t.TempDir()
	config.SetDir(dir)
	if _, err := buildkit.NewSolver(buildkit.Options{}); err != nil {
		t.Errorf("without a file: %v", err)
	}
	write(t, filepath.Join(dir, config.ConfigFileName), "{")
	if _, err := buildkit.NewSolver(buildkit.Options{}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("with half a file: %v", err)
	}
}
