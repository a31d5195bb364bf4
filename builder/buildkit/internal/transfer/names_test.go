package transfer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/builder/buildkit/internal/transfer"
)

// inOrder sorts paths as a walk finds them.
func inOrder(paths []string) []string {
	slices.SortFunc(paths, func(a, b string) int {
		return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
	})
	return slices.Compact(paths)
}

// checkNames keeps paths, every third as something else than a file, and finds them.
func checkNames(t *testing.T, paths []string) *transfer.Names {
	t.Helper()
	names := &transfer.Names{}
	isFile := func(i int) bool { return i%3 != 2 }
	for i, path := range paths {
		names.Add(path, isFile(i))
	}
	for i, path := range paths {
		if got, ok := names.File(uint32(i)); ok != isFile(i) || ok && got != path { //nolint:gosec // few
			t.Errorf("number %d is %q, %t; want %q, %t", i, got, ok, path, isFile(i))
		}
		if names.Has(path) != isFile(i) {
			t.Errorf("%q, number %d: is there: %t", path, i, names.Has(path))
		}
		if other := path + "!"; names.Has(other) && !slices.Contains(paths, other) {
			t.Errorf("%q is there", other)
		}
	}
	if _, ok := names.File(uint32(len(paths))); ok { //nolint:gosec // few
		t.Error("there is one more")
	}
	return names
}

func TestNames(t *testing.T) {
	checkNames(t, nil)
	if (&transfer.Names{}).Has("a") {
		t.Error("nothing has a file")
	}
	checkNames(t, inOrder([]string{"a", "a/x", "a/y/z", "a-b", "a.c/f", "a.c", "", "b", "ö", "a/" + strings.Repeat("long", 100)}))
	var many []string
	for i := range 20_000 {
		many = append(many, fmt.Sprintf("src%03d/f%05d", i/100, i))
	}
	names := checkNames(t, inOrder(many)[:5000])
	if perName := float64(names.Bytes()) / 5000; perName > 12 {
		t.Errorf("a name takes %.1f bytes", perName)
	}
}

func FuzzNames(f *testing.F) {
	f.Add("a\na/b\na-b\nc")
	f.Add("x/" + strings.Repeat("y\nx/", 40))
	f.Fuzz(func(t *testing.T, lines string) {
		checkNames(t, inOrder(strings.Split(lines, "\n")))
	})
}
