package buildkit_test

import (
	"context"
	"errors"
	"io"
	gofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
	"golang.org/x/sync/errgroup"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/buildkittest"
)

// counted counts what is read of a file system.
type counted struct {
	fsutil.FS
	walks, opens *atomic.Int32
}

func (c counted) Walk(ctx context.Context, target string, f gofs.WalkDirFunc) error {
	c.walks.Add(1)
	return c.FS.Walk(ctx, target, f)
}

func (c counted) Open(name string) (io.ReadCloser, error) {
	c.opens.Add(1)
	return c.FS.Open(name)
}

// Case 39: several jobs at once, one walk of the context.
func TestSourceIsSentOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "context", "src", "main.go"), "package main\n")
	write(t, filepath.Join(dir, "context", "README"), "read me\n")
	write(t, filepath.Join(dir, "recipes", "app.Dockerfile"), dockerfile)
	var mu sync.Mutex
	got := map[string]int{}
	node, server := dial(t, buildkittest.Options{
		Solve: func(ctx context.Context, solve *buildkittest.Solve) (map[string]string, error) {
			for _, name := range []string{"context", "dockerfile"} {
				received, err := solve.Local(ctx, name)
				if err != nil {
					return nil, err
				}
				mu.Lock()
				countFiles(t, name, received, got)
				mu.Unlock()
			}
			return nil, nil
		},
	})
	var walks, opens atomic.Int32
	source, err := node.Offer(t.Context(), buildkit.SourceOptions{
		Context: filepath.Join(dir, "context"), Dockerfile: filepath.Join(dir, "recipes", "app.Dockerfile"),
		Wrap: func(files fsutil.FS) fsutil.FS { return counted{files, &walks, &opens} },
	})
	if err != nil {
		t.Fatal(err)
	}
	solver, err := buildkit.NewSolver(buildkit.Options{Node: node, Source: source})
	if err != nil {
		t.Fatal(err)
	}
	var group errgroup.Group
	names := []string{"linux/amd64", "linux/arm64", "linux/s390x", "linux/riscv64"}
	for _, name := range names {
		job := jobFor(t, name)
		group.Go(func() error {
			_, err := solver.Solve(t.Context(), job)
			return err
		})
	}
	if err := errors.Join(group.Wait(), source.Close()); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"context/src/main.go": len(names), "context/README": len(names), "dockerfile/app.Dockerfile": len(names)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files that the jobs see (-want +got):\n%s", diff)
	}
	if walks.Load() != 1 || opens.Load() != 2 {
		t.Errorf("%d walks of the context, %d files read; want 1 and 2", walks.Load(), opens.Load())
	}
	checkSessions(t, server.Requests())
}

// checkSessions checks that the jobs have one session for the source, and each one
// of its own for everything else.
func checkSessions(t *testing.T, requests []*controlapi.SolveRequest) {
	t.Helper()
	sources, sessions := map[string]bool{}, map[string]bool{}
	for _, request := range requests {
		sources[request.FrontendAttrs["local-sessionid:context"]] = true
		sources[request.FrontendAttrs["local-sessionid:dockerfile"]] = true
		sessions[request.Session] = true
	}
	if len(sources) != 1 || len(sessions) != len(requests) {
		t.Errorf("%d sessions have the source, %d everything else; want 1 and %d", len(sources), len(sessions), len(requests))
	}
	for id := range sources {
		if sessions[id] {
			t.Error("a job has the session of the source for itself")
		}
	}
}

func countFiles(t *testing.T, prefix, dir string, counts map[string]int) {
	err := filepath.WalkDir(dir, func(name string, entry gofs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			relative, _ := filepath.Rel(dir, name)
			counts[filepath.Join(prefix, relative)]++
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Two people get the same layers: files belong to root.
func TestSourceOwner(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "text\n")
	write(t, filepath.Join(dir, "Dockerfile"), dockerfile)
	if err := os.Chown(filepath.Join(dir, "file"), 1234, 5678); err != nil {
		t.Skipf("only root can give files away: %v", err)
	}
	node, _ := dial(t, buildkittest.Options{})
	seen := false
	source, err := node.Offer(t.Context(), buildkit.SourceOptions{
		Context: dir, Dockerfile: filepath.Join(dir, "Dockerfile"),
		Wrap: func(files fsutil.FS) fsutil.FS {
			err := files.Walk(t.Context(), "", func(name string, entry gofs.DirEntry, err error) error {
				if err != nil || name != "file" {
					return err
				}
				info, err := entry.Info()
				if err != nil {
					return err
				}
				if st := info.Sys().(*fstypes.Stat); st.Uid != 0 || st.Gid != 0 {
					t.Errorf("the file belongs to %d:%d", st.Uid, st.Gid)
				}
				seen = true
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			return files
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Close(); err != nil || !seen {
		t.Errorf("error %v, seen %t", err, seen)
	}
}

func TestOfferFails(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Dockerfile"), dockerfile)
	node, _ := dial(t, buildkittest.Options{})
	for name, test := range map[string]struct{ context, dockerfile, want string }{
		"no context":         {filepath.Join(dir, "none"), filepath.Join(dir, "Dockerfile"), "opening the build context: "},
		"a file":             {filepath.Join(dir, "Dockerfile"), filepath.Join(dir, "Dockerfile"), "is not a directory"},
		"no such Dockerfile": {dir, filepath.Join(dir, "none", "Dockerfile"), "opening "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := node.Offer(t.Context(), buildkit.SourceOptions{Context: test.context, Dockerfile: test.dockerfile})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// A source can be closed at once, and when its daemon has gone.
func TestSourceClose(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Dockerfile"), dockerfile)
	for name, kill := range map[string]bool{"at once": false, "after the daemon": true} {
		t.Run(name, func(t *testing.T) {
			node, server := dial(t, buildkittest.Options{})
			if kill {
				server.Kill()
			}
			source, err := node.Offer(t.Context(), buildkit.SourceOptions{Context: dir, Dockerfile: filepath.Join(dir, "Dockerfile")})
			if err != nil {
				t.Fatal(err)
			}
			if err := source.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
