package tools_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/tools"
)

// onPath makes a PATH of one folder with programs.
func onPath(t *testing.T, programs map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	return dir
}

// Nothing is asked for that is on PATH.
func TestPathFirst(t *testing.T) {
	b := newBed(t, oci())
	dir := onPath(t, map[string][]byte{
		"qemu-arm-static": qemu(t, "arm", "7.2"), "qemu-aarch64": qemu(t, "aarch64", "7.2"), "runc": runc(t, "1.1"),
	})
	for _, mode := range []tools.Mode{"", tools.PathFirst, tools.Never} {
		b.opts.Mode = mode
		got, err := tools.Find(t.Context(), b.opts, needs("arm", "aarch64", "runc"))
		if err != nil {
			t.Fatal(err)
		}
		want := tools.Paths{
			Runc: tools.Tool{Path: filepath.Join(dir, "runc"), Source: "path"},
			QEMU: map[string]tools.Tool{
				"arm":     {Path: filepath.Join(dir, "qemu-arm-static"), Source: "path"},
				"aarch64": {Path: filepath.Join(dir, "qemu-aarch64"), Source: "path"},
			},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the tools differ (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{dir}, got.Dirs()); diff != "" {
			t.Errorf("the folders differ (-want +got):\n%s", diff)
		}
	}
	if got := b.proxy.Requests(); len(got) > 0 {
		t.Errorf("the registry was asked: %v", got)
	}
	if _, err := os.Stat(b.opts.Dir); err == nil {
		t.Error("the cache was made")
	}
}

// What PATH lacks comes from the image, and only that.
func TestPathThenImage(t *testing.T) {
	b := newBed(t, oci())
	dir := onPath(t, map[string][]byte{
		"qemu-arm": qemu(t, "arm", "7.2"),
		// Neither serves: it would look for its linker inside the container.
		"qemu-aarch64": program(t, "x", elfOptions{interpreter: "/lib/ld.so"}),
		"runc":         program(t, "crun version 1.8\n", elfOptions{}),
	})
	b.opts.Mode = tools.PathFirst
	paths, got := mustFind(t, b.opts, "arm", "aarch64")
	want := map[string]string{"arm": "qemu-arm version 7.2", "aarch64": "qemu-aarch64 version 1.0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the tools differ (-want +got):\n%s", diff)
	}
	if len(paths.Dirs()) != 2 || paths.QEMU["arm"].Path != filepath.Join(dir, "qemu-arm") {
		t.Errorf("got %v", paths)
	}
	if n := b.proxy.Count("", "buildkit"); n > 0 {
		t.Errorf("runc's image was asked for:\n%s", asked(b.proxy))
	}
}

func TestPathImageOnly(t *testing.T) {
	b := newBed(t, oci())
	onPath(t, map[string][]byte{"qemu-arm": qemu(t, "arm", "7.2"), "runc": runc(t, "1.1")})
	want := map[string]string{"arm": "qemu-arm version 1.0", "runc": "runc version 1.0"}
	if _, got := mustFind(t, b.opts, "arm", "runc"); cmp.Diff(want, got) != "" {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPathNever(t *testing.T) {
	b := newBed(t, oci())
	b.opts.Mode = tools.Never
	dir := onPath(t, map[string][]byte{
		"qemu-arm":  program(t, "x", elfOptions{interpreter: "/lib/ld.so"}),
		"qemu-i386": qemu(t, "i386", "7.2"),
	})
	_, err := tools.Find(t.Context(), b.opts, needs("i386", "arm", "s390x"))
	checkError(t, err, tools.ErrMissing, "looking for qemu-arm and qemu-s390x: not found on PATH: ")
	checkError(t, err, tools.ErrMissing, dir+`/qemu-arm" is linked dynamically`)
	checkError(t, err, tools.ErrMissing, "apt-get install qemu-user-static`, or let mabuild take it from an image: MABUILD_TOOLS=path")
	if got := b.proxy.Requests(); len(got) > 0 {
		t.Errorf("the registry was asked: %v", got)
	}
}

func TestParseMode(t *testing.T) {
	for text, want := range map[string]tools.Mode{"": tools.PathFirst, "path": tools.PathFirst, "image": tools.ImageOnly, "never": tools.Never} {
		if got, err := tools.ParseMode(text); err != nil || got != want {
			t.Errorf("%q is the mode %q (%v), want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"Path", "always", " "} {
		if got, err := tools.ParseMode(text); err == nil || !strings.Contains(err.Error(), "path, image or never") {
			t.Errorf("%q is the mode %q (%v), want an error", text, got, err)
		}
	}
	if _, err := tools.Find(t.Context(), tools.Options{Mode: "always"}, needs("arm")); err == nil {
		t.Error("the mode is always")
	}
}

func TestParseImages(t *testing.T) {
	tests := []struct {
		values string
		want   tools.Images
		fails  string
	}{
		{"", tools.Images{}, ""},
		{"tonistiigi/binfmt:qemu-v9", tools.Images{QEMU: "docker.io/tonistiigi/binfmt:qemu-v9"}, ""},
		{"qemu=ghcr.io/a/b", tools.Images{QEMU: "ghcr.io/a/b:latest"}, ""},
		{"runc=localhost:5000/b:1 first last:2", tools.Images{QEMU: "docker.io/library/last:2", Runc: "localhost:5000/b:1"}, ""},
		{"go=golang", tools.Images{}, `there is no tool "go"`},
		{"qemu=", tools.Images{}, "HOST/NAME:TAG"},
		{"runc=Upper", tools.Images{}, "HOST/NAME:TAG"},
		{"https://ghcr.io/a", tools.Images{}, "HOST/NAME:TAG"},
	}
	for _, test := range tests {
		t.Run(test.values, func(t *testing.T) {
			got, err := tools.ParseImages(strings.Fields(test.values)...)
			if (err != nil) != (test.fails != "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("got the error %v, want %q", err, test.fails)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("the images differ (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := tools.Find(t.Context(), tools.Options{Images: tools.Images{Runc: "Upper"}}, needs()); err == nil {
		t.Error("a wrong reference was taken")
	}
}
