package integration

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

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
	recipe := toolbox.Recipe{Suite: "bookworm", Base: "debian:bookworm-slim", Platform: "linux/arm64", Host: "amd64"}
	box := makeToolbox(t, toolbox.Open(t.TempDir()), recipe).Box
	for _, name := range []string{"/usr/bin/dpkg-deb", "/bin/sed", "/usr/bin/xz"} {
		if !has(box, name) {
			t.Errorf("there is no %s", name)
		}
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
