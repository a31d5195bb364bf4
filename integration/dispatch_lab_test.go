package integration

import (
	"archive/tar"
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/integration/testbed"
	"github.com/mabuild/mabuild/planner/assist"
)

// dispatchLab builds for one platform on an engine that has toolboxes.
type dispatchLab struct {
	dir      string // the engine's state is below
	platform string // what it builds for; empty is linux/arm64
	// as gives a command the engine of the lab.
	as func(*exec.Cmd) *exec.Cmd
}

// newDispatchEngine has an engine without toolboxes.
func newDispatchEngine(t *testing.T, images ...string) *dispatchLab {
	t.Helper()
	if !dispatch.Supported() {
		t.Skip("there are native tools on linux/amd64 alone")
	}
	if testing.Short() {
		t.Skip("making toolboxes takes a while: run without -short")
	}
	_, err := testbed.Prepare(t.Context(), testbed.Options{Images: images, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	dir := shortDir(t)
	lab := &dispatchLab{dir: dir, as: func(cmd *exec.Cmd) *exec.Cmd { return own(t, dir, cmd) }}
	t.Cleanup(func() { stopEngine(t, lab.as(command(t)).Env) })
	return lab
}

// newDispatchLab makes the toolboxes of what the cases are built on: bookworm and Go,
// and trixie, whose compiler has a twin, with the tools that must be asked for.
func newDispatchLab(t *testing.T) *dispatchLab {
	t.Helper()
	lab := newDispatchEngine(t, testbed.Trixie)
	for image, tools := range map[string]string{testbed.Golang: "proven", testbed.Trixie: "all"} {
		if res := finish(t, lab.as(command(t, "toolbox", "make", "--platform", "linux/arm64", "--assist="+tools, image))); res.code != 0 {
			t.Fatalf("making the toolboxes of %s: exit code %d\n%s", image, res.code, res.stderr)
		}
	}
	return lab
}

// toolboxes is where the engine keeps them.
func (l *dispatchLab) toolboxes() string { return filepath.Join(l.dir, "state", "toolbox") }

// dispatched is a build and what ran natively in it.
type dispatched struct {
	layout string // an OCI layout
	layers []ocispec.Descriptor
	steps  []dispatchedStep
	stderr string
}

// dispatchedStep is a command of the metadata file.
type dispatchedStep struct {
	Line  int
	Stage string
	dispatch.Step
}

// build runs the steps of the stage "work" again, whatever is in the cache: commands
// have the same key with native tools as without.
func (l *dispatchLab) build(t *testing.T, dir, tools string, flags ...string) dispatched {
	t.Helper()
	out := t.TempDir()
	if l.as(command(t)).SysProcAttr != nil { // another user
		readable(t, out)
		if err := os.Chmod(out, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	platform := cmp.Or(l.platform, "linux/arm64")
	built := dispatched{layout: filepath.Join(out, "layout")}
	metadata := filepath.Join(out, "metadata.json")
	res := finish(t, l.as(command(t, append([]string{
		"--platform", platform, "--assist=" + tools, "--no-cache-filter", "work", "--progress=plain", "-t", "dispatched",
		"--build-arg", "SOURCE_DATE_EPOCH=1700000000", "--metadata-file", metadata,
		"-o", "type=oci,tar=false,compression=uncompressed,rewrite-timestamp=true,dest=" + built.layout, dir,
	}, flags...)...)))
	if res.code != 0 {
		t.Fatalf("--assist=%s: exit code %d\n%s", tools, res.code, res.stderr)
	}
	built.stderr, built.layers = res.stderr, layersOf(t, built.layout)
	text, err := os.ReadFile(metadata)
	if err != nil {
		t.Fatal(err)
	}
	var told struct {
		Platforms map[string]struct{ Programs []dispatchedStep } `json:"mabuild.platforms"`
	}
	if err := json.Unmarshal(text, &told); err != nil {
		t.Fatal(err)
	}
	for _, step := range told.Platforms[platform].Programs {
		if step.Stage == "work" {
			built.steps = append(built.steps, step)
		}
	}
	if len(built.steps) == 0 {
		t.Fatalf("--assist=%s: the metadata file tells of no command of the stage work: %s", tools, text)
	}
	return built
}

// count is how many programs were executed in one of the ways.
func (d dispatched) count(kind dispatch.Kind) int {
	n := 0
	for _, step := range d.steps {
		if kind == dispatch.Native {
			n += step.Hits
		}
		n += step.Misses[kind]
	}
	return n
}

// native are the names of the programs that were native, as far as the steps name them.
func (d dispatched) native() []string {
	var names []string
	for _, step := range d.steps {
		for _, exec := range step.Execs {
			if exec.Kind == dispatch.Native && exec.Path != "" {
				names = append(names, filepath.Base(exec.Path))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// checkNative expects that these programs were native, and that none was without tools.
func checkNative(t *testing.T, plain, native dispatched, want ...string) {
	t.Helper()
	if n := plain.count(dispatch.Native); n > 0 {
		t.Errorf("without tools %d programs were native", n)
	}
	got := native.native()
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("%s was not native; %v were, %d programs in all\n%s", name, got, native.count(dispatch.Native), native.stderr)
		}
	}
	for how, built := range map[string]dispatched{"without": plain, "with": native} {
		var wall float64
		for _, step := range built.steps {
			wall += step.Wall
		}
		t.Logf("%s tools: commands took %.1f s, %d programs native", how, wall, built.count(dispatch.Native))
	}
}

// checkSame compares the layers, and in those that differ every file. Only what noise
// knows may differ: what has the time in it.
func checkSame(t *testing.T, a, b dispatched, noise func(name string) bool) {
	t.Helper()
	if len(a.layers) != len(b.layers) || len(a.layers) == 0 {
		t.Fatalf("the images have %d and %d layers", len(a.layers), len(b.layers))
	}
	for i := range a.layers {
		if a.layers[i].Digest == b.layers[i].Digest {
			continue
		}
		if noise == nil {
			t.Errorf("layer %d differs: %s and %s", i, a.layers[i].Digest, b.layers[i].Digest)
		}
		differences, err := assist.CompareTars(
			bytes.NewReader(blob(t, a.layout, a.layers[i].Digest)), bytes.NewReader(blob(t, b.layout, b.layers[i].Digest)))
		if err != nil {
			t.Fatal(err)
		}
		for _, difference := range differences {
			if noise == nil || !noise(difference.Name) {
				t.Errorf("layer %d: %s", i, difference)
			}
		}
	}
}

// file reads a file of the image's last layer; "" if it is not there.
func (d dispatched) file(t *testing.T, name string) string {
	t.Helper()
	archive := tar.NewReader(bytes.NewReader(blob(t, d.layout, d.layers[len(d.layers)-1].Digest)))
	for {
		header, err := archive.Next()
		if err != nil {
			return ""
		}
		if strings.TrimPrefix(header.Name, "./") == name {
			text, err := io.ReadAll(archive)
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
	}
}
