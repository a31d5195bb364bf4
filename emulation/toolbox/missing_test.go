package toolbox_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/mabuild/mabuild/emulation/toolbox"
)

// ofImage makes a box that was made of an image alone, of one package.
func ofImage(buildID, text, pkg, version string) (*toolbox.Box, []boxFile) {
	box, files := makeBox(buildID, text)
	box.Kind, box.Suite, box.Packages = toolbox.Base, "trixie-base", map[string]string{pkg: version}
	return box, files
}

func TestMissing(t *testing.T) {
	dir := t.TempDir()
	store := toolbox.Open(dir)
	base := fstest.MapFS{
		"etc/os-release":      {Data: []byte("ID=debian\nVERSION_CODENAME=trixie\n")},
		"var/lib/dpkg/status": {Data: []byte("Package: liblzma5\nStatus: install ok installed\nVersion: 5.4.1-1\n")},
	}
	checkAll := func(all bool, arch string, want ...string) {
		t.Helper()
		if got, err := store.Missing(arch, all, base.ReadFile); err != nil || !slices.Equal(got, want) {
			t.Errorf("missing for %s are %v, %v; want %v", arch, got, err, want)
		}
	}
	check := func(arch string, want ...string) {
		t.Helper()
		checkAll(false, arch, want...)
	}
	check("arm64", "trixie-base", "trixie")
	install(t, store, id(1), "of the archive")
	check("arm64", "trixie-base")
	for _, version := range []string{"5.4.1-0", "5.4.1-1"} {
		check("arm64", "trixie-base")
		box, files := ofImage(id(2), "of an image", "liblzma5", version)
		if _, err := store.Install(t.Context(), bytes.NewReader(pack(t, box, files)), ""); err != nil {
			t.Fatal(err)
		}
	}
	check("arm64")
	check("s390x", "trixie-base", "trixie")
	checkAll(true, "arm64", "trixie-base", "trixie") // they are without the tools that must be asked for
	box, files := makeBox(id(3), "openssl")
	box.OptIn = true
	if _, err := store.Install(t.Context(), bytes.NewReader(pack(t, box, files)), ""); err != nil {
		t.Fatal(err)
	}
	checkAll(true, "arm64", "trixie-base")
	check("arm64")
	boxes, err := store.List()
	if err != nil {
		t.Fatal(err)
	}
	weekAgo := time.Now().Add(-7*24*time.Hour - time.Minute)
	for _, box := range boxes {
		if err := os.Chtimes(filepath.Join(dir, "boxes", box.Digest), time.Time{}, weekAgo); err != nil {
			t.Fatal(err)
		}
	}
	check("arm64", "trixie")
	install(t, store, id(1), "of the archive") // which is as it was
	check("arm64")
	base["etc/os-release"] = &fstest.MapFile{Data: []byte("ID=alpine\n")}
	check("arm64")
}

// The program that an image brings goes with the image's libraries, though the
// archive's toolbox, which has it as well, is newer.
func TestViewPrefersImage(t *testing.T) {
	store := toolbox.Open(t.TempDir())
	box, files := ofImage(id(1), "of the image", "dash", "1")
	toSlot("3", box, files)
	if _, err := store.Install(t.Context(), bytes.NewReader(pack(t, box, files)), ""); err != nil {
		t.Fatal(err)
	}
	install(t, store, id(1), "of the archive")
	if tool, ok := contents(t, view(t, store)).Tool(id(1)); !ok || tool.File != files[2].name {
		t.Errorf("got %v, %t", tool, ok)
	}
}

// The same program of the image and of the archive, each with its libraries: a step
// that has upgraded them has the other.
func TestViewHasBoth(t *testing.T) {
	store := toolbox.Open(t.TempDir())
	running := view(t, store)
	box, files := ofImage(id(1), "of the image", "dash", "1")
	toSlot("3", box, files)
	box.Tools[0].Closure[0].BuildID = id(98)
	if _, err := store.Install(t.Context(), bytes.NewReader(pack(t, box, files)), ""); err != nil {
		t.Fatal(err)
	}
	install(t, store, id(1), "of the archive")
	for dir, want := range map[string][2]string{"id": {"of the image", id(98)}, "or": {"of the archive", id(99)}} {
		text, err := os.ReadFile(filepath.Join(running.Dir, dir, id(1), "dash"))
		if err != nil || string(text) != want[0] {
			t.Errorf("%s: %q, %v", dir, text, err)
		}
		if text, err := os.ReadFile(filepath.Join(running.Dir, dir, id(1), ".req")); err != nil || !strings.HasPrefix(string(text), want[1]) {
			t.Errorf("%s needs %q, %v", dir, text, err)
		}
	}
	if next := view(t, store); next.Dir != running.Dir || len(contents(t, next).Boxes) != 2 {
		t.Errorf("the next step has %s", next.Dir)
	}
	for _, text := range []string{"of the image", "of the archive"} {
		if _, ok := contents(t, running).Has(sum(text)); !ok {
			t.Errorf("the leak scan does not know the tool %s", text)
		}
	}
}
