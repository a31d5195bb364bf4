package output_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/output"
)

// file is an entry of an archive.
type file struct {
	tar.Header
	body string
}

func archive(t testing.TB, files ...file) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for _, f := range files {
		f.Size = int64(len(f.body))
		if err := w.WriteHeader(&f.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func dir(name string, mode int64) file {
	return file{Header: tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, ModTime: fine, Format: tar.FormatPAX}}
}

func regular(name, body string) file {
	return file{Header: tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, ModTime: fine, Format: tar.FormatPAX}, body: body}
}

func link(kind byte, name, target string) file {
	return file{Header: tar.Header{Typeflag: kind, Name: name, Linkname: target, Mode: 0o777, ModTime: fine, Format: tar.FormatPAX}}
}

// unpackFiles gives an archive to the one place of files, which then are in the folder.
func unpackFiles(t testing.TB, packed []byte) (dest string, err error) {
	t.Helper()
	dest = filepath.Join(t.TempDir(), "parent", "out")
	removable(t, dest)
	files := output.Files{Dest: dest}
	if err := files.Prepare(dest); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := files.Close(); err != nil {
			t.Error(err)
		}
	}()
	w, err := files.Unpack(0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(packed)
	if closed := w.Close(); closed != nil && (err == nil || err.Error() != closed.Error()) {
		err = errors.Join(err, closed)
	}
	if _, published := files.Publish(t.Context(), nil); published != nil {
		t.Error(published)
	}
	return dest, err
}

func TestFilesUnpack(t *testing.T) {
	setuid := regular("bin/su", "s")
	setuid.Mode, setuid.Uid, setuid.Gid = 0o6755, 7, 8
	readable := regular("closed/f", "f")
	readable.Mode = 0o400
	attribute := regular("attr", "")
	attribute.PAXRecords = map[string]string{"SCHILY.xattr.user.x": "1", "SCHILY.xattr.nonsense": "none has it"}
	pipe := file{Header: tar.Header{Typeflag: tar.TypeFifo, Name: "tmp/pipe", Mode: 0o620, ModTime: fine, Format: tar.FormatPAX}}
	long := strings.Repeat("n", 200)
	dest, err := unpackFiles(t, append(archive(t,
		attribute, dir("bin", 0o755), regular("bin/app", "app"), link(tar.TypeLink, "bin/hard", "bin/app"),
		link(tar.TypeSymlink, "bin/soft", "/bin/app"), setuid, dir("closed", 0o555), readable, dir("closed/in", 0o500),
		regular("\xff not UTF-8", ""), regular(long, "long"), dir("tmp", 0o1777), pipe, link(tar.TypeSymlink, "up", "../../.."),
	), make([]byte, 100<<10)...))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	err = filepath.WalkDir(dest, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dest {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if !info.ModTime().Equal(fine) {
			t.Errorf("%s is of %s, want %s", path, info.ModTime(), fine)
		}
		name, err := filepath.Rel(dest, path)
		text := info.Mode().String()
		switch {
		case entry.Type() == fs.ModeSymlink:
			target, _ := os.Readlink(path)
			text = "-> " + target
		case entry.Type().IsRegular():
			body, _ := os.ReadFile(path)
			text += " " + string(body)
		}
		got[name] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"attr": "-rw-r--r-- ", "bin": "drwxr-xr-x", "bin/app": "-rw-r--r-- app", "bin/hard": "-rw-r--r-- app", "bin/soft": "-> /bin/app",
		"bin/su": "ugrwxr-xr-x s", "closed": "dr-xr-xr-x", "closed/f": "-r-------- f", "closed/in": "dr-x------", "\xff not UTF-8": "-rw-r--r-- ",
		long: "-rw-r--r-- long", "tmp": "dtrwxrwxrwx", "tmp/pipe": "prw--w----", "up": "-> ../../..",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	checkSame(t, filepath.Join(dest, "bin", "app"), filepath.Join(dest, "bin", "hard"))
}

func checkSame(t *testing.T, a, b string) {
	t.Helper()
	first, err := os.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.Stat(b)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(first, second) {
		t.Errorf("%s and %s are two files", a, b)
	}
}

// hostile are archives of a daemon that means no good.
func hostile(t testing.TB) map[string][]byte {
	t.Helper()
	sparse := regular("f", "")
	sparse.PAXRecords = map[string]string{"VENDOR.x": "holes"}
	big := regular("f", "short")
	whole := archive(t, dir("d", 0o755), big)
	return map[string][]byte{
		"the folder above":               archive(t, regular("../evil", "x")),
		"above in the middle":            archive(t, dir("d", 0o755), regular("d/../../evil", "x")),
		"absolute":                       archive(t, regular("/tmp/evil", "x")),
		"the folder itself":              archive(t, dir(".", 0)),
		"no name":                        archive(t, regular("", "x")),
		"not clean":                      archive(t, regular("./f", "x")),
		"through a link":                 archive(t, link(tar.TypeSymlink, "d", ".."), regular("d/evil", "x")),
		"through an absolute link":       archive(t, link(tar.TypeSymlink, "d", "/tmp"), regular("d/evil", "x")),
		"through a link inside":          archive(t, dir("a", 0o755), link(tar.TypeSymlink, "d", "a"), regular("d/evil", "x")),
		"a link for a directory":         archive(t, dir("d", 0o755), link(tar.TypeSymlink, "d", ".."), regular("d/evil", "x")),
		"a directory for a link":         archive(t, link(tar.TypeSymlink, "d", ".."), dir("d", 0o755), regular("d/evil", "x")),
		"into a link":                    archive(t, link(tar.TypeSymlink, "f", "../evil"), regular("f", "x")),
		"into a hard link":               archive(t, regular("a", "a"), link(tar.TypeLink, "f", "a"), regular("f", "x")),
		"a hard link out":                archive(t, link(tar.TypeLink, "f", "../../outside")),
		"an absolute hard link":          archive(t, link(tar.TypeLink, "f", "/etc/passwd")),
		"a hard link out through a link": archive(t, link(tar.TypeSymlink, "d", "../.."), link(tar.TypeLink, "f", "d/outside")),
		"a hard link to nothing":         archive(t, link(tar.TypeLink, "f", "g")),
		"without its directory":          archive(t, regular("d/f", "x")),
		"in a file":                      archive(t, regular("d", "x"), regular("d/f", "x")),
		"twice":                          archive(t, regular("f", "x"), regular("f", "y")),
		"a huge name":                    archive(t, regular(strings.Repeat("n", 1<<19), "x")),
		"holes":                          bytes.Replace(archive(t, sparse), []byte("VENDOR.x=holes"), []byte("GNU.sparse.x=1"), 1),
		"a type that is none":            archive(t, file{Header: tar.Header{Typeflag: 'Z', Name: "f"}}),
		"cut between files":              whole[:len(whole)-1024-1024],
		"cut in the end":                 whole[:len(whole)-512],
		"cut in a file":                  whole[:len(whole)-1024-512],
		"empty":                          nil,
		"no archive":                     bytes.Repeat([]byte("no archive "), 100),
	}
}

// What is refused writes nothing anywhere, and leaves nothing in the place.
func TestFilesUnpackHostile(t *testing.T) {
	for name, packed := range hostile(t) {
		t.Run(name, func(t *testing.T) {
			dest, err := unpackFiles(t, packed)
			if err == nil {
				t.Error("it was unpacked")
			}
			parent := filepath.Dir(dest)
			if diff := cmp.Diff(map[string]string{}, listing(t, parent)); diff != "" {
				t.Errorf("beside the place (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[string]string{"parent/": ""}, listing(t, filepath.Dir(parent))); diff != "" {
				t.Errorf("above the place (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzFilesUnpack never writes beside the place, and has no temporary files left.
func FuzzFilesUnpack(f *testing.F) {
	cases := hostile(f)
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		if len(cases[name]) < 1<<16 {
			f.Add(cases[name])
		}
	}
	f.Add(archive(f, dir("d", 0o555), regular("d/f", "x"), link(tar.TypeLink, "g", "d/f"), link(tar.TypeSymlink, "h", "d")))
	f.Fuzz(func(t *testing.T, packed []byte) {
		dest, err := unpackFiles(t, packed)
		var names []string
		for _, above := range []string{filepath.Dir(dest), filepath.Dir(filepath.Dir(dest))} {
			entries, err := os.ReadDir(above)
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				names = append(names, entry.Name())
			}
		}
		want := []string{"out", "parent"}
		if err != nil {
			want = want[1:]
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("error %v (-want +got):\n%s", err, diff)
		}
	})
}

// Who writes may stop and never say so: closing leaves nothing, and nobody writes later.
func TestFilesUnpackGivenUp(t *testing.T) {
	parent := t.TempDir()
	dest := filepath.Join(parent, "out")
	files := output.Files{Dest: dest}
	if err := files.Prepare(filepath.Join(dest, "a"), filepath.Join(dest, "b")); err != nil {
		t.Fatal(err)
	}
	whole := archive(t, dir("d", 0o555), regular("d/f", strings.Repeat("x", 100<<10)))
	w, err := files.Unpack(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(whole[:50<<10]); err != nil {
		t.Fatal(err)
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(whole[50<<10:]); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("writing afterwards: %v, want %v", err, io.ErrClosedPipe)
	}
	if err := w.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("closing afterwards: %v, want %v", err, fs.ErrClosed)
	}
	if _, err := files.Unpack(1); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("beginning afterwards: %v, want %v", err, fs.ErrClosed)
	}
	if diff := cmp.Diff(map[string]string{}, listing(t, parent)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A job that is tried again begins anew, and a platform that the result goes without
// leaves its place alone.
func TestFilesUnpackAgain(t *testing.T) {
	dest := filepath.Join(t.TempDir(), "out")
	files := output.Files{Dest: dest}
	if err := files.Prepare(filepath.Join(dest, "a"), filepath.Join(dest, "b")); err != nil {
		t.Fatal(err)
	}
	half := func(i int) {
		t.Helper()
		w, err := files.Unpack(i)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(archive(t, regular("before", "x"), regular("half", "y"))[:2560]); err != nil {
			t.Fatal(err)
		}
	}
	half(0)
	half(1)
	w, err := files.Unpack(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(archive(t, regular("f", "second"))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Publish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"out/": "", "out/a/": "", "out/a/f": "second"}, listing(t, filepath.Dir(dest))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What a job exported before it failed leaves its place alone, whole or not.
func TestFilesDiscard(t *testing.T) {
	dest := filepath.Join(t.TempDir(), "out")
	files := output.Files{Dest: dest}
	if err := files.Prepare(filepath.Join(dest, "a"), filepath.Join(dest, "b"), filepath.Join(dest, "c")); err != nil {
		t.Fatal(err)
	}
	begin := func(i int, packed []byte) io.WriteCloser {
		t.Helper()
		w, err := files.Unpack(i)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(packed); err != nil {
			t.Fatal(err)
		}
		return w
	}
	whole := archive(t, regular("f", "failed"))
	for _, i := range []int{0, 1} {
		if err := begin(i, whole).Close(); err != nil {
			t.Fatal(err)
		}
	}
	half := begin(2, whole[:1536])
	for i := range 3 {
		files.Discard(i)
	}
	if _, err := half.Write(whole[1536:]); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("writing afterwards: %v, want %v", err, io.ErrClosedPipe)
	}
	if err := begin(1, archive(t, regular("f", "again"))).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Publish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"out/": "", "out/b/": "", "out/b/f": "again"}, listing(t, filepath.Dir(dest))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Memory does not grow with the files, however many and large they are.
func BenchmarkFilesUnpack(b *testing.B) {
	var all []file
	body := strings.Repeat("x", 16<<10)
	for i := range 1000 {
		name := time.Duration(i).String()
		all = append(all, dir(name, 0o755), regular(name+"/f", body))
	}
	packed := archive(b, all...)
	b.SetBytes(int64(len(packed)))
	for b.Loop() {
		if _, err := unpackFiles(b, packed); err != nil {
			b.Fatal(err)
		}
	}
}
