package assist_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"path"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/exact"
)

// TestLayers is what a registry may send instead of a layer of Go.
func TestLayers(t *testing.T) {
	amd64, arm64 := goVariant("amd64", "1.26.8"), goVariant("arm64", "1.26.8")
	plain := func(t *testing.T, body []byte) []byte {
		t.Helper()
		r, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	tests := []struct {
		name   string
		change func(*testing.T, []byte) []byte
		want   string // part of the reason, or go
	}{
		{"uncompressed", plain, "go"},
		{"zstd", func(t *testing.T, body []byte) []byte {
			w, err := zstd.NewWriter(nil)
			if err != nil {
				t.Fatal(err)
			}
			return w.EncodeAll(plain(t, body), nil)
		}, "go"},
		{"truncated", func(_ *testing.T, body []byte) []byte { return body[:len(body)/2] }, "unexpected EOF"},
		{"empty", func(*testing.T, []byte) []byte { return nil }, "to mount over"},
		{"garbage", func(*testing.T, []byte) []byte { return bytes.Repeat([]byte("garbage!"), 200) }, "invalid tar header"},
		{"huge version", func(t *testing.T, _ []byte) []byte {
			return layer{"usr/local/go/VERSION": strings.Repeat("x", 1<<20)}.tar(t)
		}, "it has 1048576 bytes"},
		{"many tools", func(t *testing.T, _ []byte) []byte {
			l := layer{}
			for i := range 16<<10 + 2 {
				l[fmt.Sprintf("usr/local/go/pkg/tool/linux_arm64/%d", i)] = ""
			}
			return l.tar(t)
		}, "too many entries"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			w.image(t, "golang", amd64, arm64)
			body := arm64.layers[1].tar(t) // maps have no order, so that it is another layer
			changed := test.change(t, body)
			for d, blob := range w.blobs {
				if r, err := gzip.NewReader(bytes.NewReader(blob)); err == nil {
					if text, _ := io.ReadAll(r); bytes.Contains(text, []byte("linux_arm64/")) {
						w.blobs[d] = changed
					}
				}
			}
			const text = "FROM golang\nRUN go build\n"
			plan, err := exact.Plan(t.Context(), exact.Options{
				Dockerfile: []byte(text), Platforms: []ocispec.Platform{parse(t, "linux/arm64")}, BuildPlatform: parse(t, "linux/amd64"), Resolver: w,
			})
			if err != nil {
				t.Fatal(err)
			}
			result, err := assist.Plan(t.Context(), plan, assist.Options{Dockerfile: []byte(text), Resolver: w, Content: w})
			if err != nil {
				t.Fatal(err)
			}
			got := decisions(result)
			if test.want == "go" && got != "2 linux/arm64: go\n" || !strings.Contains(got, test.want) {
				t.Errorf("got %.300s, want %s", got, test.want)
			}
		})
	}
}

// FuzzReadLayer reads what is hardly a tar.
func FuzzReadLayer(f *testing.F) {
	f.Add([]byte("x"))
	for _, l := range []layer{goVariant("arm64", "1.26.8").layers[1], {"usr/local/.wh.go": "", "../../usr/local/go/VERSION": "x"}} {
		r, err := gzip.NewReader(bytes.NewReader(l.tar(f)))
		if err != nil {
			f.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		tree, err := assist.ReadLayer(body)
		if err != nil {
			return
		}
		for name, file := range tree {
			if path.Clean(name) != name || !strings.HasPrefix(name, "/usr") {
				t.Errorf("it keeps %q", name)
			}
			if len(file.Head) > 4096 || len(file.Content) > 64<<10 {
				t.Errorf("it keeps %d bytes of %q", len(file.Head)+len(file.Content), name)
			}
		}
	})
}
