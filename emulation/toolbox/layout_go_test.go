package toolbox_test

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mabuild/mabuild/emulation/toolbox"
)

// makeGo makes a root file system with an installation of Go.
func makeGo(t testing.TB, version, arch string, machine elf.Machine, first int) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "usr/local/go/VERSION", []byte(version+"\ntime 2026-07-01T00:00:00Z\n"))
	for i, name := range []string{"asm", "compile", "dist", "link"} {
		program := testELF{machine: machine, buildID: id(first + i), behind: true}
		write(t, dir, "usr/local/go/pkg/tool/linux_"+arch+"/"+name, program.bytes(t))
	}
	return dir
}

func TestLayoutGo(t *testing.T) {
	o := toolbox.GoOptions{
		Out: filepath.Join(t.TempDir(), "box"), Host: "amd64", Target: "arm64",
		Native: makeGo(t, "go1.26.8", "amd64", x86, 100), Base: makeGo(t, "go1.26.8", "arm64", arm, 1),
	}
	linked := testELF{machine: x86, interp: x86Ld, needs: []string{"libc.so.6"}}
	write(t, o.Native, "usr/local/go/pkg/tool/linux_amd64/link", linked.bytes(t))
	box, err := toolbox.LayoutGo(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(box.Tools) != 2 || box.Suite != "go1.26.8" || box.Slot != "g" {
		t.Errorf("got %+v", box)
	}
	refusal(t, box, "go", "link")
	compile := tools(box)["/usr/local/go/pkg/tool/linux_arm64/compile"]
	got, err := os.ReadFile(filepath.Join(o.Out, compile.File))
	want, _ := os.ReadFile(filepath.Join(o.Native, "usr/local/go/pkg/tool/linux_amd64/compile"))
	if err != nil || compile.BuildID != id(2) || !bytes.Equal(got, want) {
		t.Errorf("the compiler is another one: %+v, %v", compile, err)
	}
	store := toolbox.Open(t.TempDir())
	if _, err := store.InstallDir(t.Context(), o.Out, ""); err != nil {
		t.Fatal(err)
	}
	install(t, store, id(50), "native dash") // of a suite with another slot
	if boxes := contents(t, view(t, store)).Boxes; len(boxes) != 2 {
		t.Errorf("the view is made of %v", boxes)
	}
}

func TestLayoutGoRefuses(t *testing.T) {
	for name, version := range map[string]string{"another release": "go1.26.7", "from the repository": "devel go1.27-1234"} {
		t.Run(name, func(t *testing.T) {
			native := "go1.26.8"
			if name == "from the repository" {
				native = version
			}
			_, err := toolbox.LayoutGo(t.Context(), toolbox.GoOptions{
				Out: filepath.Join(t.TempDir(), "box"), Host: "amd64", Target: "arm64",
				Native: makeGo(t, native, "amd64", x86, 100), Base: makeGo(t, version, "arm64", arm, 1),
			})
			if !errors.Is(err, toolbox.ErrUnsuited) {
				t.Errorf("got %v", err)
			}
		})
	}
}
