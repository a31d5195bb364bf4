package buildkit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	sessioncontent "github.com/moby/buildkit/session/content"
	"github.com/moby/buildkit/session/filesync"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/buildkittest"
	"github.com/mabuild/mabuild/planner"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// What the daemon is asked for.
func TestSolveRequest(t *testing.T) {
	image := func(planner.Job) []buildkit.Export {
		return []buildkit.Export{{Type: client.ExporterImage, Attrs: map[string]string{
			"name": "ghcr.io/me/app", "push": "true", "push-by-digest": "true",
		}}}
	}
	for name, test := range map[string]struct {
		opts   buildkit.Options
		target string
		args   map[string]string
	}{
		"plain": {},
		"everything": {
			opts: buildkit.Options{
				Exports: image, NoCache: true, Pull: true,
				Labels: map[string]string{"org.opencontainers.image.source": "https://example.com/app", "empty": ""},
			},
			target: "build", args: map[string]string{"VERSION": "1.2", "EMPTY": ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			solver, server := newSolver(t, nil, test.opts)
			job := jobFor(t, "linux/arm/v7")
			job.Target, job.Args = test.target, test.args
			if _, err := solver.Solve(t.Context(), job); err != nil {
				t.Fatal(err)
			}
			request := server.Requests()[0]
			got, err := json.MarshalIndent(map[string]any{
				"frontend": request.Frontend, "attrs": request.FrontendAttrs, "exporters": request.Exporters,
			}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			source := request.FrontendAttrs["local-sessionid:context"]
			got = append(bytes.ReplaceAll(got, []byte(source), []byte("SOURCE")), '\n')
			golden(t, filepath.Join("testdata", name+".json"), got)
		})
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The exporters' way through the session, each as BuildKit's exporter goes it.
func TestSolveExports(t *testing.T) {
	files := t.TempDir()
	write(t, filepath.Join(files, "app"), "program\n")
	sent, err := fsutil.NewFS(files)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	store, err := local.NewStore(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	blob := ocispec.Descriptor{Digest: digest.FromString("blob"), Size: 4}
	var tar closer
	for name, test := range map[string]struct {
		export buildkit.Export
		send   func(context.Context, session.Caller) error
		check  func() (string, error)
		want   string
	}{
		"local": {
			export: buildkit.Export{Type: client.ExporterLocal, Dir: filepath.Join(dir, "out")},
			send: func(ctx context.Context, caller session.Caller) error {
				return filesync.CopyToCaller(ctx, sent, 0, caller, nil)
			},
			check: func() (string, error) { b, err := os.ReadFile(filepath.Join(dir, "out", "app")); return string(b), err },
			want:  "program\n",
		},
		"tar": {
			export: buildkit.Export{Type: client.ExporterTar, Tar: func() (io.WriteCloser, error) { return &tar, nil }},
			send: func(ctx context.Context, caller session.Caller) error {
				w, err := filesync.CopyFileWriter(ctx, nil, 0, caller)
				if err != nil {
					return err
				}
				_, err = io.WriteString(w, "archive")
				return errors.Join(err, w.Close())
			},
			check: func() (string, error) { return tar.String(), tar.err },
			want:  "archive",
		},
		"oci": {
			export: buildkit.Export{Type: client.ExporterOCI, Attrs: map[string]string{"tar": "false"}, Store: store},
			send: func(ctx context.Context, caller session.Caller) error {
				return content.WriteBlob(ctx, sessioncontent.NewCallerStore(caller, "export"), "blob", strings.NewReader("blob"), blob)
			},
			check: func() (string, error) { b, err := content.ReadBlob(t.Context(), store, blob); return string(b), err },
			want:  "blob",
		},
	} {
		t.Run(name, func(t *testing.T) {
			solver, server := newSolver(t, exporting(test.send), buildkit.Options{
				Exports: func(planner.Job) []buildkit.Export { return []buildkit.Export{test.export} },
			})
			if _, err := solver.Solve(t.Context(), jobFor(t, "linux/amd64")); err != nil {
				t.Fatal(err)
			}
			if got, err := test.check(); err != nil || got != test.want {
				t.Errorf("exported %q, want %q: %v", got, test.want, err)
			}
			if got := server.Requests()[0].Exporters[0].Type; got != test.export.Type {
				t.Errorf("exporter %s", got)
			}
		})
	}
}

// exporting is a daemon that sends something to the session of a job.
func exporting(send func(context.Context, session.Caller) error) script {
	return func(ctx context.Context, solve *buildkittest.Solve) (map[string]string, error) {
		caller, err := solve.Session(ctx)
		if err != nil {
			return nil, err
		}
		return nil, send(ctx, caller)
	}
}

// closer is a file that a tar export writes.
type closer struct {
	bytes.Buffer
	closed bool
	err    error
}

func (c *closer) Close() error {
	if c.closed {
		c.err = errors.New("closed twice")
	}
	c.closed = true
	return nil
}
