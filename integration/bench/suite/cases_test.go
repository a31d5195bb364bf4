package suite_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/mabuild/mabuild/integration/bench/suite"
)

func TestCases(t *testing.T) {
	names := map[string]bool{}
	for _, c := range append(suite.Cases(), suite.LargeCases()...) {
		if names[c.Name] {
			t.Errorf("two cases are called %q", c.Name)
		}
		names[c.Name] = true
		if len(c.Platforms) < 2 || c.Files == 0 {
			t.Errorf("%q has %d platforms and %d files", c.Name, len(c.Platforms), c.Files)
		}
	}
}

func TestWriteContext(t *testing.T) {
	for _, files := range []int{10, 50, 1234} {
		dir := filepath.Join(t.TempDir(), "context")
		if err := suite.WriteContext(dir, files); err != nil {
			t.Fatal(err)
		}
		count := -1 // the Dockerfile
		err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() {
				count++
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if count != files {
			t.Errorf("the context has %d files, want %d", count, files)
		}
		if err := suite.WriteStamp(dir, "new"); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "app", "stamp"))
		if err != nil || string(got) != "new" {
			t.Errorf("the stamp is %q, %v; want new", got, err)
		}
	}
	if err := suite.WriteContext(t.TempDir(), 3); err == nil {
		t.Error("a context too small for the Dockerfile was written")
	}
}
