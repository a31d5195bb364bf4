package output_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/mabuild/mabuild/builder/output"
)

func TestLayoutManyWriters(t *testing.T) {
	dir := t.TempDir()
	shared := bytes.Repeat([]byte("shared "), 1<<15)
	var group errgroup.Group
	var want []string
	for n := range 40 {
		name := fmt.Sprintf("app:%d", n)
		want = append(want, "docker.io/library/"+name)
		group.Go(func() error {
			layout, err := output.OpenLayout(dir)
			if err != nil {
				return err
			}
			if err := layout.Write(t.Context(), blob(shared), shared); err != nil {
				return err
			}
			own := []byte(name)
			if err := layout.Write(t.Context(), blob(own), own); err != nil {
				return err
			}
			return layout.Add(blob(own), name)
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	checkNames(t, dir, want)
	if err := verify(dir); err != nil {
		t.Error(err)
	}
}

// checkNames compares the names in a layout with want, in any order.
func checkNames(t *testing.T, dir string, want []string) {
	t.Helper()
	layout, err := output.OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := layout.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, e := range entries {
		got[e.Name] = true
	}
	for _, name := range want {
		if !got[name] {
			t.Errorf("%s is lost", name)
		}
	}
	if len(entries) != len(want) {
		t.Errorf("%d entries, want %d", len(entries), len(want))
	}
}

// verify compares all blobs with their digests.
func verify(dir string) error {
	blobs := filepath.Join(dir, "blobs", "sha256")
	files, err := os.ReadDir(blobs)
	if err != nil {
		return err
	}
	for _, file := range files {
		body, err := os.ReadFile(filepath.Join(blobs, file.Name()))
		if err != nil {
			return err
		}
		if got := blob(body).Digest.Encoded(); got != file.Name() {
			return fmt.Errorf("the blob %s is %s", file.Name(), got)
		}
	}
	return nil
}

// filler is a process that runs [fill].
type filler struct {
	cmd   *exec.Cmd
	begin io.WriteCloser
	out   *bufio.Scanner
	errs  bytes.Buffer
}

func startFiller(t *testing.T, dir, name string) *filler {
	t.Helper()
	f := &filler{cmd: exec.CommandContext(t.Context(), os.Args[0])}
	f.cmd.Env = append(os.Environ(), "MABUILD_TEST_FILL="+dir, "MABUILD_TEST_FILL_AS="+name)
	f.cmd.Stderr = &f.errs
	var err error
	if f.begin, err = f.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	f.out = bufio.NewScanner(out)
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return f
}

// Two builds that keep their images at the same time, with the same base.
func TestLayoutTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	fillers := map[string]*filler{"one": startFiller(t, dir, "one"), "two": startFiller(t, dir, "two")}
	for _, f := range fillers {
		if _, err := f.begin.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for name, f := range fillers {
		for f.out.Scan() {
		}
		if err := f.cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, f.errs.String())
		}
		for n := range fillCount {
			want = append(want, fmt.Sprintf("docker.io/library/%s:%d", name, n))
		}
	}
	checkNames(t, dir, want)
	if err := verify(dir); err != nil {
		t.Error(err)
	}
}

// A process that is killed leaves what it had added, and the layout can be used.
func TestLayoutKilledWriter(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for round := range 3 {
		name := fmt.Sprintf("killed%d", round)
		f := startFiller(t, dir, name)
		if _, err := f.begin.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
		for range 7 * (round + 1) {
			if !f.out.Scan() {
				t.Fatal(f.errs.String())
			}
			want = append(want, fmt.Sprintf("docker.io/library/%s:%s", name, f.out.Text()))
		}
		if err := f.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for f.out.Scan() { // what it did until it died
			want = append(want, fmt.Sprintf("docker.io/library/%s:%s", name, f.out.Text()))
		}
		_ = f.cmd.Wait()
	}
	body, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(body, &index); err != nil || index.SchemaVersion != 2 || index.MediaType != ocispec.MediaTypeImageIndex {
		t.Fatalf("index.json: %v\n%s", err, body)
	}
	got := map[string]bool{}
	for _, desc := range index.Manifests {
		got[desc.Annotations["io.containerd.image.name"]] = true
	}
	for _, name := range want {
		if !got[name] {
			t.Errorf("%s is lost", name)
		}
	}
	if len(got) > len(want)+3 { // each may have added one without saying so
		t.Errorf("%d names, at most %d were added", len(got), len(want)+3)
	}
	if err := verify(dir); err != nil {
		t.Error(err)
	}
	layout, err := output.OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	add(t, layout, "after", "after")
	if _, err := layout.Prune(t.Context(), false); err != nil {
		t.Error(err)
	}
}
