package report_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/report"
)

// numbered is a build that began n seconds after the others.
func numbered(id string, n int) *report.Build {
	b := small()
	b.ID = id
	b.Started, b.Completed = b.Started.Add(time.Duration(n)*time.Second), b.Completed.Add(time.Duration(n)*time.Second)
	return b
}

func ids(t *testing.T, s report.Store) []string {
	t.Helper()
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, b := range list {
		ids = append(ids, b.ID)
	}
	return ids
}

func TestStore(t *testing.T) {
	s := report.Store{Dir: filepath.Join(t.TempDir(), "not", "yet"), Keep: 3}
	if got := ids(t, s); got != nil {
		t.Errorf("a store that is not there has %v", got)
	}
	if _, err := s.Load(""); !errors.Is(err, report.ErrNoBuild) {
		t.Errorf("error %v", err)
	}
	for i, id := range []string{"AAAA1", "AABB2", "BBBB3", "BBCC4"} {
		if err := s.Save(numbered(id, i)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"BBCC4", "BBBB3", "AABB2"}, ids(t, s)); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	for prefix, want := range map[string]string{"": "BBCC4", "aa": "AABB2", "BBB": "BBBB3", "BBCC4": "BBCC4"} {
		b, err := s.Load(prefix)
		if err != nil {
			t.Errorf("%q: %v", prefix, err)
		} else if b.ID != want {
			t.Errorf("%q gives %s, want %s", prefix, b.ID, want)
		}
	}
	var ambiguous *report.AmbiguousError
	if _, err := s.Load("BB"); !errors.As(err, &ambiguous) || len(ambiguous.IDs) != 2 {
		t.Errorf("error %v", err)
	}
	for _, none := range []string{"AAAA1", "x", "../", "BBCC42"} {
		if _, err := s.Load(none); !errors.Is(err, report.ErrNoBuild) {
			t.Errorf("%q: error %v", none, err)
		}
	}
	for _, bad := range []string{"", "a/b", "..", "a-b", strings.Repeat("a", 200)} {
		if err := s.Save(numbered(bad, 9)); err == nil {
			t.Errorf("the ID %q is accepted", bad)
		}
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("files %v, error %v", entries, err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others may read %s: %v, error %v", entry.Name(), info.Mode(), err)
		}
	}
}

func TestStoreKeepsAll(t *testing.T) {
	s := report.Store{Dir: t.TempDir()}
	for _, b := range []*report.Build{service(true), large()} {
		if err := s.Save(b); err != nil {
			t.Fatal(err)
		}
		got, err := s.Load(b.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(b, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, summary := range list {
		if summary.ID == "LARGE" {
			if len(summary.Platforms) != 8 || summary.Steps != 438 || summary.Cached != 32 || summary.Error != "" {
				t.Errorf("%+v", summary)
			}
		} else if strings.Contains(summary.Error, "\n") || !strings.HasPrefix(summary.Error, "building linux/s390x") {
			t.Errorf("error %q", summary.Error)
		}
	}
}

// TestStoreDir holds where builds are by default.
func TestStoreDir(t *testing.T) {
	state, cache := t.TempDir(), t.TempDir()
	t.Setenv("HOME", cache)
	t.Setenv("XDG_CACHE_HOME", cache)
	for _, test := range []struct{ state, dir string }{{state, state}, {"", cache}, {"relative", cache}} {
		t.Setenv("XDG_STATE_HOME", test.state)
		if err := (report.Store{}).Save(small()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(test.dir, "mabuild", "builds")); err != nil {
			t.Error(err)
		}
	}
}

// TestStoreDamage: what is damaged, foreign or left behind is in nobody's way.
func TestStoreDamage(t *testing.T) {
	s := report.Store{Dir: t.TempDir()}
	old := time.Now().Add(-2 * time.Hour)
	for name, text := range map[string]string{
		"20260101T000000.000-TORN.build":         `{"id":"TO`,
		"20260101T000000.000-EMPTY.build":        "",
		"20260101T000000.000-ONELINE.build":      `{"id":"ONELINE"}` + "\n",
		"20260101T000000.000-OTHER.build":        `{"id":"SOMETHING"}` + "\n",
		"notes.txt":                              "mine",
		"20260101T000000.000-X.build.STALE":      "begun",
		"99999999T000000.000-NOTIME.build":       "{}",
		"20260101T000000.000-BE-FORE.build":      "{}",
		"20260101T000000.000-UNDERWAY.build.NOW": "begun",
	} {
		path := filepath.Join(s.Dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "STALE") {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Mkdir(filepath.Join(s.Dir, "20260101T000000.000-FOLDER.build"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(small()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"SMALL", "ONELINE"}, ids(t, s)); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	for _, id := range []string{"ONELINE", "TORN", "EMPTY"} {
		if _, err := s.Load(id); err == nil {
			t.Errorf("%s can be read", id)
		}
	}
	for name, want := range map[string]bool{"notes.txt": true, "20260101T000000.000-X.build.STALE": false, "20260101T000000.000-UNDERWAY.build.NOW": true} {
		if _, err := os.Stat(filepath.Join(s.Dir, name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
	nowhere := report.Store{Dir: filepath.Join(s.Dir, "notes.txt")}
	if err := nowhere.Save(small()); err == nil {
		t.Error("a build is kept in a file")
	}
}

// TestStoreProcesses saves and lists in several processes at once.
func TestStoreProcesses(t *testing.T) {
	const builds = 40
	if dir := os.Getenv("REPORT_TEST_STORE"); dir != "" {
		s := report.Store{Dir: dir, Keep: 10}
		for i := range builds {
			if err := s.Save(numbered(fmt.Sprintf("P%dX%d", os.Getpid(), i), i)); err != nil {
				t.Fatal(err)
			}
			if list, err := s.List(); err != nil || len(list) == 0 {
				t.Fatalf("list %v, error %v", list, err)
			}
		}
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := report.Store{Dir: t.TempDir(), Keep: 10}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			cmd := exec.Command(self, "-test.run=^TestStoreProcesses$")
			cmd.Env = append(os.Environ(), "REPORT_TEST_STORE="+s.Dir)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	group.Wait()
	if got := ids(t, s); len(got) != 10 || !strings.HasSuffix(got[0], "X39") {
		t.Errorf("kept %v", got)
	}
	if entries, err := os.ReadDir(s.Dir); err != nil || len(entries) != 10 {
		t.Errorf("files %v, error %v", entries, err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte("{}\n{}\n"))
	f.Add([]byte(`{"id":"FUZZ"}` + "\n" + `{"id":"FUZZ","steps":[{"id":"a","inputs":["a"],"intervals":[{"started":"2026-01-01T00:00:00Z"}]}]}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := report.Store{Dir: t.TempDir()}
		if err := os.WriteFile(filepath.Join(s.Dir, "20260101T000000.000-FUZZ.build"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.List(); err != nil {
			t.Error(err)
		}
		b, err := s.Load("FUZZ")
		if err != nil {
			return
		}
		checkPage(t, page(t, b, report.Options{}))
	})
}
