package foreign

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// layer makes what two runs leave alike, or one of them otherwise.
type layer struct {
	t   *testing.T
	dir string
}

func (r layer) path(name string) string { return filepath.Join(r.dir, name) }

func (r layer) do(errs ...error) {
	r.t.Helper()
	if err := errors.Join(errs...); err != nil {
		r.t.Fatal(err)
	}
}

func (r layer) file(name, text string) {
	r.t.Helper()
	r.do(os.MkdirAll(filepath.Dir(r.path(name)), 0o755), os.WriteFile(r.path(name), []byte(text), 0o644))
}

// fill makes the same in every tree, each time at another time.
func (r layer) fill() {
	r.t.Helper()
	for _, name := range []string{"file", "dir/file", "dir/other", "gone/file", "gone/more"} {
		r.file(name, "text of "+name)
	}
	r.do(os.Symlink("file", r.path("link")), os.Link(r.path("dir/file"), r.path("hard")), unix.Mkfifo(r.path("pipe"), 0o600))
	r.do(os.Chtimes(r.path("file"), time.Now(), time.Unix(int64(len(r.dir)), 0)))
}

func TestCompareTrees(t *testing.T) {
	for name, test := range map[string]struct {
		change func(r layer)
		want   map[string]string
	}{
		"nothing": {func(layer) {}, map[string]string{}},
		"times": {func(r layer) {
			r.do(os.Chtimes(r.path("dir/file"), time.Unix(1, 0), time.Unix(2, 0)))
		}, map[string]string{}},
		"content": {func(r layer) { r.file("dir/other", "TEXT of dir/other") }, map[string]string{"/dir/other": "content"}},
		"size":    {func(r layer) { r.file("dir/other", "text of dir/other.") }, map[string]string{"/dir/other": "size"}},
		"mode":    {func(r layer) { r.do(os.Chmod(r.path("dir"), 0o700)) }, map[string]string{"/dir": "mode"}},
		"set-user-ID": {func(r layer) {
			r.do(os.Chmod(r.path("file"), 0o644|os.ModeSetuid))
		}, map[string]string{"/file": "mode"}},
		"link": {func(r layer) {
			r.do(os.Remove(r.path("link")), os.Symlink("file2", r.path("link")))
		}, map[string]string{"/link": "link"}},
		"copy for a hard link": {func(r layer) {
			r.do(os.Remove(r.path("hard")))
			r.file("hard", "text of dir/file")
		}, map[string]string{"/hard": "hard links"}},
		"type": {func(r layer) {
			r.do(os.Remove(r.path("pipe")), os.Mkdir(r.path("pipe"), 0o600))
			r.file("pipe/below", "")
		}, map[string]string{"/pipe": "type"}},
		"missing directory": {func(r layer) { r.do(os.RemoveAll(r.path("gone"))) }, map[string]string{"/gone": onlyFirst}},
		"new file":          {func(r layer) { r.file("dir/new", "") }, map[string]string{"/dir/new": onlySecond}},
		"attribute": {func(r layer) {
			r.do(unix.Setxattr(r.path("file"), "user.test", []byte("x"), 0))
		}, map[string]string{"/file": "extended attributes"}},
		"bookkeeping of overlayfs": {func(r layer) {
			r.do(unix.Setxattr(r.path("dir"), "user.overlay.origin", []byte("x"), 0), unix.Setxattr(r.path("dir"), "user.overlay.impure", []byte("y"), 0))
		}, map[string]string{}},
		"directory that hides the one below": {func(r layer) {
			r.do(unix.Setxattr(r.path("dir"), "user.overlay.opaque", []byte("y"), 0))
		}, map[string]string{"/dir": "extended attributes"}},
	} {
		t.Run(name, func(t *testing.T) {
			first, second := layer{t, t.TempDir()}, layer{t, filepath.Join(t.TempDir(), "second")}
			second.do(os.Mkdir(second.dir, 0o777))
			first.do(os.Chmod(first.dir, 0o755), os.Chmod(second.dir, 0o755))
			first.fill()
			second.fill()
			test.change(second)
			got, err := compareTrees(t.Context(), first.dir, second.dir)
			if errors.Is(err, unix.ENOTSUP) {
				t.Skip("this file system has no attributes")
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestCompareAsRoot: what only root can make.
func TestCompareAsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root makes devices and other people's files")
	}
	first, second := layer{t, t.TempDir()}, layer{t, t.TempDir()}
	for i, r := range []layer{first, second} {
		r.file("owned", "")
		r.do(os.Chown(r.path("owned"), i, 0))
		for name, minor := range map[string]int{"whiteout": 0, "null": 3 + i} {
			major := uint32(min(minor, 1))
			if err := unix.Mknod(r.path(name), unix.S_IFCHR, int(unix.Mkdev(major, uint32(minor)))); err != nil {
				t.Skipf("making a device: %v", err)
			}
		}
	}
	got, err := compareTrees(t.Context(), first.dir, second.dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"/owned": "owner", "/null": "device"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCompareTreesErrors(t *testing.T) {
	first := layer{t, t.TempDir()}
	first.fill()
	if _, err := compareTrees(t.Context(), first.dir, filepath.Join(first.dir, "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a second tree: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := compareTrees(ctx, first.dir, first.dir); !errors.Is(err, enough) {
		t.Errorf("after it was cancelled: %v", err)
	}
}

func TestForget(t *testing.T) {
	found := map[string]string{
		"/log": "content", "/tmp/x1": onlyFirst, "/tmp/x2": onlySecond, "/tmp/kept": "content",
		"/bin/cc": "content", "/bin/new": onlyFirst, "/etc": "mode",
	}
	noise := map[string]string{"/log": "size", "/tmp/x2": onlyFirst, "/tmp/x3": onlySecond, "/other": "content"}
	if n := forget(found, noise); n != 3 {
		t.Errorf("%d paths were forgotten, want 3", n)
	}
	want := map[string]string{"/tmp/kept": "content", "/bin/cc": "content", "/bin/new": onlyFirst, "/etc": "mode"}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}
