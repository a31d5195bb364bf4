package tools_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/tools"
)

const sum = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

const oneImage = `{
  "version": 1,
  "images": [
    {
      "reference": "docker.io/tonistiigi/binfmt:latest",
      "platform": "linux/amd64",
      "index": "` + sum + `",
      "manifest": "` + sum + `",
      "locked": "2026-11-25T18:00:00Z",
      "files": [
        {
          "name": "qemu-aarch64",
          "path": "/usr/bin/qemu-aarch64",
          "digest": "` + sum + `",
          "size": 12918384
        }
      ]
    }
  ]
}
`

func TestParseLock(t *testing.T) {
	for _, text := range []string{oneImage, `{"version":1,"images":null}`, `{"version":1}`} {
		l, err := tools.ParseLock([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		again, err := tools.EncodeLock(l)
		if err != nil {
			t.Fatal(err)
		}
		if text == oneImage && string(again) != text {
			t.Errorf("the lock file changed (-want +got):\n%s", cmp.Diff(text, string(again)))
		}
	}
}

func TestParseLockRefuses(t *testing.T) {
	changed := func(from, to string) string { return strings.ReplaceAll(oneImage, from, to) }
	var l map[string]any
	if err := json.Unmarshal([]byte(oneImage), &l); err != nil {
		t.Fatal(err)
	}
	l["images"] = append(l["images"].([]any), l["images"].([]any)...)
	twice, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, text, want string }{
		{"empty", "", "EOF"},
		{"no object", "[]", "cannot unmarshal"},
		{"cut", oneImage[:200], "unexpected EOF"},
		{"more after it", oneImage + "{}", "follows its end"},
		{"no version", "{}", "its version is 0, not 1"},
		{"newer", changed(`"version": 1`, `"version": 2`), "its version is 2"},
		{"unknown field", changed(`"locked"`, `"looked"`), "unknown field"},
		{"short reference", changed("docker.io/", ""), "not a whole reference"},
		{"no tag", changed(":latest", ""), "not a whole reference"},
		{"platform", changed("linux/amd64", "linux/x86_64"), "not a whole platform"},
		{"path in the manifest", changed(`"manifest": "sha256:`, `"manifest": "../../sha256:`), "manifest: digest"},
		{"short digest", changed(`"index": "sha256:e3`, `"index": "sha256:`), "index: digest"},
		{"weak digest", changed(`"digest": "sha256:`, `"digest": "md5:`), "unsupported digest algorithm"},
		{"name upwards", changed(`"qemu-aarch64"`, `"../qemu-aarch64"`), "is not a tool"},
		{"another tool", changed(`"qemu-aarch64"`, `"bash"`), "is not a tool"},
		{"path upwards", changed("/usr/bin/", "/usr/../bin/"), "not a whole path"},
		{"relative path", changed("/usr/bin/", "usr/bin/"), "not a whole path"},
		{"no size", changed("12918384", "0"), "not the size of a tool"},
		{"huge", changed("12918384", "99999999999"), "not the size of a tool"},
		{"image twice", string(twice), "is there twice"},
		{"file twice", changed("\n      ]", `,{"name":"qemu-aarch64","path":"/q","digest":"`+sum+`","size":1}]`), "is there twice"},
		{"large", oneImage + strings.Repeat(" ", 1<<20), "more than 1048576 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := tools.ParseLock([]byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got the error %v, want one with %q", err, test.want)
			}
		})
	}
}

// What is accepted is written in the same way again, and its files have places in
// the cache.
func FuzzParseLock(f *testing.F) {
	f.Add([]byte(oneImage))
	f.Add([]byte(`{"version":1,"images":[{}]}`))
	f.Add([]byte(strings.ReplaceAll(oneImage, "linux/amd64", "linux/arm/v7")))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := tools.ParseLock(text)
		if err != nil {
			return
		}
		first, err := tools.EncodeLock(l)
		if err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		if l, err = tools.ParseLock(first); err != nil {
			t.Fatalf("what was written can't be read: %v\n%s", err, first)
		}
		if second, err := tools.EncodeLock(l); err != nil || !bytes.Equal(first, second) {
			t.Errorf("written twice it differs (%v):\n%s\n%s", err, first, second)
		}
		for _, image := range l.Images {
			for _, file := range image.Files {
				path := tools.CacheFile("/cache", image.Manifest, file.Name)
				inside, err := filepath.Rel("/cache", path)
				if err != nil || !filepath.IsLocal(inside) || strings.Count(inside, "/") != 2 {
					t.Errorf("%q is kept in %q", file.Name, path)
				}
			}
		}
	})
}

func TestParseManifest(t *testing.T) {
	const config = `"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + sum + `","size":2}`
	layer := `{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"` + sum + `","size":2}`
	tests := []struct{ name, body, want string }{
		{"fine", `{"schemaVersion":2,` + config + `,"layers":[` + layer + `]}`, ""},
		{"no json", "<html>", "invalid character"},
		{"schema 1", `{"schemaVersion":1,` + config + `}`, "schema version"},
		{"an index too", `{"schemaVersion":2,"manifests":[],` + config + `}`, "another kind"},
		{"no image", `{"schemaVersion":2}`, "not an image"},
		{"other type", `{"schemaVersion":2,"mediaType":"text/html",` + config + `}`, "text/html"},
		{"no digest", `{"schemaVersion":2,` + config + `,"layers":[{"size":1}]}`, "digest"},
		{"negative", `{"schemaVersion":2,` + config + `,"layers":[` + strings.Replace(layer, `"size":2`, `"size":-2`, 1) + `]}`, "negative"},
		{"many layers", `{"schemaVersion":2,` + config + `,"layers":[` + strings.Repeat(layer+",", 256) + layer + `]}`, "257 layers"},
		{"large", `{"schemaVersion":2,` + config + `}` + strings.Repeat(" ", 4<<20), "more than"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			layers, err := tools.ParseManifest([]byte(test.body))
			if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %d layers and the error %v, want %q", len(layers), err, test.want)
			}
		})
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + sum + `","size":2}}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		layers, err := tools.ParseManifest(body)
		if err != nil {
			return
		}
		for _, desc := range layers {
			if desc.Digest.Validate() != nil || desc.Size < 0 {
				t.Errorf("accepted the layer %+v", desc)
			}
		}
	})
}

func TestPick(t *testing.T) {
	s := newStore(oci())
	list := s.content[s.index(t,
		s.image(t, platform(t, "linux/arm/v6")), s.image(t, platform(t, "linux/arm/v7")),
		s.image(t, platform(t, "linux/arm64")), s.image(t, platform(t, "linux/amd64")),
	).Digest]
	for _, test := range []struct{ platform, want string }{
		{"linux/amd64", "linux/amd64"},
		{"linux/arm64/v8", "linux/arm64"},
		{"linux/arm/v7", "linux/arm/v7"},
		{"linux/arm/v6", "linux/arm/v6"},
		{"linux/arm/v5", ""},
		{"linux/amd64/v3", ""},
		{"linux/386", ""},
		{"windows/amd64", ""},
	} {
		t.Run(test.platform, func(t *testing.T) {
			got, err := tools.Pick("", list, platform(t, test.platform))
			if test.want == "" {
				if err == nil || !strings.HasSuffix(err.Error(), "; it has linux/arm/v6, linux/arm/v7, linux/arm64, linux/amd64") {
					t.Errorf("got %v and the error %v, want one that lists the platforms", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := platform(t, test.want); got.Platform.Architecture != want.Architecture || got.Platform.Variant != want.Variant {
				t.Errorf("got %v", *got.Platform)
			}
		})
	}
}
