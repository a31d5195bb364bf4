package toolbox_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mabuild/mabuild/emulation/toolbox"
)

// contents are what a view has by now.
func contents(t testing.TB, v *toolbox.View) toolbox.Contents {
	t.Helper()
	c, err := v.Contents()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// isEmpty checks that a store gives steps of an architecture a view without tools.
func isEmpty(t testing.TB, store *toolbox.Store, arch string) {
	t.Helper()
	v, err := store.View(arch, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Release() }()
	if c := contents(t, v); len(c.Boxes) != 0 {
		t.Errorf("the view for %s is made of %v", arch, c.Boxes)
	}
	if ids, err := os.ReadDir(filepath.Join(v.Dir, "id")); err != nil || len(ids) > 0 {
		t.Errorf("the view for %s has %v, %v", arch, ids, err)
	}
}

// snapshot is all that a view has, by path: files by what and where they are.
func snapshot(t *testing.T, dir string) map[string]fs.FileInfo {
	t.Helper()
	all := make(map[string]fs.FileInfo)
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		all[name], err = entry.Info()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// only checks that a view has grown: all that it had is the same file as before.
func only(t *testing.T, dir string, before map[string]fs.FileInfo) {
	t.Helper()
	now := snapshot(t, dir)
	for name, info := range before {
		if now[name] == nil || !os.SameFile(now[name], info) || now[name].Size() != info.Size() || now[name].Mode() != info.Mode() {
			t.Errorf("%s was changed", name)
		}
	}
	if len(now) <= len(before) {
		t.Errorf("it has %d files, and had %d", len(now), len(before))
	}
}

// A step has a view that is empty, and gets the tools that are installed while it runs.
func TestViewGrows(t *testing.T) {
	store := toolbox.Open(t.TempDir())
	running := view(t, store)
	for n := range 3 {
		before := snapshot(t, running.Dir)
		install(t, store, id(n), "native dash")
		only(t, running.Dir, before)
		if text, err := os.ReadFile(filepath.Join(running.Dir, "id", id(n), "sh")); err != nil || string(text) != "native dash" {
			t.Errorf("a running step has %q, %v", text, err)
		}
		if c := contents(t, running); len(c.Boxes) != n+1 {
			t.Errorf("at its end it knows of %v", c.Boxes)
		}
	}
	if _, ok := contents(t, running).Has(sum("native dash")); !ok {
		t.Error("the leak scan does not know a tool that came later")
	}
	if later := view(t, store); later.Dir != running.Dir {
		t.Errorf("the next step has another view, %s", later.Dir)
	}
}

// What does not go with what a running step has is for the steps to come; all else of
// the same toolbox comes to the running one.
func TestViewGrowsNoConflict(t *testing.T) {
	store := toolbox.Open(t.TempDir())
	install(t, store, id(1), "old")
	running := view(t, store)
	before := snapshot(t, running.Dir)
	box, files := makeBox(id(1), "new")
	more := boxFile{"t/t/" + id(2) + "/tar", "native tar"}
	tool := box.Tools[0]
	tool.BuildID, tool.Path, tool.Names, tool.Package, tool.File = id(2), "/bin/tar", []string{"tar"}, "tar", more.name
	box.Tools, files = append(box.Tools, tool), append(files, more)
	box.Files = append(box.Files, toolbox.File{Path: more.name, Mode: 0o755, Size: int64(len(more.text)), SHA256: sum(more.text)})
	if _, err := store.Install(t.Context(), bytes.NewReader(pack(t, box, files)), ""); err != nil {
		t.Fatal(err)
	}
	only(t, running.Dir, before)
	for _, test := range []struct {
		dir, name, want string
	}{
		{running.Dir, id(1) + "/dash", "old"},
		{running.Dir, id(2) + "/tar", "native tar"},
		{view(t, store).Dir, id(1) + "/dash", "new"},
		{view(t, store).Dir, id(2) + "/tar", "native tar"},
	} {
		if text, err := os.ReadFile(filepath.Join(test.dir, "id", test.name)); err != nil || string(text) != test.want {
			t.Errorf("%s is %q, %v; want %q", test.name, text, err, test.want)
		}
	}
}

// While processes install, prune and begin steps, a lookup finds a whole tool or none.
func TestViewGrowsWhole(t *testing.T) {
	dir := t.TempDir()
	store := toolbox.Open(dir)
	running := view(t, store)
	var work, done sync.WaitGroup
	stop := make(chan struct{})
	for n := range 4 {
		work.Go(func() {
			for range 3 {
				box, files := makeBox(id(n), "native dash")
				_, err := toolbox.Open(dir).Install(t.Context(), bytes.NewReader(pack(t, box, files)), "")
				_, pruneErr := toolbox.Open(dir).Prune(t.Context(), toolbox.PruneOptions{})
				if err = errors.Join(err, pruneErr); err != nil {
					t.Error(err)
				}
			}
		})
		done.Go(func() {
			for {
				tool := filepath.Join(running.Dir, "id", id(n))
				if _, err := os.Lstat(tool); err == nil {
					_, reqErr := os.Lstat(filepath.Join(tool, ".req"))
					_, libErr := os.Stat(filepath.Join(running.Dir, "t/lib/x/libc.so.6"))
					text, err := os.ReadFile(filepath.Join(tool, "sh"))
					if err = errors.Join(err, reqErr, libErr); err != nil || string(text) != "native dash" {
						t.Errorf("half a tool: %q, %v", text, err)
						return
					}
				}
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Microsecond):
				}
			}
		})
	}
	work.Wait()
	close(stop)
	done.Wait()
	for n := range 4 {
		if _, err := os.Stat(filepath.Join(running.Dir, "id", id(n), "dash")); err != nil {
			t.Error(err)
		}
	}
}

// Whoever is killed between the files of a tool and its name leaves no half tool, and
// the next step completes it.
func TestViewCrash(t *testing.T) {
	dir := t.TempDir()
	store := toolbox.Open(dir)
	install(t, store, id(1), "native dash")
	running := view(t, store)
	before := snapshot(t, running.Dir)
	t.Run("before the names", func(t *testing.T) {
		if err := os.RemoveAll(filepath.Join(running.Dir, "id", id(1))); err != nil {
			t.Fatal(err)
		}
		if next := view(t, store); next.Dir != running.Dir {
			t.Errorf("the next step has the view %s", next.Dir)
		}
		if _, err := os.Stat(filepath.Join(running.Dir, "id", id(1), "dash")); err != nil {
			t.Error(err)
		}
	})
	t.Run("before what is known", func(t *testing.T) {
		box, files := makeBox(id(2), "other")
		for _, f := range files[2:] { // one that is another toolbox's, and was never named
			write(t, running.Dir, f.name, []byte("left by a third"))
		}
		if _, err := store.Install(t.Context(), bytes.NewReader(pack(t, box, files)), ""); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(filepath.Join(running.Dir, "id", id(2), "dash")); err != nil || string(text) != "other" {
			t.Errorf("got %q, %v", text, err)
		}
		if boxes, err := store.List(); err != nil || len(boxes) != 2 || boxes[0].Damage != nil || boxes[1].Damage != nil {
			t.Errorf("got %+v, %v", boxes, err)
		}
	})
	t.Run("before any view", func(t *testing.T) {
		box, files := makeBox(id(3), "third")
		other := t.TempDir()
		installed, err := toolbox.Open(other).Install(t.Context(), bytes.NewReader(pack(t, box, files)), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(other, "boxes", installed.Digest), filepath.Join(dir, "boxes", installed.Digest)); err != nil {
			t.Fatal(err)
		}
		if _, ok := contents(t, view(t, store)).Tool(id(3)); !ok {
			t.Error("a toolbox that is there is in no view")
		}
	})
	for name := range before {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
}

// A view that a step holds stays as it is, whatever is pruned; prune says so.
func TestPruneDuringStep(t *testing.T) {
	dir := t.TempDir()
	store := toolbox.Open(dir)
	install(t, store, id(1), "native dash")
	running := view(t, store)
	before := snapshot(t, running.Dir)
	pruned, err := store.Prune(t.Context(), toolbox.PruneOptions{All: true})
	if err != nil || len(pruned.Kept) != 1 || len(pruned.Boxes) != 1 {
		t.Errorf("pruned %+v, %v", pruned, err)
	}
	for name, info := range before {
		if now, err := os.Lstat(name); err != nil || !os.SameFile(now, info) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, ok := contents(t, running).Has(sum("native dash")); !ok {
		t.Error("the leak scan of a running step has lost a tool")
	}
	isEmpty(t, store, "arm64")
	if err := running.Release(); err != nil {
		t.Fatal(err)
	}
	if pruned, err = store.Prune(t.Context(), toolbox.PruneOptions{}); err != nil || len(pruned.Kept) != 0 || len(pruned.Views) != 1 {
		t.Errorf("after its end: %+v, %v", pruned, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "views", filepath.Base(running.Dir)+"*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
