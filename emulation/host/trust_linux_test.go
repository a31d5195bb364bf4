package host_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/host"
)

// The flag C gives an interpreter root's rights: it has to be root's.
func TestTrusted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes root to make files that are root's")
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "sub", "qemu")
	write(t, file, "x")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	check := func(what string, want bool) {
		t.Helper()
		for _, path := range []string{file, link} {
			if err := host.CheckTrusted(path); (err == nil) != want || !want && !errors.Is(err, emulation.ErrInvalid) {
				t.Errorf("%s: %s: %v", what, path, err)
			}
		}
	}
	check("root's", true)
	for what, change := range map[string]struct{ do, undo func() error }{
		"writable":            {func() error { return os.Chmod(file, 0o757) }, func() error { return os.Chmod(file, 0o755) }},
		"sticky":              {func() error { return os.Chmod(file, 0o777|fs.ModeSticky) }, func() error { return os.Chmod(file, 0o755) }},
		"group's":             {func() error { return os.Chmod(file, 0o775) }, func() error { return os.Chmod(file, 0o755) }},
		"another's":           {func() error { return os.Chown(file, 65534, 0) }, func() error { return os.Chown(file, 0, 0) }},
		"in a public folder":  {func() error { return os.Chmod(filepath.Dir(file), 0o777) }, func() error { return os.Chmod(filepath.Dir(file), 0o755) }},
		"in another's folder": {func() error { return os.Chown(filepath.Dir(file), 65534, 0) }, func() error { return os.Chown(filepath.Dir(file), 0, 0) }},
	} {
		if err := change.do(); err != nil {
			t.Fatal(err)
		}
		check(what, false)
		if err := change.undo(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Dir(file), 0o777|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	check("in a folder like /tmp", true)
	if err := host.CheckTrusted(dir + "/nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
}
