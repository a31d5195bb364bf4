package rootfs_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/mabuild/mabuild/builder/tools/internal/rootfs"
)

// pack makes an archive of lines: "dir/" is a folder, "name" a file whose content
// is the name and the layer's, "name -> target" a symbolic link, "name => target" a
// hard link, "name !" a pipe.
func pack(t testing.TB, layer string, lines ...string) []byte {
	t.Helper()
	packed, err := tryPack(layer, lines)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

func tryPack(layer string, lines []string) ([]byte, error) {
	var packed bytes.Buffer
	archive := tar.NewWriter(&packed)
	for _, line := range lines {
		content := ""
		header := &tar.Header{Name: line, Typeflag: tar.TypeReg, Mode: 0o755}
		if name, target, found := strings.Cut(line, " -> "); found {
			header = &tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink}
		} else if name, target, found := strings.Cut(line, " => "); found {
			header = &tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeLink}
		} else if name, found := strings.CutSuffix(line, " !"); found {
			header = &tar.Header{Name: name, Typeflag: tar.TypeFifo}
		} else if strings.HasSuffix(line, "/") {
			header = &tar.Header{Name: line, Typeflag: tar.TypeDir, Mode: 0o755}
		} else {
			content = line + " of " + layer
			header.Size = int64(len(content))
		}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(archive, content); err != nil {
			return nil, err
		}
	}
	err := archive.Close()
	return packed.Bytes(), err
}

// image is a list of layers, the top first, that counts how often each is opened.
type image struct {
	layers [][]byte
	opened []int
}

func (i *image) open(_ context.Context, n int) (io.ReadCloser, error) {
	i.opened[n]++
	return io.NopCloser(bytes.NewReader(i.layers[n])), nil
}

func (i *image) root(t testing.TB, wanted ...string) *rootfs.FS {
	i.opened = make([]int, len(i.layers))
	return rootfs.New(rootfs.Options{Layers: len(i.layers), Open: i.open, Dir: t.TempDir(), MaxFile: 1000, Wanted: wanted})
}

func TestExtract(t *testing.T) {
	tests := []struct {
		name   string
		layers [][]string // the top first
		path   string
		want   string // empty: there is no such file
		opened []int
	}{
		{"a file", [][]string{{"usr/", "usr/bin/", "usr/bin/q"}}, "/usr/bin/q", "usr/bin/q of 0", []int{1}},
		{"folders are not listed", [][]string{{"usr/bin/q"}}, "/usr/bin/q", "usr/bin/q of 0", []int{1}},
		{"dots and slashes", [][]string{{"./usr/bin//q"}}, "/usr/bin/q", "./usr/bin//q of 0", []int{1}},
		{"absolute entries", [][]string{{"/usr/bin/q"}}, "/usr/bin/q", "/usr/bin/q of 0", []int{1}},
		{"the top is enough", [][]string{{"usr/", "usr/bin/q"}, {"usr/bin/q"}}, "/usr/bin/q", "usr/bin/q of 0", []int{1, 0}},
		{"below", [][]string{{"etc/", "usr/", "usr/bin/", "usr/bin/x"}, {"usr/bin/q"}, {"usr/bin/q"}}, "/usr/bin/q", "usr/bin/q of 1", []int{1, 1, 0}},
		{"twice in a layer", [][]string{{"q => a", "q", "a"}}, "/q", "q of 0", []int{1}},
		{"missing", [][]string{{"usr/bin/x"}, {"usr/bin/y"}}, "/usr/bin/q", "", []int{1, 1}},
		{"a folder", [][]string{{"usr/bin/q/"}}, "/usr/bin/q", "", []int{1}},
		{"a pipe", [][]string{{"usr/bin/q !"}}, "/usr/bin/q", "", []int{1}},
		{"under a file", [][]string{{"usr/bin"}, {"usr/bin/q"}}, "/usr/bin/q", "", []int{1, 0}},

		{"whiteout", [][]string{{"usr/bin/.wh.q"}, {"usr/bin/q"}}, "/usr/bin/q", "", []int{1, 0}},
		{"whiteout of another file", [][]string{{"usr/bin/.wh.qq"}, {"usr/bin/q"}}, "/usr/bin/q", "usr/bin/q of 1", []int{1, 1}},
		{"whiteout of a folder", [][]string{{"usr/.wh.bin"}, {"usr/bin/q"}}, "/usr/bin/q", "", []int{1, 0}},
		{"whiteout and file", [][]string{{"q", ".wh.q"}, {"q"}}, "/q", "q of 0", []int{1, 0}},
		{"whiteout further down", [][]string{{"x"}, {".wh.q"}, {"q"}}, "/q", "", []int{1, 1, 0}},
		{"folder made anew", [][]string{{"usr/bin/x"}, {"usr/.wh.bin"}, {"usr/bin/q"}}, "/usr/bin/q", "", []int{1, 1, 0}},
		{"opaque folder", [][]string{{"usr/bin/", "usr/bin/.wh..wh..opq"}, {"usr/bin/q"}}, "/usr/bin/q", "", []int{1, 0}},
		{"opaque folder with the file", [][]string{{"usr/bin/.wh..wh..opq", "usr/bin/q"}, {"usr/bin/q"}}, "/usr/bin/q", "usr/bin/q of 0", []int{1, 0}},
		{"opaque root", [][]string{{".wh..wh..opq"}, {"q"}}, "/q", "", []int{1, 0}},
		{"marks of AUFS", [][]string{{".wh..wh.plnk/", ".wh..wh.aufs"}, {"q"}}, "/q", "q of 1", []int{1, 1}},
		{"a file hides a folder", [][]string{{"usr/bin/"}, {"usr/bin"}, {"usr/bin/q"}}, "/usr/bin/q", "", []int{1, 1, 0}},

		{"link", [][]string{{"usr/bin/q -> q2", "usr/bin/q2"}}, "/usr/bin/q", "usr/bin/q2 of 0", []int{2}},
		{"link to a wanted file", [][]string{{"usr/bin/q -> w", "usr/bin/w"}}, "/usr/bin/q", "usr/bin/w of 0", []int{1}},
		{"absolute link", [][]string{{"usr/bin/q -> /opt/q", "opt/q"}}, "/usr/bin/q", "opt/q of 0", []int{2}},
		{"link upwards", [][]string{{"usr/bin/q -> ../lib/./q", "usr/lib/q"}}, "/usr/bin/q", "usr/lib/q of 0", []int{2}},
		{"link out of the image stays inside", [][]string{{"usr/bin/q -> ../../../../etc/passwd", "etc/passwd"}}, "/usr/bin/q", "etc/passwd of 0", []int{2}},
		{"link to nothing", [][]string{{"q -> /etc/passwd"}}, "/q", "", []int{1}},
		{"link to a folder", [][]string{{"q -> etc", "etc/"}}, "/q", "", []int{1}},
		{"linked folder", [][]string{{"usr/bin/", "usr/bin/w"}, {"bin -> usr/bin"}}, "/bin/w", "usr/bin/w of 0", []int{1, 1}},
		{"link into an upper layer", [][]string{{"opt/w"}, {"q -> opt/w"}}, "/q", "opt/w of 0", []int{1, 1}},
		{"link into a lower layer", [][]string{{"q -> opt/q"}, {"opt/q"}}, "/q", "opt/q of 1", []int{1, 2}},
		{"link to what is hidden", [][]string{{"q -> opt/q", ".wh.opt"}, {"opt/q"}}, "/q", "", []int{1, 0}},

		{"hard link", [][]string{{"usr/bin/w", "usr/bin/q => usr/bin/w"}}, "/usr/bin/q", "usr/bin/w of 0", []int{1}},
		{"hard link to a lower layer", [][]string{{"q => w"}, {"w"}}, "/q", "w of 1", []int{1, 1}},
		{"hard link to what was replaced", [][]string{{"w"}, {"q => w", "w"}}, "/q", "w of 1", []int{1, 1}},
		{"hard link to nothing", [][]string{{"w"}, {"q => w"}}, "/q", "", []int{1, 1}},
		{"no layers", nil, "/q", "", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var img image
			for n, lines := range test.layers {
				img.layers = append(img.layers, pack(t, fmt.Sprint(n), lines...))
			}
			got, err := img.root(t, test.path, "/w", "usr/bin/w", "opt/w").Extract(t.Context(), test.path)
			check(t, got, err, test.want)
			if fmt.Sprint(img.opened) != fmt.Sprint(test.opened) {
				t.Errorf("the layers were opened %v times, want %v", img.opened, test.opened)
			}
		})
	}
}

func check(t *testing.T, path string, err error, want string) {
	t.Helper()
	if want == "" {
		if !errors.Is(err, rootfs.ErrNotExist) {
			t.Errorf("got %q and the error %v, want %v", path, err, rootfs.ErrNotExist)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestExtractRefuses(t *testing.T) {
	tests := []struct {
		name string
		line string
		want string
	}{
		{"path upwards", "../q", "leads out of the image"},
		{"path upwards in the middle", "usr/../../q", "leads out of the image"},
		{"hard link upwards", "q => ../../etc/passwd", "its target: its name leads out"},
		{"whiteout of nothing", "usr/.wh.", "removes nothing"},
		{"whiteout of the folder itself", "usr/.wh..", "removes nothing"},
		{"whiteout of the folder above", "usr/.wh...", "removes nothing"},
		{"link to itself", "q -> q", "more than 40"},
		{"hard link to itself", "q => q", "more than 40"},
		{"endless link", "q -> q/q", "more than 40"},
		{"long link", "q -> " + strings.Repeat("./", 500) + "q", "more than 40"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			img := image{layers: [][]byte{pack(t, "0", test.line)}}
			got, err := img.root(t, "/q").Extract(t.Context(), "/q")
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, rootfs.ErrNotExist) {
				t.Errorf("got %q and the error %v, want one with %q", got, err, test.want)
			}
		})
	}
}

func TestExtractCompressed(t *testing.T) {
	plain := pack(t, "0", "usr/bin/q")
	var gzipped bytes.Buffer
	writer := gzip.NewWriter(&gzipped)
	if _, err := writer.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, packed := range map[string][]byte{"plain": plain, "gzip": gzipped.Bytes(), "zstd": encoder.EncodeAll(plain, nil)} {
		t.Run(name, func(t *testing.T) {
			img := image{layers: [][]byte{packed}}
			got, err := img.root(t, "/usr/bin/q").Extract(t.Context(), "/usr/bin/q")
			check(t, got, err, "usr/bin/q of 0")
		})
		t.Run(name+" cut", func(t *testing.T) {
			img := image{layers: [][]byte{packed[:min(len(packed)/3, 515)]}}
			got, err := img.root(t, "/usr/bin/q").Extract(t.Context(), "/usr/bin/q")
			if err == nil {
				t.Errorf("got %q out of a part of the archive", got)
			}
		})
	}
}

// An empty layer, as builders make them for instructions without files.
func TestExtractEmptyLayer(t *testing.T) {
	for name, empty := range map[string][]byte{"archive": pack(t, "0"), "nothing": nil} {
		t.Run(name, func(t *testing.T) {
			img := image{layers: [][]byte{empty, pack(t, "1", "q")}}
			got, err := img.root(t).Extract(t.Context(), "/q")
			check(t, got, err, "q of 1")
		})
	}
}

func TestExtractLimits(t *testing.T) {
	large := strings.Repeat("q", 1000)
	img := image{layers: [][]byte{pack(t, "0", large)}}
	if got, err := img.root(t, large).Extract(t.Context(), "/"+large); err == nil || !strings.Contains(err.Error(), "more than 1000") {
		t.Errorf("got %.20q and the error %v for a file of 1005 bytes", got, err)
	}
	_, err := io.Copy(io.Discard, rootfs.Limit(strings.NewReader("four"), 3))
	if err == nil {
		t.Error("four bytes were read where three are allowed")
	}
}

// A list that would take hundreds of megabytes isn't kept.
func TestExtractLongList(t *testing.T) {
	lines := make([]string, 1200)
	for i := range lines {
		lines[i] = fmt.Sprint(i, strings.Repeat("/x", 1000))
	}
	img := image{layers: [][]byte{pack(t, "0", lines...)}}
	if _, err := img.root(t).Extract(t.Context(), "/q"); err == nil || !strings.Contains(err.Error(), "too many entries") {
		t.Errorf("got the error %v, want one about too many entries", err)
	}
}

func TestExtractStops(t *testing.T) {
	enough := errors.New("the user had enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(enough)
	img := image{layers: [][]byte{pack(t, "0", "q")}}
	if _, err := img.root(t).Extract(ctx, "/q"); !errors.Is(err, enough) {
		t.Errorf("got the error %v, want the context's cause", err)
	}
	broken := errors.New("no network")
	root := rootfs.New(rootfs.Options{Layers: 1, Dir: t.TempDir(), Open: func(context.Context, int) (io.ReadCloser, error) { return nil, broken }})
	if _, err := root.Extract(t.Context(), "/q"); !errors.Is(err, broken) {
		t.Errorf("got the error %v, want that of opening the layer", err)
	}
}

func TestCleanEntry(t *testing.T) {
	for name, want := range map[string]string{
		"":               "none",
		".":              "none",
		"./":             "none",
		"/":              "none",
		"a/b/":           "none a/b",
		"a//./b":         "none a/b",
		"a/..b":          "none a/..b",
		".wh.a":          "removed a",
		"a/.wh.b":        "removed a/b",
		"a/.wh.b/c":      "none a/.wh.b/c",
		"a/.wh..wh..opq": "opaque a",
		".wh..wh..opq":   "opaque",
		".wh..wh.plnk":   "other",
		"a/.wh..b":       "removed a/.b",
	} {
		t.Run(name, func(t *testing.T) {
			clean, mark, err := rootfs.CleanEntry(name)
			if err != nil {
				t.Fatal(err)
			}
			kind := map[any]string{
				rootfs.MarkNone: "none", rootfs.MarkRemoved: "removed", rootfs.MarkOpaque: "opaque", rootfs.MarkOther: "other",
			}[mark]
			if got := strings.TrimSpace(kind + " " + clean); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func FuzzCleanEntry(f *testing.F) {
	for _, name := range []string{"usr/bin/q", "./a/../b", "/", ".wh.a", "a/.wh..wh..opq", "a/.wh...", "\x00", ".wh./../x", "a//.wh.b//"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		clean, mark, err := rootfs.CleanEntry(name)
		if err != nil {
			return
		}
		if clean != "" && (!filepath.IsLocal(clean) || filepath.Clean(clean) != clean) {
			t.Errorf("%q became %q", name, clean)
		}
		if mark == rootfs.MarkRemoved && clean == "" {
			t.Errorf("%q removes the root", name)
		}
		if mark != rootfs.MarkNone {
			return
		}
		again, _, err := rootfs.CleanEntry(clean)
		if err != nil || again != clean {
			t.Errorf("%q became %q, and that %q (%v)", name, clean, again, err)
		}
	})
}

// Whatever is in the layers, they write nowhere but into the folder for extracted
// files, and what comes out is the content of a file of theirs.
func FuzzExtract(f *testing.F) {
	f.Add("usr/\nusr/bin/\nusr/bin/q -> ../lib/q", "usr/lib/q", "usr/bin/q")
	f.Add("q => w\n.wh.x\nx/.wh..wh..opq", "w\nx/q", "/q")
	f.Add("q -> q/../q", "q", "q")
	f.Fuzz(func(t *testing.T, upper, lower, name string) {
		var img image
		for n, lines := range []string{upper, lower} {
			packed, err := tryPack(fmt.Sprint("layer ", n), strings.Split(lines, "\n"))
			if err != nil {
				return
			}
			img.layers = append(img.layers, packed)
		}
		dir := t.TempDir()
		inside := filepath.Join(dir, "a", "b")
		if err := os.MkdirAll(inside, 0o755); err != nil {
			t.Fatal(err)
		}
		img.opened = make([]int, 2)
		root := rootfs.New(rootfs.Options{Layers: 2, Open: img.open, Dir: inside, MaxFile: 100, Wanted: []string{name}})
		if got, err := root.Extract(t.Context(), name); err == nil {
			content, err := os.ReadFile(got)
			if err != nil || filepath.Dir(got) != inside || !strings.Contains(string(content), " of layer ") {
				t.Errorf("%q was extracted to %q as %q (%v)", name, got, content, err)
			}
		}
		for _, folder := range []string{dir, filepath.Dir(inside)} {
			if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
				t.Errorf("%s has %d entries (%v)", folder, len(entries), err)
			}
		}
	})
}
