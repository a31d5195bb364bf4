package toolbox_test

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/mabuild/mabuild/emulation/toolbox"
)

// compilerBox makes a box with a compiler that goes with a library.
func compilerBox(kind toolbox.Kind, suite, slot, library string) (*toolbox.Box, []boxFile) {
	box, files := makeBox(id(7), "compiler of "+suite)
	box.Kind, box.Suite = kind, suite
	toSlot(slot, box, files)
	tool := &box.Tools[0]
	tool.Path, tool.Names, tool.Package = "/usr/libexec/gcc/aarch64-linux-gnu/14/cc1", []string{"cc1"}, "cpp-14-aarch64-linux-gnu"
	tool.Closure = []toolbox.Need{
		{BuildID: library, Path: "/usr/lib/aarch64-linux-gnu/libzstd.so.1"},
		{BuildID: id(98), Path: "/usr/lib/aarch64-linux-gnu/libmpc.so.3"},
	}
	return box, files
}

// The archive has another library by now than an image that is older, on which a step
// installs compilers: they go with the image's.
func TestMissingOlderImage(t *testing.T) {
	image := func(library string) fstest.MapFS {
		return fstest.MapFS{
			"etc/os-release":                         {Data: []byte("ID=debian\nVERSION_CODENAME=trixie\n")},
			"var/lib/dpkg/status":                    {Data: []byte("Package: dash\nStatus: install ok installed\nVersion: 1\n")},
			"usr/lib/aarch64-linux-gnu/libzstd.so.1": {Data: testELF{machine: arm, buildID: library}.bytes(t)},
		}
	}
	store := toolbox.Open(t.TempDir())
	check := func(image fstest.MapFS, want ...string) {
		t.Helper()
		if got, err := store.Missing("arm64", false, image.ReadFile); err != nil || !slices.Equal(got, want) {
			t.Errorf("missing are %v, %v; want %v", got, err, want)
		}
	}
	add := func(box *toolbox.Box, files []boxFile) {
		t.Helper()
		if _, err := store.Install(t.Context(), bytes.NewReader(pack(t, box, files)), ""); err != nil {
			t.Fatal(err)
		}
	}
	older, newer := image(id(1)), image(id(2))
	add(ofImage(id(3), "of the image", "dash", "1"))
	check(older, "trixie")
	add(compilerBox(toolbox.Debian, "trixie", "t", id(2)))
	check(newer)
	check(older, "trixie-install")
	add(compilerBox(toolbox.Install, "trixie-install", "E", id(1)))
	check(older)
	check(newer)
	check(image(id(5)), "trixie-install")

	tool, ok := contents(t, view(t, store)).Tool(id(7))
	if !ok || tool.Closure[0].BuildID != id(1) {
		t.Errorf("the first choice is %+v", tool)
	}
	other, err := filepath.Glob(filepath.Join(view(t, store).Dir, "or", id(7), "cc1"))
	if err != nil || len(other) != 1 {
		t.Errorf("a step that has upgraded its libraries has %v, %v", other, err)
	}
}

// What installing adds to an image goes with the image's libraries; of what the image
// has itself there is another toolbox.
func TestLayoutInstall(t *testing.T) {
	o := options(t)
	o.Suite = "trixie-install"
	box, err := toolbox.Layout(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	got := tools(box)
	if _, ok := got["/usr/bin/dash"]; ok || len(got) == 0 {
		t.Errorf("the tools are %v", got)
	}
	cc1 := got["/usr/libexec/gcc/aarch64-linux-gnu/14/cc1"]
	if len(cc1.Closure) != 1 || cc1.Closure[0].BuildID != id(1) || cc1.File[0] != 'E' {
		t.Errorf("cc1 is %+v", cc1)
	}
}
