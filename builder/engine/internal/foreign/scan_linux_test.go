package foreign

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tree makes files, and returns their directory.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// elfOf is an ELF file as far as the scan looks into one.
func elfOf(machine byte, rest string) string {
	header := make([]byte, 64)
	copy(header, "\x7fELF\x02\x01\x01")
	header[18] = machine
	return string(header) + rest
}

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func TestScan(t *testing.T) {
	native, other := byte(nativeMachine()), byte(0xb7)
	if native == other {
		other = 62
	}
	tool := elfOf(native, "tool")
	dir := tree(t, map[string]string{
		"usr/bin/stolen": tool, "stolen too": tool, "usr/bin/own": elfOf(native, "own"), "usr/bin/target": elfOf(other, ""),
		"short": "\x7fELF", "empty": "", "text": "tool",
	})
	scan := func(root *rootfs, began time.Time, has func(string) bool) (findings, error) {
		s := newScanner(has)
		err := s.layer(root, began)
		return s.findings, err
	}
	if err := os.Symlink("stolen", filepath.Join(dir, "usr/bin/link")); err != nil {
		t.Fatal(err)
	}
	has := func(sum string) bool { return sum == sumOf(tool) }
	got, err := scan(&rootfs{dir: "/", upper: dir}, time.Now(), has)
	if err != nil {
		t.Fatal(err)
	}
	want := findings{leaks: []string{"/stolen too", "/usr/bin/stolen"}, native: 1, files: 7}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(findings{})); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	// Without an upper directory, what was there before is not looked at.
	got, err = scan(&rootfs{dir: dir}, time.Now().Add(time.Hour), has)
	if err != nil || got.native != 0 || got.leaks != nil || got.files != 7 {
		t.Errorf("of files from before the step: %+v, %v", got, err)
	}
	got, err = scan(&rootfs{dir: dir}, time.Now().Add(-time.Hour), has)
	if err != nil || len(got.leaks) != 2 {
		t.Errorf("of files that the step has changed: %+v, %v", got, err)
	}
}

// BenchmarkScan is a layer of 5000 small files.
func BenchmarkScan(b *testing.B) {
	files := map[string]string{}
	for i := range 5000 {
		files[fmt.Sprintf("usr/share/%d/%d", i%100, i)] = elfOf(0xb7, "some text")
	}
	root := &rootfs{upper: tree(b, files)}
	for b.Loop() {
		found := newScanner(func(string) bool { return false })
		if err := found.layer(root, time.Now()); err != nil || found.files != 5000 {
			b.Fatal(found.files, err)
		}
	}
}
