package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/session/filesync"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/buildkittest"
	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/planner"
)

// newSolver has a daemon for two platforms, which does with every job what solve does.
func newSolver(t *testing.T, solve func(context.Context, *buildkittest.Solve) error, opts buildkit.Options) *buildkit.Solver {
	t.Helper()
	node, err := buildkit.Dial(t.Context(), buildkittest.New(t, buildkittest.Options{
		Platforms: []ocispec.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}},
		Solve: func(ctx context.Context, job *buildkittest.Solve) (map[string]string, error) {
			return nil, solve(ctx, job)
		},
	}).Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Close() })
	dir := t.TempDir()
	dockerfile := filepath.Join(dir, "Dockerfile")
	if err := os.WriteFile(dockerfile, []byte("FROM scratch\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	opts.Node = node
	if opts.Source, err = node.Offer(t.Context(), buildkit.SourceOptions{Context: dir, Dockerfile: dockerfile}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opts.Source.Close() })
	solver, err := buildkit.NewSolver(opts)
	if err != nil {
		t.Fatal(err)
	}
	return solver
}

// twoFiles is an archive, in which a block with a header and one with its text follow
// each other.
func twoFiles(t *testing.T) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for _, name := range []string{"a", "b"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: 4}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, "text"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// A result that may go without a platform has nothing of it, whatever it exported before
// it failed.
func TestDeliveryMissing(t *testing.T) {
	packed := twoFiles(t)
	for name, test := range map[string]struct {
		sent    int  // of the archive, before the job fails
		again   bool // it is tried once more, and succeeds
		refused bool // the daemon does all of it, but its images are not let pass
		want    []string
	}{
		"cut in a file":     {sent: 1024 + 512 + 2, want: []string{"linux_amd64"}},
		"cut between files": {sent: 1024, want: []string{"linux_amd64"}},
		"whole":             {sent: len(packed), want: []string{"linux_amd64"}},
		"refused":           {refused: true, want: []string{"linux_amd64"}},
		"tried again":       {sent: 1024, again: true, want: []string{"linux_amd64", "linux_arm64"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			archive, files := filepath.Join(dir, "files.tar"), filepath.Join(dir, "files")
			plan := &planner.Plan{Jobs: jobsOf(t, "linux/amd64", "linux/arm64")}
			delivery, err := newDelivery(&buildOptions{outputs: []output.Spec{{Type: output.Local, Dest: files}, {Type: output.Tar, Dest: archive}}}, plan, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer delivery.close()
			var tries atomic.Int32
			solver := newSolver(t, func(ctx context.Context, solve *buildkittest.Solve) error {
				if solve.Platform() == "linux/amd64" || test.refused || test.again && tries.Add(1) > 1 {
					return export(ctx, solve, packed)
				}
				return errors.Join(errors.New("the push failed"), export(ctx, solve, packed[:test.sent]))
			}, buildkit.Options{Exports: delivery.exports})
			isARM := func(p ocispec.Platform) bool { return p.Architecture == "arm64" }
			_, err = builder.Build(t.Context(), plan, builder.Options{
				Solver: settling{solver, delivery.settle}, Publisher: delivery.publisher, AllowMissing: isARM, Discard: delivery.discard,
				Retries: 1, Passes: func(error) bool { return test.again },
				Verify: func(_ context.Context, job planner.Job, _ []ocispec.Descriptor) error {
					if test.refused && isARM(job.Platform) {
						return errors.New("not for this platform")
					}
					return nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, directoriesIn(t, archive)); diff != "" {
				t.Errorf("in the archive (-want +got):\n%s", diff)
			}
			var there []string
			entries, err := os.ReadDir(files)
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				there = append(there, entry.Name())
			}
			if diff := cmp.Diff(test.want, there); diff != "" {
				t.Errorf("in the directory (-want +got):\n%s", diff)
			}
		})
	}
}

// export sends an archive to all exporters of a job, and returns when they are done.
func export(ctx context.Context, solve *buildkittest.Solve, packed []byte) error {
	caller, err := solve.Session(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for i := range solve.Request.Exporters {
		w, err := filesync.CopyFileWriter(ctx, nil, i, caller)
		if err != nil {
			return err
		}
		_, err = w.Write(packed)
		errs = append(errs, err, w.Close())
	}
	return errors.Join(errs...)
}

// directoriesIn are those that the files of an archive are in.
func directoriesIn(t *testing.T, archive string) []string {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var names []string
	for reader := tar.NewReader(file); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		if name, _, _ := strings.Cut(header.Name, "/"); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
}
