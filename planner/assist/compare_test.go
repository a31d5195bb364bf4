package assist_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mabuild/mabuild/planner/assist"
)

func TestCompareTars(t *testing.T) {
	file := func(change func(*tar.Header)) *tar.Header {
		h := &tar.Header{Name: "x", Typeflag: tar.TypeReg, Mode: 0o644, Size: 1, ModTime: time.Unix(1, 0), Format: tar.FormatPAX}
		change(h)
		return h
	}
	same := func(*tar.Header) {}
	pack := func(content string, headers ...*tar.Header) *bytes.Reader {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range headers {
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(content)[:h.Size]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return bytes.NewReader(b.Bytes())
	}
	tests := []struct {
		name   string
		change func(*tar.Header)
		body   string
		want   string
	}{
		{"same", same, "ab", "[]"},
		{"time", func(h *tar.Header) { h.ModTime = time.Unix(2, 0) }, "ab", "[]"},
		{"name written otherwise", func(h *tar.Header) { h.Name = "./x" }, "ab", "[]"},
		{"content", same, "b", "[x: content]"},
		{"size", func(h *tar.Header) { h.Size = 2 }, "ab", "[x: size]"},
		{"mode and owner", func(h *tar.Header) { h.Mode, h.Uid = 0o755, 1 }, "ab", "[x: mode, owner]"},
		{"attribute", func(h *tar.Header) { h.PAXRecords = map[string]string{"SCHILY.xattr.user.a": "b"} }, "ab", "[x: extended attributes]"},
		{"link", func(h *tar.Header) { h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, "y", 0 }, "", "[x: type, link, size]"},
		{"other name", func(h *tar.Header) { h.Name = "y" }, "ab", "[x: missing y: new]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := assist.CompareTars(pack("ab", file(same)), pack(test.body, file(test.change)))
			if err != nil || fmt.Sprint(got) != test.want {
				t.Errorf("got %v (%v), want %s", got, err, test.want)
			}
		})
	}
	if _, err := assist.CompareTars(strings.NewReader("x"), pack("")); err == nil {
		t.Error("what is no tar is compared")
	}
}
