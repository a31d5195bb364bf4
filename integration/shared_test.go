package integration

import (
	"context"
	"fmt"
	"io"
	gofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
	"github.com/tonistiigi/fsutil"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/planner"
)

// countingFS counts what is read of a build context.
type countingFS struct {
	fsutil.FS
	opens, bytes atomic.Int64
}

func (f *countingFS) Open(name string) (io.ReadCloser, error) {
	f.opens.Add(1)
	r, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.TeeReader(r, countWriter{&f.bytes}), r}, nil
}

func (f *countingFS) Walk(ctx context.Context, target string, fn gofs.WalkDirFunc) error {
	return f.FS.Walk(ctx, target, fn)
}

type countWriter struct{ n *atomic.Int64 }

func (w countWriter) Write(p []byte) (int, error) {
	w.n.Add(int64(len(p)))
	return len(p), nil
}

// TestSharedWork is case 39: the context is read and sent once for all platforms,
// and a stage on the build platform runs once.
func TestSharedWork(t *testing.T) {
	const size = 1 << 20
	dir := project(t, map[string]string{
		"data": strings.Repeat("x", size),
		"Dockerfile": "FROM --platform=$BUILDPLATFORM busybox AS once\nCOPY data /data\n" +
			"RUN cat /proc/sys/kernel/random/uuid > /uuid\n" +
			"FROM busybox\nCOPY --from=once /uuid /uuid\nRUN true\n",
	})
	mabuild(t, "engine", "du") // starts the engine
	node, err := buildkit.Dial(t.Context(), "unix://"+filepath.Join(shared.state, "engine.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	var files *countingFS
	source, err := node.Offer(t.Context(), buildkit.SourceOptions{
		Context: dir, Dockerfile: filepath.Join(dir, "Dockerfile"),
		Wrap: func(fs fsutil.FS) fsutil.FS {
			files = &countingFS{FS: fs}
			return files
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	text, err := os.ReadFile(filepath.Join(dir, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	platforms, err := planner.ParsePlatforms(six)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := planner.Expand(text, planner.Options{Platforms: platforms})
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	var mu sync.Mutex
	runs := map[string]map[digest.Digest]bool{}
	solver, err := buildkit.NewSolver(buildkit.Options{
		Node: node, Source: source,
		Exports: func(job planner.Job) []buildkit.Export {
			return []buildkit.Export{{Type: "local", Dir: filepath.Join(out, job.Platform.Architecture)}}
		},
		Report: func(_ planner.Job, status *client.SolveStatus) {
			if status == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, v := range status.Vertexes {
				if v.Completed != nil && !v.Cached && strings.Contains(v.Name, "] RUN ") {
					if runs[v.Name] == nil {
						runs[v.Name] = map[digest.Digest]bool{}
					}
					runs[v.Name][v.Digest] = true
				}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := builder.Build(t.Context(), plan, builder.Options{Solver: solver}); err != nil {
		t.Fatal(err)
	}
	if n := files.opens.Load(); n != 1 {
		t.Errorf("the context's only file was opened %d times", n)
	}
	if n := files.bytes.Load(); n != size {
		t.Errorf("%d bytes of the context were read, want %d", n, size)
	}
	uuids := map[string]bool{}
	for _, job := range plan.Jobs {
		body, err := os.ReadFile(filepath.Join(out, job.Platform.Architecture, "uuid"))
		if err != nil {
			t.Fatal(err)
		}
		uuids[string(body)] = true
	}
	if len(uuids) != 1 {
		t.Errorf("the shared stage ran %d times: %v", len(uuids), uuids)
	}
	for name, steps := range runs {
		want := 1
		if strings.Contains(name, "stage-1") {
			want = len(plan.Jobs)
		}
		if len(steps) != want {
			t.Errorf("%q ran %d times, want %d", name, len(steps), want)
		}
	}
	if len(runs) != 2 {
		t.Error(fmt.Sprint("the steps that ran are ", runs))
	}
}
