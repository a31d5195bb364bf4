package imagestore_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/integration/testbed/imagestore"
)

func TestTree(t *testing.T) {
	root := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	path := func(name string) string { return filepath.Join(root, name) }
	for _, dir := range []string{"bin", "dev", "var/cache/apt"} {
		must(os.MkdirAll(path(dir), 0o755))
	}
	must(os.WriteFile(path("bin/su"), []byte("su"), 0o755))
	must(os.Chmod(path("bin/su"), 0o755|os.ModeSetuid))
	must(os.WriteFile(path("bin/perl"), []byte("perl"), 0o755))
	must(os.Link(path("bin/perl"), path("bin/perl5.36.0")))
	must(os.Symlink("perl", path("bin/awk")))
	must(os.WriteFile(path("var/cache/apt/pkgcache.bin"), []byte("cache"), 0o644))
	must(syscall.Mkfifo(path("dev/initctl"), 0o600))

	tree, err := imagestore.Tree(root, func(name string) bool { return name == "var/cache" })
	must(err)
	for i := range tree { // owned by whoever runs the test
		tree[i].UID, tree[i].GID = 0, 0
	}
	var packed bytes.Buffer
	must(imagestore.WriteLayer(&packed, tree))
	want := []string{
		"5 bin/ 755 0:0 ''->''",
		"2 bin/awk 777 0:0 ''->'perl'",
		"0 bin/perl 755 0:0 'perl'->''",
		"0 bin/su 4755 0:0 'su'->''",
		"5 dev/ 755 0:0 ''->''",
		"5 var/ 755 0:0 ''->''",
		"1 bin/perl5.36.0 755 0:0 ''->'bin/perl'",
	}
	if diff := cmp.Diff(want, listing(t, &packed)); diff != "" {
		t.Errorf("the tree's files differ (-want +got):\n%s", diff)
	}
}

func TestTreeOfNothing(t *testing.T) {
	_, err := imagestore.Tree(filepath.Join(t.TempDir(), "missing"), func(string) bool { return false })
	if err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("got the error %v, want one that names the folder", err)
	}
}
