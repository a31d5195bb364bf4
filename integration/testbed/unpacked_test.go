package testbed_test

import (
	"archive/tar"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/integration/testbed"
	"github.com/mabuild/mabuild/integration/testbed/imagestore"
)

// makeDeb builds a package that has these files and links to them.
func makeDeb(t *testing.T, name string, files, hardLinks map[string]string) string {
	t.Helper()
	root := t.TempDir()
	files["DEBIAN/control"] = "Package: " + name + "\nVersion: 1-2\nArchitecture: all\nMaintainer: nobody\nDescription: a test\n"
	for path, text := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for path, target := range hardLinks {
		if err := os.Link(filepath.Join(root, target), filepath.Join(root, path)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	deb := filepath.Join(t.TempDir(), name+"_1-2_all.deb")
	if out, err := exec.CommandContext(t.Context(), "dpkg-deb", "--root-owner-group", "--build", root, deb).CombinedOutput(); err != nil {
		t.Fatalf("building a package: %v\n%s", err, out)
	}
	return deb
}

// Packages are unpacked into a system whose /bin is in /usr, and recorded.
func TestUnpackedEntries(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("dpkg-deb is missing: run apt-get install dpkg")
	}
	entries, err := testbed.UnpackedEntries(t.Context(), []string{
		makeDeb(t, "old", map[string]string{"bin/a": "program", "usr/share/doc/old/README": "left out"}, map[string]string{"bin/b": "bin/a"}),
		makeDeb(t, "new", map[string]string{"usr/bin/c": "program", "usr/share/base-passwd/passwd.master": "root:x:0:0"}, nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]imagestore.Entry{}
	for _, entry := range entries {
		found[entry.Name] = entry
	}
	for name, want := range map[string]struct {
		kind byte
		link string
	}{
		"bin": {tar.TypeSymlink, "usr/bin"}, "usr/bin": {tar.TypeDir, ""}, "usr/bin/c": {tar.TypeReg, ""}, "usr/bin/awk": {tar.TypeSymlink, "mawk"},
		"lib": {0, ""}, "bin/a": {0, ""}, "usr/share/doc/old/README": {0, ""}, "DEBIAN/control": {0, ""},
	} {
		if got := found[name]; got.Type != want.kind || got.Link != want.link {
			t.Errorf("%s has the type %q and the link %q, want %q and %q", name, got.Type, got.Link, want.kind, want.link)
		}
	}
	if a, b := found["usr/bin/a"], found["usr/bin/b"]; a.Link != "usr/bin/b" && b.Link != "usr/bin/a" {
		t.Errorf("a links to %q and b to %q, want one to the other", a.Link, b.Link)
	}
	for name, want := range map[string]string{
		"etc/passwd": "root:x:0:0", "var/lib/dpkg/info/old.list": "/bin/a\n", "var/lib/dpkg/info/new.list": "/usr/bin/c\n",
		"var/lib/dpkg/status": "Package: new\nVersion: 1-2\nArchitecture: all\nMaintainer: nobody\nDescription: a test\nStatus: install ok installed\n\n",
	} {
		if got := content(t, found[name]); !strings.Contains(got, want) {
			t.Errorf("%s is %q, which lacks %q", name, got, want)
		}
	}
}

func content(t *testing.T, entry imagestore.Entry) string {
	t.Helper()
	if entry.Open == nil {
		t.Errorf("there is no content of %q", entry.Name)
		return ""
	}
	file, err := entry.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestUnpackedEntriesOfNoPackage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broken_1_all.deb")
	if err := os.WriteFile(path, []byte("no package"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := testbed.UnpackedEntries(t.Context(), []string{path}); err == nil || !strings.Contains(err.Error(), "broken_1_all.deb") {
		t.Errorf("got the error %v, want one that names the file", err)
	}
}
