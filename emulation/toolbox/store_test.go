package toolbox_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mabuild/mabuild/emulation/toolbox"
)

// boxFile is a file of a toolbox that tests make.
type boxFile struct{ name, text string }

func sum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// makeBox describes a toolbox of trixie for arm64 with one tool, dash, and its files.
func makeBox(buildID, text string) (*toolbox.Box, []boxFile) {
	files := []boxFile{{"t/ld.so", "loader"}, {"t/lib/x/libc.so.6", "libc"}, {"t/t/" + buildID + "/dash", text}}
	box := &toolbox.Box{Format: 1, Kind: toolbox.Debian, Suite: "trixie", Arch: "arm64", Host: "amd64", Slot: "t", Policy: "p"}
	for _, f := range files {
		box.Files = append(box.Files, toolbox.File{Path: f.name, Mode: 0o755, Size: int64(len(f.text)), SHA256: sum(f.text)})
	}
	box.Tools = []toolbox.Tool{{
		BuildID: buildID, Path: "/usr/bin/dash", Names: []string{"dash", "sh"}, Class: toolbox.Proven, Package: "dash", Version: "1",
		File: files[2].name, Needs: []string{"t/ld.so", "t/lib/x/libc.so.6"}, Closure: []toolbox.Need{{BuildID: id(99), Path: "/usr/lib/libz.so.1"}},
	}}
	return box, files
}

// toSlot moves a toolbox of makeBox to another slot.
func toSlot(slot string, box *toolbox.Box, files []boxFile) {
	box.Slot = slot
	for i := range files {
		files[i].name = slot + files[i].name[1:]
		box.Files[i].Path = files[i].name
	}
	box.Tools[0].File, box.Tools[0].Needs = files[2].name, []string{files[0].name, files[1].name}
}

// pack makes the archive of a toolbox, as BuildKit does.
func pack(t testing.TB, box *toolbox.Box, files []boxFile, more ...*tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if box != nil {
		text, err := json.Marshal(box)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, boxFile{toolbox.BoxName, string(text)})
	}
	for _, h := range more {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o755, Size: int64(len(f.text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func install(t testing.TB, store *toolbox.Store, buildID, text string) toolbox.Installed {
	t.Helper()
	box, files := makeBox(buildID, text)
	installed, err := store.Install(t.Context(), bytes.NewReader(pack(t, box, files)), "")
	if err != nil {
		t.Fatal(err)
	}
	return installed
}

// view returns the current view of the proven tools for arm64.
func view(t testing.TB, store *toolbox.Store) *toolbox.View {
	t.Helper()
	view, err := store.View("arm64", false)
	if err != nil || view == nil {
		t.Fatalf("got %v, %v", view, err)
	}
	t.Cleanup(func() { _ = view.Release() })
	return view
}

func TestStore(t *testing.T) {
	store := toolbox.Open(filepath.Join(t.TempDir(), "toolbox"))
	isEmpty(t, store, "arm64")
	if v, err := store.View("../x", false); err == nil {
		t.Errorf("a hostile architecture has %v", v)
	}
	if boxes, err := store.List(); len(boxes) != 0 || err != nil {
		t.Errorf("an empty store has %v, %v", boxes, err)
	}
	installed := install(t, store, id(1), "native dash")
	v := view(t, store)
	for _, name := range []string{"dash", "sh", "_"} {
		text, err := os.ReadFile(filepath.Join(v.Dir, "id", id(1), name))
		if err != nil || string(text) != "native dash" {
			t.Errorf("%s is %q, %v", name, text, err)
		}
		if link, _ := os.Readlink(filepath.Join(v.Dir, "id", id(1), name)); filepath.IsAbs(link) {
			t.Errorf("the link %s is absolute: it would lead elsewhere in a container", link)
		}
	}
	if req, _ := os.ReadFile(filepath.Join(v.Dir, "id", id(1), ".req")); string(req) != id(99)+" /usr/lib/libz.so.1\n" {
		t.Errorf("the closure is %q", req)
	}
	c := contents(t, v)
	if name, ok := c.Has(sum("native dash")); !ok || name != "t/t/"+id(1)+"/dash" {
		t.Errorf("got %q, %t", name, ok)
	}
	if _, ok := c.Has(sum("else")); ok {
		t.Error("it has a file that is not in it")
	}
	if tool, ok := c.Tool(id(1)); !ok || tool.Package != "dash" || v.Policy != toolbox.PolicyVersion() {
		t.Errorf("got %v, %t", tool, ok)
	}
	isEmpty(t, store, "s390x")
	if tool, ok, err := store.Tool(id(1)); !ok || err != nil || tool.Path != "/usr/bin/dash" {
		t.Errorf("got %v, %t, %v", tool, ok, err)
	}
	if _, ok, err := store.Tool(id(2)); ok || err != nil {
		t.Errorf("an unknown build-id is known: %v", err)
	}
	if boxes, err := store.List(); err != nil || len(boxes) != 1 || !boxes[0].Current || boxes[0].Digest != installed.Digest || boxes[0].Damage != nil {
		t.Errorf("got %+v, %v", boxes, err)
	}
}

// Everybody in a container must be able to run the tools, whatever the umask was.
func TestStoreModes(t *testing.T) {
	store := toolbox.Open(filepath.Join(t.TempDir(), "toolbox"))
	install(t, store, id(1), "native dash")
	err := filepath.WalkDir(view(t, store).Dir, func(name string, entry fs.DirEntry, err error) error {
		info, infoErr := entry.Info()
		if err != nil || infoErr != nil {
			return errors.Join(err, infoErr)
		}
		if mode := info.Mode(); mode.IsDir() && mode.Perm() != 0o755 || mode.IsRegular() && mode.Perm()&0o444 != 0o444 {
			t.Errorf("%s has the mode %v", name, mode)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// What is not proven is in the view of all only; what the policy has stopped to trust
// is in none.
func TestViewClasses(t *testing.T) {
	store := toolbox.Open(t.TempDir())
	box, files := makeBox(id(1), "native dash")
	add := func(n int, pkg, name string) {
		tool := box.Tools[0]
		tool.BuildID, tool.Package, tool.Path, tool.Names = id(n), pkg, "/usr/bin/"+name, []string{name}
		box.Tools = append(box.Tools, tool)
	}
	add(2, "openssl", "openssl")
	add(3, "coreutils", "sort")
	if _, err := store.Install(t.Context(), bytes.NewReader(pack(t, box, files)), ""); err != nil {
		t.Fatal(err)
	}
	proven := view(t, store)
	all, err := store.View("arm64", true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = all.Release() }()
	for n, want := range map[int][2]bool{1: {true, true}, 2: {false, true}, 3: {false, false}} {
		_, inProven := contents(t, proven).Tool(id(n))
		_, inAll := contents(t, all).Tool(id(n))
		if got := [2]bool{inProven, inAll}; got != want {
			t.Errorf("tool %d is in the views of proven tools and of all: %v, want %v", n, got, want)
		}
	}
}

// A view that another mabuild made, by another policy, is made anew.
func TestViewOfOtherPolicy(t *testing.T) {
	dir := t.TempDir()
	store := toolbox.Open(dir)
	install(t, store, id(1), "native dash")
	v := view(t, store)
	text, err := os.ReadFile(v.Dir + ".json")
	if err != nil {
		t.Fatal(err)
	}
	old := bytes.ReplaceAll(text, []byte(toolbox.PolicyVersion()), []byte("0123456789ab"))
	if err := errors.Join(os.WriteFile(v.Dir+".json", old, 0o644), v.Release()); err != nil || bytes.Equal(old, text) {
		t.Fatal(err)
	}
	if v := view(t, store); v.Policy != toolbox.PolicyVersion() {
		t.Errorf("the policy is %s", v.Policy)
	}
}

// Two toolboxes of one suite: of two tools for one program the newer one is taken; an
// older tool stays where all that it needs is the same.
func TestViewMerges(t *testing.T) {
	store := toolbox.Open(t.TempDir())
	install(t, store, id(1), "old")
	box, files := makeBox(id(3), "made with another libc")
	files[1].text = "old libc"
	box.Files[1].SHA256, box.Files[1].Size = sum(files[1].text), int64(len(files[1].text))
	if _, err := store.Install(t.Context(), bytes.NewReader(pack(t, box, files)), ""); err != nil {
		t.Fatal(err)
	}
	install(t, store, id(2), "other")
	install(t, store, id(1), "new")
	v := view(t, store)
	for n, want := range map[int]string{1: "new", 2: "other"} {
		if text, err := os.ReadFile(filepath.Join(v.Dir, "id", id(n), "dash")); err != nil || string(text) != want {
			t.Errorf("tool %d is %q, %v", n, text, err)
		}
	}
	if _, ok := contents(t, v).Tool(id(3)); ok {
		t.Error("a tool runs with another libc than it was made with")
	}
	if boxes := contents(t, v).Boxes; len(boxes) != 2 {
		t.Errorf("the view is made of %v", boxes)
	}
}

// A toolbox that somebody wrote to is not used; made again, it is whole again.
func TestDamaged(t *testing.T) {
	for name, damage := range map[string]func(file string) error{
		"missing": os.Remove,
		"cut":     func(file string) error { return os.Truncate(file, 3) },
		"written": func(file string) error { return os.WriteFile(file, []byte("evil dash!!"), 0o755) },
		"mode":    func(file string) error { return os.Chmod(file, 0o755|fs.ModeSetuid) },
	} {
		t.Run(name, func(t *testing.T) {
			store := toolbox.Open(t.TempDir())
			installed := install(t, store, id(1), "native dash")
			v := view(t, store)
			if err := errors.Join(damage(filepath.Join(v.Dir, installed.Box.Tools[0].File)), v.Release()); err != nil {
				t.Fatal(err)
			}
			if v, err := store.View("arm64", false); !errors.Is(err, toolbox.ErrDamaged) || v != nil {
				t.Errorf("got %v, %v", v, err)
			}
			install(t, store, id(1), "native dash")
			v = view(t, store)
			if text, err := os.ReadFile(filepath.Join(v.Dir, "id", id(1), "dash")); err != nil || string(text) != "native dash" {
				t.Errorf("after it was made again: %q, %v", text, err)
			}
		})
	}
	t.Run("description", func(t *testing.T) {
		dir := t.TempDir()
		store := toolbox.Open(dir)
		installed := install(t, store, id(1), "native dash")
		if err := os.WriteFile(filepath.Join(dir, "boxes", installed.Digest, toolbox.BoxName), []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
		if boxes, err := store.List(); err != nil || len(boxes) != 1 || !errors.Is(boxes[0].Damage, toolbox.ErrDamaged) {
			t.Errorf("got %+v, %v", boxes, err)
		}
		if pruned, err := store.Prune(t.Context(), toolbox.PruneOptions{}); err != nil || len(pruned.Boxes) != 1 {
			t.Errorf("pruned %+v, %v", pruned, err)
		}
	})
}

// A process that was killed leaves directories whose names begin with a dot: they are
// never used, and the next one that changes the store takes them away.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	store := toolbox.Open(dir)
	installed := install(t, store, id(1), "native dash")
	for _, place := range []string{"boxes", "views", "current"} {
		write(t, dir, place+"/.new-123/t/ld.so", []byte("half"))
	}
	// Between the steps: the toolbox is there, and no view has it.
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "current")), os.RemoveAll(filepath.Join(dir, "views"))); err != nil {
		t.Fatal(err)
	}
	if c := contents(t, view(t, store)); len(c.Boxes) != 1 || c.Boxes[0] != installed.Digest {
		t.Errorf("the view is made of %v, without %s", c.Boxes, installed.Digest)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*", ".new-*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestPrune(t *testing.T) {
	store := toolbox.Open(t.TempDir())
	install(t, store, id(1), "old")
	held := view(t, store)
	install(t, store, id(1), "new")
	pruned, err := store.Prune(t.Context(), toolbox.PruneOptions{})
	if err != nil || len(pruned.Boxes) != 1 || len(pruned.Kept) != 1 {
		t.Fatalf("pruned %+v, %v", pruned, err)
	}
	if text, err := os.ReadFile(filepath.Join(held.Dir, "id", id(1), "dash")); err != nil || string(text) != "old" {
		t.Errorf("a running step lost its tool: %q, %v", text, err)
	}
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
	if pruned, err = store.Prune(t.Context(), toolbox.PruneOptions{}); err != nil || len(pruned.Boxes) != 0 || len(pruned.Views) != 2 && len(pruned.Views) != 1 || len(pruned.Kept) != 0 {
		t.Errorf("after its end: %+v, %v", pruned, err)
	}
	if text, err := os.ReadFile(filepath.Join(view(t, store).Dir, "id", id(1), "dash")); err != nil || string(text) != "new" {
		t.Errorf("the current one is %q, %v", text, err)
	}
	if pruned, err = store.Prune(t.Context(), toolbox.PruneOptions{All: true}); err != nil || len(pruned.Boxes) != 1 {
		t.Errorf("all: %+v, %v", pruned, err)
	}
	isEmpty(t, store, "arm64")
}

// Builds that end at once install the same and other toolboxes while steps begin and
// somebody prunes.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	var work sync.WaitGroup
	for n := range 4 {
		for _, do := range []func(*toolbox.Store) error{
			func(s *toolbox.Store) error {
				box, files := makeBox(id(n/2), fmt.Sprintf("tool %d", n/2))
				_, err := s.Install(t.Context(), bytes.NewReader(pack(t, box, files)), "")
				return err
			},
			func(s *toolbox.Store) error {
				v, err := s.View("arm64", false)
				if err != nil {
					return err
				}
				for _, tool := range []int{0, 1} {
					if _, err := os.Lstat(filepath.Join(v.Dir, "id", id(tool))); err != nil {
						continue
					}
					if text, err := os.ReadFile(filepath.Join(v.Dir, "id", id(tool), "sh")); err != nil || string(text) != fmt.Sprintf("tool %d", tool) {
						return fmt.Errorf("tool %d is %q: %w", tool, text, err)
					}
				}
				return v.Release()
			},
			func(s *toolbox.Store) error {
				_, err := s.Prune(t.Context(), toolbox.PruneOptions{All: n == 3})
				return err
			},
		} {
			work.Go(func() {
				for range 10 {
					if err := do(toolbox.Open(dir)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	work.Wait()
}

// The newest is by the time of installation, which must not be mistaken.
func TestListOrder(t *testing.T) {
	dir := t.TempDir()
	store := toolbox.Open(dir)
	first, second := install(t, store, id(1), "one"), install(t, store, id(2), "two")
	if err := os.Chtimes(filepath.Join(dir, "boxes", second.Digest), time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if boxes, err := store.List(); err != nil || len(boxes) != 2 || boxes[0].Digest != first.Digest {
		t.Errorf("got %v, %v", boxes, err)
	}
}
