package foreign

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/executor"
)

// mounted are directories of the host, by where a step has them.
func mounted(dirs map[string]string) []executor.Mount {
	var mounts []executor.Mount
	for _, dest := range slices.Sorted(maps.Keys(dirs)) {
		mounts = append(mounts, executor.Mount{Src: hostPath(dirs[dest]), Dest: dest})
	}
	return mounts
}

// TestSearchCaches: tools that came into a cache while the step ran are found and deleted.
func TestSearchCaches(t *testing.T) {
	tool, _, own, _ := programs()
	fill := func() string {
		return tree(t, map[string]string{"tool": tool, "a/own": own, "a/tool": tool, "a.tar": tarOf(t, 0, member{"b", tool}), "text": "tool"})
	}
	dirs := map[string]string{"/cache": fill(), "/read": fill(), "/bind": fill(), "/part/": fill()}
	mounts := mounted(dirs)
	for i := range mounts {
		mounts[i].Readonly = mounts[i].Dest == "/read"
		if mounts[i].Dest == "/part/" {
			mounts[i].Selector = "/link"
		}
	}
	if err := os.Symlink("a", filepath.Join(dirs["/part/"], "link")); err != nil {
		t.Fatal(err)
	}
	r := &run{began: time.Now().Add(time.Hour), step: &step{
		worker: &Worker{}, repeatable: repeatable{caches: map[string]bool{"/cache": true, "/read": true, "/part/": true}},
	}}
	for _, test := range []struct {
		began time.Time
		leaks []string
		left  int
	}{
		{time.Now().Add(time.Hour), nil, 5},
		{time.Now().Add(-time.Hour), []string{"/cache/a/tool", "/cache/a.tar: b", "/cache/tool", "/part/tool"}, 2},
		{time.Now().Add(-time.Hour), nil, 2},
	} {
		r.began = test.began
		s, leak := newTestScanner(), &LeakError{}
		if err := r.searchCaches(t.Context(), s, mounts, leak); err != nil || leak.Kept != nil || !slices.Equal(s.leaks, test.leaks) {
			t.Errorf("found %q, %v, %v, want %q", s.leaks, err, leak.Kept, test.leaks)
		}
		for dest, left := range map[string]int{"/cache": test.left, "/read": 5, "/bind": 5} {
			if n := filesIn(t, dirs[dest]); n != left {
				t.Errorf("%d files are left in %s, want %d", n, dest, left)
			}
		}
	}
}

func filesIn(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSearchCachesWithLinks: links in a cache lead to nothing that is not in it.
func TestSearchCachesWithLinks(t *testing.T) {
	tool, _, _, _ := programs()
	host, cache := tree(t, map[string]string{"tool": tool}), t.TempDir()
	for name, target := range map[string]string{"dir": host, "file": filepath.Join(host, "tool")} {
		if err := os.Symlink(target, filepath.Join(cache, name)); err != nil {
			t.Fatal(err)
		}
	}
	r := &run{began: time.Now().Add(-time.Hour), step: &step{worker: &Worker{}, repeatable: repeatable{caches: map[string]bool{"/cache": true}}}}
	for selector, fails := range map[string]bool{"": false, "dir": true, "../": true, "file": true} {
		s := newTestScanner()
		err := r.searchCaches(t.Context(), s, []executor.Mount{{Src: hostPath(cache), Dest: "/cache", Selector: selector}}, &LeakError{})
		if (err != nil) != fails || s.leaks != nil || filesIn(t, host) != 1 {
			t.Errorf("with the part %q: found %q, %v", selector, s.leaks, err)
		}
	}
}

func TestLeakError(t *testing.T) {
	for want, leak := range map[string]*LeakError{
		`it copied "/a"; "/b: c" from /dev/.mabuild; build again`:                          {Paths: []string{"/a", "/b: c"}, InLayer: 2},
		`"/4"; "/5" and 2 more from`:                                                       {Paths: []string{"/1", "/2", "/3", "/4", "/5", "/6", "/7"}, InLayer: 7},
		`"/a"; "/c/a" from /dev/.mabuild; in cache mounts they are deleted; build again`:   {Paths: []string{"/a", "/c/a"}, InLayer: 1},
		"a cache mount still has some (permission denied): empty the caches with `mabuild": {Paths: []string{"/c/a"}, Kept: os.ErrPermission},
	} {
		if got := leak.Error(); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
