package output_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/output"
)

// add puts content into the layout under names and returns what describes it.
func add(t *testing.T, layout *output.Layout, text string, names ...string) ocispec.Descriptor {
	t.Helper()
	desc := blob([]byte(text))
	put(t, layout, desc, []byte(text))
	if err := layout.Add(desc, names...); err != nil {
		t.Fatal(err)
	}
	return desc
}

// listed returns the entries as "name text".
func listed(t *testing.T, layout *output.Layout) []string {
	t.Helper()
	entries, err := layout.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, e := range entries {
		list = append(list, strings.TrimSpace(e.Name+" "+read(t, layout, e.Descriptor)))
	}
	return list
}

func read(t *testing.T, layout *output.Layout, desc ocispec.Descriptor) string {
	t.Helper()
	reader, err := layout.Open(t.Context(), desc)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	body, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestLayoutAdd(t *testing.T) {
	for name, test := range map[string]struct {
		adds [][]string // text and names
		want []string
	}{
		"nothing":               {nil, []string{}},
		"names are normalised":  {[][]string{{"a", "app"}, {"b", "me/app:2"}, {"c", "ghcr.io/me/app"}}, []string{"docker.io/library/app:latest a", "docker.io/me/app:2 b", "ghcr.io/me/app:latest c"}},
		"several names":         {[][]string{{"a", "app:1", "app:latest"}}, []string{"docker.io/library/app:1 a", "docker.io/library/app:latest a"}},
		"the same name twice":   {[][]string{{"a", "app", "docker.io/library/app:latest"}}, []string{"docker.io/library/app:latest a"}},
		"a name moves":          {[][]string{{"a", "app:1", "app"}, {"b", "app"}}, []string{"docker.io/library/app:1 a", "docker.io/library/app:latest b"}},
		"unnamed":               {[][]string{{"a"}, {"b"}}, []string{"a", "b"}},
		"unnamed twice":         {[][]string{{"a"}, {"b"}, {"a"}}, []string{"b", "a"}},
		"unnamed gets a name":   {[][]string{{"a"}, {"a", "app"}}, []string{"docker.io/library/app:latest a"}},
		"named, then unnamed":   {[][]string{{"a", "app"}, {"a"}}, []string{"docker.io/library/app:latest a", "a"}},
		"names are not digests": {[][]string{{"a"}, {"b", "app"}}, []string{"a", "docker.io/library/app:latest b"}},
		"registry with a port":  {[][]string{{"a", "localhost:5000/app"}}, []string{"localhost:5000/app:latest a"}},
	} {
		t.Run(name, func(t *testing.T) {
			layout := open(t)
			for _, words := range test.adds {
				add(t, layout, words[0], words[1:]...)
			}
			if diff := cmp.Diff(test.want, listed(t, layout)); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLayoutAddRefusesBadNames(t *testing.T) {
	layout := open(t)
	desc := add(t, layout, "a", "app:1")
	for _, name := range []string{"", "App", "app:", "https://ghcr.io/me/app", strings.Repeat("a", 300)} {
		if err := layout.Add(desc, "good", name); err == nil || !strings.Contains(err.Error(), "naming the image") {
			t.Errorf("%q: error %v", name, err)
		}
	}
	if diff := cmp.Diff([]string{"docker.io/library/app:1 a"}, listed(t, layout)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// An entry that was found can be added under another name, and keeps what else is
// known about it.
func TestLayoutAddAnEntry(t *testing.T) {
	layout := open(t)
	desc := add(t, layout, "a")
	desc.Platform = &arm64
	desc.Annotations = map[string]string{"org.example": "kept"}
	if err := layout.Add(desc, "app:1"); err != nil {
		t.Fatal(err)
	}
	entry, err := layout.Find(t.Context(), "app:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(layout.Add(entry.Descriptor, "other:2"), layout.Add(entry.Descriptor)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"docker.io/library/app:1 a", "docker.io/library/other:2 a", "a"}, listed(t, layout)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if entry, err = layout.Find(t.Context(), "other:2"); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"org.example": "kept", "io.containerd.image.name": "docker.io/library/other:2", ocispec.AnnotationRefName: "2",
	}
	if diff := cmp.Diff(want, entry.Descriptor.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&arm64, entry.Descriptor.Platform); diff != "" {
		t.Errorf("platform (-want +got):\n%s", diff)
	}
	if len(desc.Annotations) != 1 {
		t.Errorf("the caller's annotations became %v", desc.Annotations)
	}
}

func TestLayoutFind(t *testing.T) {
	layout := open(t)
	a := add(t, layout, "a", "app:1", "ghcr.io/me/app")
	b := add(t, layout, "b")
	hex := b.Digest.Encoded()
	c := add(t, layout, "c", hex[:12]) // a name that looks like the digest of b
	for ref, want := range map[string]string{
		"app:1":                             a.Digest.String(),
		"docker.io/library/app:1":           a.Digest.String(),
		"ghcr.io/me/app":                    a.Digest.String(),
		"ghcr.io/me/app:latest":             a.Digest.String(),
		a.Digest.String():                   a.Digest.String(),
		a.Digest.Encoded():                  a.Digest.String(),
		a.Digest.Encoded()[:12]:             a.Digest.String(),
		"sha256:" + a.Digest.Encoded()[:12]: a.Digest.String(),
		hex[:12]:                            c.Digest.String(),
		hex[:13]:                            b.Digest.String(),
		"app":                               "",
		"app:2":                             "",
		"":                                  "",
		"sha256:":                           "",
		hex[:11]:                            "",
		"sha256:" + hex[:11]:                "",
		"sha512:" + hex[:12]:                "",
		hex + "0":                           "",
	} {
		entry, err := layout.Find(t.Context(), ref)
		if got := entry.Descriptor.Digest.String(); got != want {
			t.Errorf("%q is %s, %v; want %s", ref, got, err, want)
		}
		if (want == "") != errors.Is(err, output.ErrNotFound) {
			t.Errorf("%q: error %v", ref, err)
		}
	}
}

func TestLayoutRemove(t *testing.T) {
	for name, test := range map[string]struct {
		ref  string
		want []string
	}{
		"a name":         {"app:1", []string{"docker.io/library/app:latest a", "b"}},
		"a digest":       {blob([]byte("a")).Digest.String(), []string{"b"}},
		"a short digest": {blob([]byte("a")).Digest.Encoded()[:12], []string{"b"}},
		"an unnamed one": {blob([]byte("b")).Digest.String(), []string{"docker.io/library/app:1 a", "docker.io/library/app:latest a"}},
	} {
		t.Run(name, func(t *testing.T) {
			layout := open(t)
			add(t, layout, "a", "app:1", "app")
			add(t, layout, "b")
			if err := layout.Remove(t.Context(), test.ref); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, listed(t, layout)); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
			if err := layout.Remove(t.Context(), test.ref); !errors.Is(err, output.ErrNotFound) {
				t.Errorf("removing it again: %v", err)
			}
			if got := read(t, layout, blob([]byte("a"))); got != "a" {
				t.Errorf("the content is gone")
			}
		})
	}
}

func TestLayoutKnowsWhenImagesCame(t *testing.T) {
	layout := open(t)
	before := time.Now().Add(-time.Second)
	desc := add(t, layout, "a")
	entry, err := layout.Find(t.Context(), desc.Digest.String())
	if err != nil {
		t.Fatal(err)
	}
	if entry.Created.Before(before) || entry.Created.After(time.Now().Add(time.Second)) {
		t.Errorf("it came at %s", entry.Created)
	}
}

func TestOpenLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	layout, err := output.OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	add(t, layout, "a", "app")
	marker, err := os.ReadFile(filepath.Join(dir, "oci-layout"))
	if err != nil || string(marker) != `{"imageLayoutVersion":"1.0.0"}` {
		t.Errorf("marker %q, error %v", marker, err)
	}
	again, err := output.OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"docker.io/library/app:latest a"}, listed(t, again)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	file := filepath.Join(dir, "oci-layout", "below")
	if _, err := output.OpenLayout(file); err == nil {
		t.Error("a layout below a file was opened")
	}
}

func TestLayoutThatIsBroken(t *testing.T) {
	dir := t.TempDir()
	layout, err := output.OpenLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, listErr := layout.List(t.Context())
	_, pruneErr := layout.Prune(t.Context(), true)
	for what, err := range map[string]error{
		"list": listErr, "prune": pruneErr, "add": layout.Add(blob(nil), "app"), "remove": layout.Remove(t.Context(), "app"),
	} {
		if err == nil || !strings.Contains(err.Error(), "index.json") {
			t.Errorf("%s: error %v", what, err)
		}
	}
	if _, err := layout.Open(t.Context(), blob([]byte("not there"))); err == nil {
		t.Error("content that is not there was opened")
	}
}

func TestDefaultStore(t *testing.T) {
	for name, test := range map[string]struct{ xdg, want string }{
		"set":      {"/data", "/data/mabuild/images"},
		"not set":  {"", "/home/me/.local/share/mabuild/images"},
		"relative": {"data", "/home/me/.local/share/mabuild/images"}, // to be ignored, says the specification
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_DATA_HOME", test.xdg)
			t.Setenv("HOME", "/home/me")
			if got, err := output.DefaultStore(); got != test.want || err != nil {
				t.Errorf("%s, %v; want %s", got, err, test.want)
			}
		})
	}
	t.Setenv("XDG_DATA_HOME", "")
	t.Setenv("HOME", "")
	if got, err := output.DefaultStore(); err == nil {
		t.Errorf("without a home it is %s", got)
	}
}
