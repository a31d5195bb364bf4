package toolbox_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/emulation/toolbox"
)

func TestInstallRefuses(t *testing.T) {
	good, files := makeBox(id(1), "native dash")
	header := func(typ byte, name, link string) *tar.Header {
		return &tar.Header{Typeflag: typ, Name: name, Linkname: link, Mode: 0o755}
	}
	changed := func(change func(*toolbox.Box)) []byte {
		box, files := makeBox(id(1), "native dash")
		change(box)
		return pack(t, box, files)
	}
	whole := pack(t, good, files)
	for name, archive := range map[string][]byte{
		"empty":                nil,
		"no archive":           []byte(strings.Repeat("x", 2000)),
		"ends early":           whole[:1600],
		"no description":       pack(t, nil, files),
		"a file is missing":    pack(t, good, files[:2]),
		"a file too many":      pack(t, good, append([]boxFile{{"t/extra", "x"}}, files...)),
		"a file twice":         pack(t, good, append([]boxFile{files[0]}, files...)),
		"another content":      pack(t, good, []boxFile{files[0], files[1], {files[2].name, "evil dash!!"}}),
		"a link":               pack(t, good, files, header(tar.TypeSymlink, "t/x", "/etc/passwd")),
		"a hard link":          pack(t, good, files, header(tar.TypeLink, "t/x", "/etc/passwd")),
		"a device":             pack(t, good, files, header(tar.TypeChar, "t/x", "")),
		"outside":              pack(t, good, append([]boxFile{{"../../evil", "x"}}, files...)),
		"absolute":             pack(t, good, append([]boxFile{{"/tmp/evil", "x"}}, files...)),
		"outside in the list":  changed(func(b *toolbox.Box) { b.Files[0].Path = "t/../../evil" }),
		"outside of the slot":  changed(func(b *toolbox.Box) { b.Slot = "u" }),
		"a slot of two":        changed(func(b *toolbox.Box) { b.Slot = ".." }),
		"a hostile name":       changed(func(b *toolbox.Box) { b.Tools[0].Names = []string{"../../x"} }),
		"a name of the stub":   changed(func(b *toolbox.Box) { b.Tools[0].Names = []string{".req"} }),
		"a hostile build-id":   changed(func(b *toolbox.Box) { b.Tools[0].BuildID = "../../../../../../../../x" }),
		"a hostile arch":       changed(func(b *toolbox.Box) { b.Arch = "../x" }),
		"a missing program":    changed(func(b *toolbox.Box) { b.Tools[0].File = "t/none" }),
		"a missing library":    changed(func(b *toolbox.Box) { b.Tools[0].Needs = []string{"t/none"} }),
		"a setuid file":        changed(func(b *toolbox.Box) { b.Files[0].Mode = 0o4755 | fs.ModeSetuid }),
		"an endless closure":   changed(func(b *toolbox.Box) { b.Tools[0].Closure[0].Path = "/" + strings.Repeat("x", 9000) }),
		"a line in a path":     changed(func(b *toolbox.Box) { b.Tools[0].Closure[0].Path = "/x\n" + id(1) + " /y" }),
		"larger than any":      changed(func(b *toolbox.Box) { b.Files[0].Size = 1 << 60 }),
		"of another format":    changed(func(b *toolbox.Box) { b.Format = 2 }),
		"of a class of nobody": changed(func(b *toolbox.Box) { b.Tools[0].Class = toolbox.Never }),
	} {
		t.Run(name, func(t *testing.T) { refuses(t, archive) })
	}
}

// refuses checks that nothing of an archive gets into a store, or beside it.
func refuses(t *testing.T, archive []byte) {
	dir := t.TempDir()
	store := toolbox.Open(filepath.Join(dir, "a", "b", "store"))
	if _, err := store.Install(t.Context(), bytes.NewReader(archive), ""); err == nil {
		t.Fatal("it was installed")
	}
	for _, place := range []string{"a/b/store/boxes", "a/b/store/views", "a/b/store/current"} {
		if left, _ := os.ReadDir(filepath.Join(dir, place)); len(left) > 0 {
			t.Errorf("%s has %v", place, left)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "evil")); err == nil {
		t.Error("a file was written outside")
	}
	isEmpty(t, store, "arm64")
}

func TestInstallDigest(t *testing.T) {
	store := toolbox.Open(t.TempDir())
	box, files := makeBox(id(1), "native dash")
	archive := pack(t, box, files)
	if _, err := store.Install(t.Context(), bytes.NewReader(archive), strings.Repeat("0", 64)); !errors.Is(err, toolbox.ErrDamaged) {
		t.Errorf("another digest: %v", err)
	}
	first, err := store.Install(t.Context(), bytes.NewReader(archive), "")
	if err != nil {
		t.Fatal(err)
	}
	if second, err := store.Install(t.Context(), bytes.NewReader(archive), first.Digest); err != nil || second.Digest != first.Digest {
		t.Errorf("the same again: %v, %v", second, err)
	}
}

func TestInstallDir(t *testing.T) {
	o := options(t)
	box, err := toolbox.Layout(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	store := toolbox.Open(t.TempDir())
	if installed, err := store.InstallDir(t.Context(), o.Out, ""); err != nil || len(installed.Box.Tools) != len(box.Tools) {
		t.Errorf("got %v, %v", installed, err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(o.Out, "t/passwd")); err != nil {
		t.Fatal(err)
	}
	if _, err := store.InstallDir(t.Context(), o.Out, ""); !errors.Is(err, toolbox.ErrDamaged) {
		t.Errorf("with a link: %v", err)
	}
}

func FuzzInstall(f *testing.F) {
	box, files := makeBox(id(1), "native dash")
	f.Add(pack(f, box, files))
	f.Add([]byte("no archive"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		dir := t.TempDir()
		store := toolbox.Open(filepath.Join(dir, "a", "store"))
		installed, err := store.Install(t.Context(), bytes.NewReader(archive), "")
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Errorf("files outside: %v", entries)
		}
		if err == nil && len(installed.Digest) != 64 {
			t.Errorf("installed %+v", installed)
		}
	})
}

func FuzzParseBox(f *testing.F) {
	box, _ := makeBox(id(1), "native dash")
	text, err := json.Marshal(box)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		box, err := toolbox.ParseBox(text)
		if err != nil {
			return
		}
		for _, file := range box.Files {
			if !filepath.IsLocal(file.Path) || !strings.HasPrefix(file.Path, box.Slot+"/") {
				t.Errorf("the file %q", file.Path)
			}
		}
		for _, tool := range box.Tools {
			for _, name := range append(tool.Names, tool.BuildID) {
				if name != filepath.Base(name) || name == ".." || name == "." {
					t.Errorf("the name %q", name)
				}
			}
		}
	})
}
