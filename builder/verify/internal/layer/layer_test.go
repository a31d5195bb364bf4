package layer_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/verify/internal/layer"
)

const elfHead = "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00"

func program() string { return elfHead + strings.Repeat("\x00", 100) }

// tarOf makes an archive; a body of "->x" is a link, "=>x" a hard link, "/" a
// directory.
func tarOf(t testing.TB, pairs ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for i := 0; i < len(pairs); i += 2 {
		h := &tar.Header{Name: pairs[i], Mode: 0o755, Typeflag: tar.TypeReg}
		body := pairs[i+1]
		switch {
		case strings.HasPrefix(body, "->"):
			h.Typeflag, h.Linkname, body = tar.TypeSymlink, body[2:], ""
		case strings.HasPrefix(body, "=>"):
			h.Typeflag, h.Linkname, body = tar.TypeLink, body[2:], ""
		case body == "/":
			h.Typeflag, body = tar.TypeDir, ""
		}
		h.Size = int64(len(body))
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func gzipOf(t testing.TB, raw []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func zstdOf(t testing.TB, raw []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := zstd.NewWriter(&buf, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// zipOf makes an archive by method; with sizes known before if raw.
func zipOf(t testing.TB, method uint16, raw bool, pairs ...string) string {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for i := 0; i < len(pairs); i += 2 {
		h := &zip.FileHeader{Name: pairs[i], Method: method}
		if raw {
			h.Method, h.CompressedSize64, h.UncompressedSize64 = zip.Store, uint64(len(pairs[i+1])), uint64(len(pairs[i+1]))
			f, err := w.CreateRaw(h)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(f, pairs[i+1])
			continue
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(f, pairs[i+1])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func seeds(t testing.TB) [][]byte {
	plain := tarOf(t, "a/", "/", "a/x", program(), "a/s", "#!/bin/sh\nexec /a/x\n", "l", "->a/x", "h", "=>a/x", "a/.wh.b", "", "a/.wh..wh..opq", "",
		"z.jar", zipOf(t, zip.Deflate, false, "x.so", program(), "y.txt", "hello"), "a/x", "now text", "w.whl", zipOf(t, zip.Store, true, "x.so", program()))
	return [][]byte{plain, gzipOf(t, plain), zstdOf(t, plain), append(gzipOf(t, plain[:512]), gzipOf(t, plain[512:])...), plain[:700], gzipOf(t, plain)[:100], {}}
}

func read(t testing.TB, raw []byte) (*layer.Layer, error) {
	t.Helper()
	r := layer.Reader{Limits: layer.DefaultLimits()}
	return r.Read(t.Context(), bytes.NewReader(raw), ocispec.Descriptor{Digest: digest.FromBytes(raw), Size: int64(len(raw))}, digest.FromBytes(raw))
}

func TestRecords(t *testing.T) {
	t.Parallel()
	raw := seeds(t)[0]
	for name, blob := range map[string][]byte{
		"plain": raw, "gzip": gzipOf(t, raw), "zstd": zstdOf(t, raw),
		"gzip members":     append(gzipOf(t, raw[:512]), gzipOf(t, raw[512:])...),
		"zstd with a lead": append([]byte("\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"), zstdOf(t, raw)...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := layer.Reader{Limits: layer.DefaultLimits()}
			desc := ocispec.Descriptor{Digest: digest.FromBytes(blob), Size: int64(len(blob))}
			l, err := r.Read(t.Context(), bytes.NewReader(blob), desc, digest.FromBytes(raw))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for e := range l.All() {
				text := fmt.Sprintf("%d %s %q", e.Kind, e.Path, e.Text)
				for _, m := range e.Members {
					text += " " + m.Path
				}
				got = append(got, text)
			}
			want := []string{
				`1 a/x ""`, `2 a/s "/bin/sh\n/a/x"`, `5 l "a/x"`, `6 h "a/x"`, `9 a/b ""`, `10 a ""`,
				`3 z.jar "" x.so`, `7 a/x ""`, `3 w.whl "" x.so`,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if _, ok := l.Lookup(layer.HashOf("a")); !ok || l.Files != 6 {
				t.Errorf("a is missing, or %d files", l.Files)
			}
		})
	}
}

// TestBadLayers end in an error that says what is wrong, in time and memory that
// the limits bound.
func TestBadLayers(t *testing.T) {
	t.Parallel()
	raw := tarOf(t, "x", program())
	bomb := gzipOf(t, append(tarOf(t, "x", "")[:512], make([]byte, 8<<20)...))
	many := make([]string, 0, 4000)
	for i := range 2000 {
		many = append(many, fmt.Sprint(i), "")
	}
	for name, test := range map[string]struct {
		blob []byte
		want error
		text string
	}{
		"path traversal":             {tarOf(t, "a/../../etc/passwd", "x"), layer.ErrFormat, "leads out of the image"},
		"hard link traversal":        {tarOf(t, "a", "=>../../etc/passwd"), layer.ErrFormat, "leads out of the image"},
		"hard link to the root":      {tarOf(t, "a", "=>/"), layer.ErrFormat, "root directory"},
		"whiteout of nothing":        {tarOf(t, "a/.wh.", ""), layer.ErrFormat, "whiteout"},
		"whiteout of ..":             {tarOf(t, "a/.wh...", ""), layer.ErrFormat, "whiteout"},
		"too deep":                   {tarOf(t, strings.Repeat("a/", 300)+"x", "x"), layer.ErrLimit, "directories deep"},
		"too long":                   {tarOf(t, strings.Repeat("a", 5000), "x"), layer.ErrLimit, "5000 bytes"},
		"link too long":              {tarOf(t, "a", "->"+strings.Repeat("a", 5000)), layer.ErrLimit, "5000 bytes"},
		"truncated":                  {raw[:600], layer.ErrFormat, "unexpected EOF"},
		"truncated gzip":             {gzipOf(t, raw)[:60], layer.ErrFormat, "unexpected EOF"},
		"truncated zstd":             {zstdOf(t, raw)[:30], layer.ErrFormat, "unexpected EOF"},
		"gzip header alone":          {[]byte{0x1f, 0x8b, 8}, layer.ErrFormat, "gunzip"},
		"garbage after gzip":         {append(gzipOf(t, raw), "garbage"...), layer.ErrFormat, ""},
		"not tar":                    {[]byte(strings.Repeat("hello ", 200)), layer.ErrFormat, "invalid tar header"},
		"gzip bomb":                  {bomb, layer.ErrLimit, "inflate"},
		"zstd bomb":                  {zstdOf(t, append(tarOf(t, "x", "")[:512], make([]byte, 8<<20)...)), layer.ErrLimit, "inflate"},
		"zstd with a giant's window": {zstdOf(t, bytes.Repeat(raw, 1000), zstd.WithWindowSize(64<<20), zstd.WithSingleSegment(false)), layer.ErrLimit, "window"},
		"too many entries":           {tarOf(t, many...), layer.ErrLimit, "1000 entries"},
		"too many links":             {tarOf(t, linksOf(600)...), layer.ErrLimit, "programs, scripts and links"},
		"absurd PAX":                 {absurdPAX(t), layer.ErrFormat, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := layer.Reader{Limits: layer.Limits{Entries: 1000, Records: 500, Ratio: 4, Free: 4 << 20}}
			desc := ocispec.Descriptor{Digest: digest.FromBytes(test.blob), Size: int64(len(test.blob))}
			_, err := r.Read(t.Context(), bytes.NewReader(test.blob), desc, digest.FromBytes(raw))
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v, want %v with %q", err, test.want, test.text)
			}
		})
	}
}

func linksOf(n int) (pairs []string) {
	for i := range n {
		pairs = append(pairs, fmt.Sprintf("l%d", i), "->x")
	}
	return pairs
}

// absurdPAX claims an extended header of many gigabytes.
func absurdPAX(t *testing.T) []byte {
	raw := tarOf(t, "x", "")
	raw[156] = 'x'
	copy(raw[124:], "77777777777\x00")
	copy(raw[148:156], "        ")
	sum := 0
	for _, b := range raw[:512] {
		sum += int(b)
	}
	copy(raw[148:], fmt.Sprintf("%06o\x00 ", sum))
	return raw
}

// TestDigests of layers that are something else.
func TestDigests(t *testing.T) {
	t.Parallel()
	raw := tarOf(t, "x", program())
	blob := gzipOf(t, raw)
	desc := ocispec.Descriptor{Digest: digest.FromBytes(blob), Size: int64(len(blob))}
	for name, test := range map[string]struct {
		desc   ocispec.Descriptor
		diffID digest.Digest
	}{
		"other blob":    {ocispec.Descriptor{Digest: digest.FromString("x"), Size: desc.Size}, digest.FromBytes(raw)},
		"other diff ID": {desc, digest.FromString("x")},
		"shorter":       {ocispec.Descriptor{Digest: desc.Digest, Size: desc.Size - 1}, digest.FromBytes(raw)},
		"longer":        {ocispec.Descriptor{Digest: desc.Digest, Size: desc.Size + 1}, digest.FromBytes(raw)},
		"no digest":     {ocispec.Descriptor{Size: desc.Size}, digest.FromBytes(raw)},
		"no diff ID":    {desc, "sha256:zz"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := layer.Reader{Limits: layer.DefaultLimits()}
			if _, err := r.Read(t.Context(), bytes.NewReader(blob), test.desc, test.diffID); !errors.Is(err, layer.ErrDigest) {
				t.Errorf("%v, want %v", err, layer.ErrDigest)
			}
		})
	}
}

func TestArchives(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("\x00", 64<<20)
	for name, test := range map[string]struct {
		body    string
		members []string
		unread  bool
	}{
		"deflated, sizes behind":        {zipOf(t, zip.Deflate, false, "a.txt", "hello", "x.so", program()), []string{"x.so"}, false},
		"stored, sizes before":          {zipOf(t, zip.Store, true, "a.txt", "hello", "x.so", program()), []string{"x.so"}, false},
		"stored, sizes behind":          {zipOf(t, zip.Store, false, "a.txt", "hello", "x.so", program()), nil, true},
		"the same machine twice":        {zipOf(t, zip.Deflate, false, "x.so", program(), "y.so", program()), []string{"x.so"}, false},
		"cut off":                       {zipOf(t, zip.Deflate, false, "x.so", program(), "y", huge)[:300], []string{"x.so"}, false},
		"nothing in it":                 {zipOf(t, zip.Deflate, false, "a.txt", "hello"), nil, false},
		"larger than the budget":        {zipOf(t, zip.Deflate, false, "x.so", program(), "y", huge), []string{"x.so"}, true},
		"damaged":                       {strings.Replace(zipOf(t, zip.Deflate, false, "a", strings.Repeat("ab", 999)), "a", "a", 1)[:31] + "\xff\xff\xff\xff\xff", nil, true},
		"not an archive after its sign": {"PK\x03\x04" + strings.Repeat("x", 26), nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw := tarOf(t, "a.jar", test.body)
			r := layer.Reader{Limits: layer.Limits{Entries: 10, Records: 10, Ratio: 8, Free: 32 << 20}}
			l, err := r.Read(t.Context(), bytes.NewReader(raw), ocispec.Descriptor{Digest: digest.FromBytes(raw), Size: int64(len(raw))}, digest.FromBytes(raw))
			if err != nil {
				t.Fatal(err)
			}
			var members []string
			unread := false
			for e := range l.All() {
				unread = e.Unread
				for _, m := range e.Members {
					members = append(members, m.Path)
				}
			}
			if !slices.Equal(members, test.members) || unread != test.unread {
				t.Errorf("members %q, unread %t; want %q, %t", members, unread, test.members, test.unread)
			}
		})
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	for script, want := range map[string][][]string{
		"exec /app":                                 {{"/app"}},
		"  exec \"/a b\" --x 'y z' # comment":       {{"/a b", "--x", "y z"}},
		"if x; then exec /a; else /b --c; fi":       {{"/a"}, {"/b", "--c"}},
		"echo exec /a; # exec /b\ncd /":             nil,
		"exec env \\\n  A=b /x \"$@\"":              {{"env", "A=b", "/x", "$@"}},
		"x=$(/usr/bin/id -u) && exec gosu u \"$@\"": {{"/usr/bin/id", "-u"}, {"gosu", "u", "$@"}},
		"exec":                                 nil,
		"exec 'open\n/after":                   {{"open"}, {"/after"}},
		strings.Repeat("x", 600) + "\nexec /a": {{"/a"}},
		strings.Repeat("exec /a\n", 100) + "exec /b": slices.Repeat([][]string{{"/a"}}, 16),
	} {
		if diff := cmp.Diff(want, layer.Commands(script)); diff != "" {
			t.Errorf("%.60q: %s", script, diff)
		}
	}
}

func TestDecodeDamaged(t *testing.T) {
	t.Parallel()
	l, err := read(t, seeds(t)[0])
	if err != nil {
		t.Fatal(err)
	}
	body := l.Encode()
	for i := range body {
		bad := bytes.Clone(body)
		bad[i] ^= 0x10
		if _, err := layer.Decode(bad); err == nil {
			t.Fatalf("a change of byte %d was not noticed", i)
		}
	}
	for _, n := range []int{0, 1, 31, 32, len(body) - 1} {
		if _, err := layer.Decode(body[:n]); err == nil {
			t.Errorf("%d bytes of it were decoded", n)
		}
	}
}
