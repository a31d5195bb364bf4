package output_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/output"
)

// tree writes files; a name that ends in a slash is a directory, a text that begins
// with an arrow the target of a link.
func tree(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch target, link := strings.CutPrefix(text, "-> "); {
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		case link:
			err = os.Symlink(target, path)
		default:
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// listing is what tree writes.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		switch {
		case err != nil || path == dir:
			return err
		case entry.IsDir():
			files[name+"/"] = ""
		case entry.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			files[name] = "-> " + target
			return err
		default:
			body, err := os.ReadFile(path)
			files[name] = string(body)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// removable lets the test remove a directory, whatever modes are in there.
func removable(t testing.TB, dir string) {
	t.Helper()
	t.Cleanup(func() {
		_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				return os.Chmod(path, 0o700)
			}
			return nil
		})
	})
}

func TestFiles(t *testing.T) {
	outside := t.TempDir()
	tree(t, outside, map[string]string{"kept": "yes"})
	before := map[string]string{"other": "o", "d/old": "old", "d/same": "before", "was-dir/x": "", "was-file": "f", "was-link": "-> " + outside}
	image := map[string]string{
		"d/new": "new", "d/same": "after", "was-dir": "now a file", "was-file/in": "now a directory", "was-link/in": "here",
		"link": "-> d/new", "empty/": "",
	}
	merged := map[string]string{
		"d/": "", "d/new": "new", "d/same": "after", "was-dir": "now a file", "was-file/": "", "was-file/in": "now a directory",
		"was-link/": "", "was-link/in": "here", "link": "-> d/new", "empty/": "",
	}
	for _, test := range []struct {
		name    string
		replace bool
		more    map[string]string
	}{{"merged", false, map[string]string{"other": "o", "d/old": "old"}}, {"replaced", true, nil}} {
		t.Run(test.name, func(t *testing.T) {
			dest := filepath.Join(t.TempDir(), "out")
			tree(t, dest, before)
			files := output.Files{Dest: dest, Replace: test.replace}
			if err := files.Prepare(dest); err != nil {
				t.Fatal(err)
			}
			tree(t, files.Stage(0), image)
			if _, err := files.Publish(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if err := files.Close(); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			for _, part := range []map[string]string{merged, test.more} {
				for name, text := range part {
					want[name] = text
				}
			}
			if diff := cmp.Diff(want, listing(t, dest)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff(map[string]string{"kept": "yes"}, listing(t, outside)); diff != "" {
		t.Errorf("behind the link (-want +got):\n%s", diff)
	}
}

// Until they are published there is nothing, and afterwards nothing else.
func TestFilesPlaces(t *testing.T) {
	parent := t.TempDir()
	dest := filepath.Join(parent, "made", "out")
	removable(t, dest)
	files := output.Files{Dest: dest}
	if err := files.Prepare(filepath.Join(dest, "a"), filepath.Join(dest, "b")); err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{"one", "two"} {
		tree(t, files.Stage(i), map[string]string{"d/f": text})
		mode, when := os.FileMode(0o555), time.Unix(1e9, 0)
		dir := filepath.Join(files.Stage(i), "d")
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, when, when); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(dest); err == nil {
		t.Error("the directory is there before the files are")
	}
	if _, err := files.Publish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"out/": "", "out/a/": "", "out/a/d/": "", "out/a/d/f": "one", "out/b/": "", "out/b/d/": "", "out/b/d/f": "two"}
	if diff := cmp.Diff(want, listing(t, filepath.Join(parent, "made"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if info, err := os.Stat(filepath.Join(dest, "a", "d")); err != nil || info.Mode().Perm() != 0o555 || !info.ModTime().Equal(time.Unix(1e9, 0)) {
		t.Errorf("the directory's mode and time: %v, %v", info, err)
	}
}

// What was not published leaves nothing, whatever the modes in there.
func TestFilesGivenUp(t *testing.T) {
	parent := t.TempDir()
	dest := filepath.Join(parent, "out")
	tree(t, dest, map[string]string{"f": "before"})
	files := output.Files{Dest: dest}
	if err := files.Prepare(dest); err != nil {
		t.Fatal(err)
	}
	tree(t, files.Stage(0), map[string]string{"d/f": "half"})
	if err := os.Chmod(filepath.Join(files.Stage(0), "d"), 0o500); err != nil {
		t.Fatal(err)
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"out/": "", "out/f": "before"}, listing(t, parent)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
