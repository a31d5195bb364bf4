package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/emulation/toolbox"
)

// makeToolbox builds a toolbox as the engine's client does, and installs it.
func makeToolbox(t *testing.T, store *toolbox.Store, recipe toolbox.Recipe, flags ...string) toolbox.Installed {
	t.Helper()
	text, err := recipe.Dockerfile()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	dockerfile, archive := filepath.Join(dir, "Dockerfile"), filepath.Join(dir, "toolbox.tar")
	if err := os.WriteFile(dockerfile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	if err := os.Mkdir(program, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(shared.binary, filepath.Join(program, "mabuild")); err != nil {
		t.Fatal(err)
	}
	mabuild(t, append(flags, "-f", dockerfile, "--platform", "linux/amd64", "--build-context", toolbox.ProgramContext+"="+program, "-o", "type=tar,dest="+archive, t.TempDir())...)
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	installed, err := store.Install(t.Context(), file, "")
	if err != nil {
		t.Fatal(err)
	}
	return installed
}

// has reports whether a toolbox has a tool by the path of what it stands for.
func has(box *toolbox.Box, name string) bool {
	return slices.ContainsFunc(box.Tools, func(t toolbox.Tool) bool { return t.Path == name })
}

// Go's tools of the real image, made twice: the same digest both times.
func TestToolboxOfGo(t *testing.T) {
	store := toolbox.Open(t.TempDir())
	recipe := toolbox.Recipe{Suite: "go1.26.8", Base: "golang:1.26", Platform: "linux/arm64", Host: "amd64"}
	first := makeToolbox(t, store, recipe)
	for _, name := range []string{"compile", "asm", "link"} {
		if !has(first.Box, "/usr/local/go/pkg/tool/linux_arm64/"+name) {
			t.Errorf("there is no %s; refused are %v", name, first.Box.Refused)
		}
	}
	if second := makeToolbox(t, store, recipe, "--no-cache"); second.Digest != first.Digest {
		t.Errorf("two toolboxes: %s and %s", first.Digest, second.Digest)
	}
	view, err := store.View("arm64", false)
	if err != nil || view == nil {
		t.Fatalf("got %v, %v", view, err)
	}
	defer view.Release()
	if _, err := os.Stat(filepath.Join(view.Dir, "id", first.Box.Tools[0].BuildID, first.Box.Tools[0].Names[0])); err != nil {
		t.Error(err)
	}
}

// The real packages of Debian 12: what unpacks is native, and the compiler, whose
// cross version lacks a fix, is not.
func TestToolboxOfBookworm(t *testing.T) {
	t.Parallel()
	store := toolbox.Open(t.TempDir())
	recipe := toolbox.Recipe{Suite: "bookworm-base", Base: "debian:bookworm-slim", Platform: "linux/arm64", Host: "amd64"}
	image := makeToolbox(t, store, recipe, "--network", "none").Box
	recipe.Suite = "bookworm"
	box := makeToolbox(t, store, recipe).Box
	for _, name := range []string{"/usr/bin/dpkg-deb", "/bin/sed", "/usr/bin/xz"} {
		if !has(box, name) {
			t.Errorf("there is no %s", name)
		}
	}
	view, err := store.View("arm64", false)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Release()
	contents, err := view.Contents()
	if err != nil {
		t.Fatal(err)
	}
	// Whatever the archive has by now: what the image brings goes with its libraries.
	for _, tool := range image.Tools {
		if got, ok := contents.Tool(tool.BuildID); !ok || got.File != tool.File {
			t.Errorf("%s of the image is %q", tool.Path, got.File)
		}
	}
	if !has(image, "/usr/bin/dpkg-deb") || image.Packages["liblzma5"] == "" {
		t.Errorf("the image's toolbox is of %v", image.Packages)
	}
	for _, tool := range box.Tools {
		if rule, ok := toolbox.RuleFor(tool.Package, filepath.Base(tool.Path)); !ok || rule.Class == toolbox.Never {
			t.Errorf("%s is native", tool.Path)
		}
	}
	if !slices.ContainsFunc(box.Refused, func(r toolbox.Refusal) bool {
		return r.Package == "cpp-12" && r.Target == "gcc-12 12.2.0-14+deb12u1" && r.Native == "gcc-12-cross 12.2.0-14cross1"
	}) {
		t.Errorf("the compiler was not refused: %v", box.Refused)
	}
}

// A command on an image that there is no toolbox of wants one; the build makes it while
// the command runs, and what that executes from then on is native, with the same image.
func TestToolboxDuringStep(t *testing.T) {
	t.Parallel()
	if !dispatch.Supported() {
		t.Skip("there are native tools on linux/amd64 alone")
	}
	run := elsewhere(t)
	step, process := waitingStep()
	dir := project(t, map[string]string{"Dockerfile": "FROM debian:bookworm-slim\n" +
		"RUN sum() { /usr/bin/sha256sum /usr/bin/dpkg-deb >/sum; }; sum; " + step + "; sum; sum\n"})
	build := func(tools, until string) (config string, kinds map[dispatch.Kind]int) {
		t.Helper()
		out := t.TempDir()
		metadata := filepath.Join(out, "metadata.json")
		cmd := run("--platform", "linux/arm64", "--assist="+tools, "--no-cache", "--metadata-file", metadata, "--build-arg", "SOURCE_DATE_EPOCH=1700000000",
			"--progress=plain", "-o", "type=oci,rewrite-timestamp=true,dest="+filepath.Join(out, "image.tar"), dir)
		rest := startAndAwait(t, cmd, until)
		endStep(t, process)
		said := rest()
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		text, err := os.ReadFile(metadata)
		if err != nil {
			t.Fatal(err)
		}
		var told struct {
			Config    string                                        `json:"containerimage.config.digest"`
			Platforms map[string]struct{ Programs []dispatch.Step } `json:"mabuild.platforms"`
		}
		if err := json.Unmarshal(text, &told); err != nil {
			t.Fatal(err)
		}
		kinds = make(map[dispatch.Kind]int)
		for _, step := range told.Platforms["linux/arm64"].Programs {
			for _, exec := range step.Execs {
				if filepath.Base(exec.Path) == "sha256sum" {
					kinds[exec.Kind] += exec.Count
				}
			}
		}
		return told.Config, kinds
	}
	with, kinds := build("proven", "made a toolbox")
	if kinds[dispatch.Native] != 2 || kinds[dispatch.Unknown] != 1 {
		t.Errorf("one execution before and two after the toolbox came: %v", kinds)
	}
	if plain, kinds := build("off", "RUN sum()"); plain != with || plain == "" || kinds[dispatch.Native] != 0 {
		t.Errorf("the image without tools is %s, and with them %s; native are %v", plain, with, kinds)
	}
}
