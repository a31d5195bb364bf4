package foreign

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// member is one of an archive.
type member struct{ name, text string }

func tarOf(t testing.TB, format tar.Format, members ...member) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		if err := w.WriteHeader(&tar.Header{Name: m.name, Size: int64(len(m.text)), Mode: 0o755, Format: format}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// arOf is an archive with the names as they are in the headers.
func arOf(members ...member) string {
	var b strings.Builder
	b.WriteString(arMagic)
	for _, m := range members {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8o%-10d`\n%s%s", m.name, 0, 0, 0, 0o100644, len(m.text), m.text, "\n"[:len(m.text)%2])
	}
	return b.String()
}

func gzipOf(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstdOf(t testing.TB, text string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return string(w.EncodeAll([]byte(text), nil))
}

// programs are a tool, what was made from one, and others.
func programs() (tool, made, own, target string) {
	native, foreign := byte(nativeMachine()), byte(0xb7)
	if native == foreign {
		foreign = 62
	}
	header := []byte(elfOf(native, ""))
	// One program header behind it, PT_INTERP, and the name behind that.
	header[4], header[6], header[20], header[32], header[52], header[54], header[56] = 2, 1, 1, 64, 64, 56, 1
	header[16] = 3
	const loader = "/dev/.mabuild/t/lib/ld.so\x00"
	segment := make([]byte, 56)
	segment[0], segment[8], segment[32], segment[40] = 3, 120, byte(len(loader)), byte(len(loader))
	return elfOf(native, "tool"+strings.Repeat("x", 9000)), string(header) + string(segment) + loader + "stripped", elfOf(native, "own"), elfOf(foreign, "")
}

func newTestScanner() *scanner {
	tool, _, _, _ := programs()
	s := newScanner(func(sum string) bool { return sum == sumOf(tool) })
	s.until = maxScan
	return s
}

func TestContent(t *testing.T) {
	tool, made, own, target := programs()
	deb := func(data string) string {
		return arOf(member{"debian-binary", "2.0\n"}, member{"control.tar.gz", gzipOf(t, tarOf(t, tar.FormatGNU))}, member{"data.tar.gz", data})
	}
	long := strings.Repeat("long/", 30) + "tool"
	clean := tarOf(t, tar.FormatPAX, member{"a", own}, member{"b", target}, member{"c", "text"}, member{"d.a", arOf(member{"x.o/", own})})
	tests := map[string]struct{ text, leak string }{
		"program":          {tool, "x"},
		"made from one":    {made, "x"},
		"own":              {own, ""},
		"of the target":    {target, ""},
		"tar":              {tarOf(t, tar.FormatUSTAR, member{"a", own}, member{"dev/.mabuild/tool", tool}, member{"b", tool}), "x: dev/.mabuild/tool"},
		"GNU tar":          {tarOf(t, tar.FormatGNU, member{long, made}), "x: " + long},
		"PAX tar":          {tarOf(t, tar.FormatPAX, member{"ä" + long, made}), "x: ä" + long},
		"insecure path":    {tarOf(t, tar.FormatPAX, member{"/../tool", tool}), "x: /../tool"},
		"without tools":    {clean, ""},
		"ar":               {arOf(member{"/", "table"}, member{"odd/", "odd"}, member{"tool/", tool}), "x: tool"},
		"ar, long name":    {arOf(member{"//", "a/\nthe name of a tool/\n"}, member{"/3", tool}), "x: the name of a tool"},
		"ar, no such name": {arOf(member{"//", "a/\n"}, member{"/300", tool}), "x: /300"},
		"ar of BSD":        {arOf(member{"#1/20", "the name of a tool\x00\x00" + tool}), "x: the name of a tool"},
		"gzip":             {gzipOf(t, tool), "x"},
		"tar and gzip":     {gzipOf(t, tarOf(t, tar.FormatGNU, member{"a", own}, member{"tool", tool})), "x: tool"},
		"tar and zstd":     {zstdOf(t, tarOf(t, tar.FormatGNU, member{"a", own}, member{"tool", made})), "x: tool"},
		"package":          {deb(gzipOf(t, tarOf(t, tar.FormatGNU, member{"./tool", tool}))), "x: data.tar.gz: ./tool"},
		"packages":         {gzipOf(t, tarOf(t, tar.FormatGNU, member{"a.deb", deb(gzipOf(t, clean))}, member{"b.deb", deb(gzipOf(t, tarOf(t, tar.FormatGNU, member{"tool", tool})))})), "x: b.deb: data.tar.gz: tool"},
		"too deep":         {gzipOf(t, gzipOf(t, gzipOf(t, gzipOf(t, gzipOf(t, gzipOf(t, tool)))))), ""},
		"damaged in one":   {tarOf(t, tar.FormatGNU, member{"a.gz", "\x1f\x8b\x08"}, member{"b.a", arMagic + "?"}, member{"tool", tool}), "x: tool"},
		"cut off":          {tarOf(t, tar.FormatGNU, member{"tool", tool})[:6000], ""},
		"no tar":           {strings.Repeat("x", 257) + "ustar" + strings.Repeat("x", 999), ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			leak, err := newTestScanner().content("x", strings.NewReader(test.text), 0)
			if err != nil || leak != test.leak {
				t.Errorf("found %q, %v, want %q", leak, err, test.leak)
			}
		})
	}
}

// counted is a file that says how much of it was read.
type counted struct {
	*strings.Reader

	read int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}

// TestContentOfLargeArchive: what is no program is passed over.
func TestContentOfLargeArchive(t *testing.T) {
	large := strings.Repeat("large", 1<<20)
	for name, text := range map[string]string{
		"tar": tarOf(t, tar.FormatGNU, member{"a", large}, member{"b", large}, member{"c", large}),
		"ar":  arOf(member{"a/", large}, member{"b/", large}, member{"c/", large}),
	} {
		file := &counted{Reader: strings.NewReader(text)}
		if leak, err := newTestScanner().content(name, file, 0); leak != "" || err != nil || file.read > 64<<10 {
			t.Errorf("%s: read %d of %d bytes: %q, %v", name, file.read, len(text), leak, err)
		}
	}
}

// sparseOf is an archive with a program that is hardly in it: the rest of 8 GB is a hole.
func sparseOf(t *testing.T, start string) string {
	t.Helper()
	archive := []byte(tarOf(t, tar.FormatGNU, member{"sparse", start + strings.Repeat("x", 512-len(start))}))
	archive[156] = tar.TypeGNUSparse
	for at, number := range map[int]int{386: 0, 398: 512, 410: 1<<33 - 1, 422: 0, 483: 1<<33 - 1} {
		copy(archive[at:], fmt.Sprintf("%011o\x00", number))
	}
	copy(archive[148:], "        ")
	sum := 0
	for _, b := range archive[:512] {
		sum += int(b)
	}
	copy(archive[148:], fmt.Sprintf("%06o\x00", sum))
	return string(archive)
}

// TestStopwatch: a machine that stood still did not search meanwhile.
func TestStopwatch(t *testing.T) {
	w := stopwatch{looked: time.Now().Add(-time.Hour), total: time.Second}
	if got := w.elapsed(); got != time.Second+moment {
		t.Errorf("an hour away was counted as %v", got-time.Second)
	}
	for began := time.Now(); time.Since(began) < 20*time.Millisecond; {
		w.elapsed()
	}
	if got := w.elapsed() - time.Second; got < 2*moment {
		t.Errorf("20 ms of work were counted as %v", got-moment)
	}
}

// TestContentTakesTooLong: neither what becomes large when it is unpacked nor a hole keeps
// the scanner longer than it has.
func TestContentTakesTooLong(t *testing.T) {
	_, _, own, _ := programs()
	for name, text := range map[string]string{
		"bomb":   zstdOf(t, own) + strings.Repeat(zstdOf(t, string(make([]byte, 1<<20))), 1<<16),
		"sparse": sparseOf(t, own),
	} {
		s := newTestScanner()
		s.until = 50 * time.Millisecond
		began := time.Now()
		if leak, err := s.content(name, strings.NewReader(text), 0); !errors.Is(err, errLate) || time.Since(began) > time.Minute {
			t.Errorf("%s: %q, %v after %v", name, leak, err, time.Since(began))
		}
	}
}

// TestArchivesTakeTooLong: then all other files are looked at, still.
func TestArchivesTakeTooLong(t *testing.T) {
	tool, _, _, _ := programs()
	var large bytes.Buffer
	if err := tar.NewWriter(&large).WriteHeader(&tar.Header{Name: "large", Size: 1 << 36, Format: tar.FormatGNU}); err != nil {
		t.Fatal(err)
	}
	s := newTestScanner()
	s.archives = 50 * time.Millisecond
	err := s.layer(&rootfs{upper: tree(t, map[string]string{
		"a.tar.zst": zstdOf(t, large.String()) + strings.Repeat(zstdOf(t, string(make([]byte, 1<<20))), 1<<16),
		"b.tar":     tarOf(t, tar.FormatGNU, member{"tool", tool}), "tool": tool,
	})}, time.Now())
	if err != nil || !s.partial || !slices.Equal(s.leaks, []string{"/tool"}) {
		t.Errorf("found %q, partially: %t, %v", s.leaks, s.partial, err)
	}
}

// FuzzContent: nothing that a step writes is an error, and a tool is found behind it.
func FuzzContent(f *testing.F) {
	tool, _, own, _ := programs()
	for _, seed := range []string{
		tarOf(f, tar.FormatPAX, member{"a", own}), tarOf(f, tar.FormatGNU, member{"a", gzipOf(f, "text")}), own,
		arOf(member{"//", "long/\n"}, member{"/0", "x"}, member{"#1/3", "abcd"}, member{"a/", tarOf(f, tar.FormatUSTAR, member{"b", "c"})}),
		zstdOf(f, "text"), gzipOf(f, arOf(member{"a/", "b"})),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for name, archive := range map[string]string{
			"tar": tarOf(t, tar.FormatGNU, member{"a", string(text)}, member{"tool", tool}),
			"ar":  arOf(member{"a/", string(text)}, member{"tool/", tool}),
		} {
			if leak, err := newTestScanner().content(name, strings.NewReader(archive), 0); err != nil || leak != name+": tool" {
				t.Errorf("%s: %q, %v", name, leak, err)
			}
		}
		if leak, err := newTestScanner().content("alone", bytes.NewReader(text), 0); leak != "" || err != nil {
			t.Errorf("alone: %q, %v", leak, err)
		}
	})
}
