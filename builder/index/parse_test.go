package index_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
)

const entry = `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":7,"platform":{"os":"linux","architecture":"amd64"}}`

func oci(manifests string) string {
	return `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":` + manifests + `}`
}

func TestParse(t *testing.T) {
	tests := []struct {
		name, mediaType, body string
		entries               int
		want                  string // media type
	}{
		{name: "oci", body: oci("[" + entry + "]"), entries: 1, want: ocispec.MediaTypeImageIndex},
		{name: "announced", mediaType: ocispec.MediaTypeImageIndex, body: oci("[]"), want: ocispec.MediaTypeImageIndex},
		{name: "type only announced", mediaType: index.MediaTypeDockerManifestList, body: `{"schemaVersion":2,"manifests":[]}`, want: index.MediaTypeDockerManifestList},
		{name: "no type", body: `{"schemaVersion":2,"manifests":[]}`, want: ocispec.MediaTypeImageIndex},
		{name: "duplicate platform", body: oci("[" + entry + "," + entry + "]"), entries: 2, want: ocispec.MediaTypeImageIndex},
		{
			name:    "foreign child",
			body:    oci(`[{"mediaType":"application/vnd.dev.cosign.artifact.sig.v1+json","digest":"` + digest.FromString("x").String() + `","size":1}]`),
			entries: 1, want: ocispec.MediaTypeImageIndex,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := index.Parse(test.mediaType, []byte(test.body))
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Manifests) != test.entries || got.MediaType != test.want {
				t.Errorf("got %d manifests of a %s, want %d of a %s", len(got.Manifests), got.MediaType, test.entries, test.want)
			}
		})
	}
}

// Row 25 of the fault table: hostile indexes.
func TestParseRefuses(t *testing.T) {
	nested := strings.Replace(entry, "image.manifest.v1", "image.index.v1", 1)
	tests := []struct{ name, mediaType, body, want string }{
		{name: "empty", body: "", want: "unexpected end"},
		{name: "not json", body: "<html>", want: "invalid character"},
		{name: "a list", body: "[]", want: "cannot unmarshal"},
		{name: "trailing data", body: oci("[]") + "{}", want: "after top-level"},
		{name: "no manifests", body: `{"schemaVersion":2}`, want: "no list"},
		{name: "null manifests", body: oci("null"), want: "no list"},
		{name: "manifests is a string", body: oci(`"x"`), want: "not a list"},
		{name: "schema 1", body: `{"schemaVersion":1,"manifests":[]}`, want: "schema version 1"},
		{name: "other type announced", mediaType: index.MediaTypeDockerManifestList, body: oci("[]"), want: "announced as"},
		{name: "announced as html", mediaType: "text/html", body: `{"schemaVersion":2,"manifests":[]}`, want: "not an image index"},
		{name: "manifest type", body: `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]}`, want: "not an image index"},
		{name: "index and image in one", body: `{"schemaVersion":2,"manifests":[],"config":{},"layers":[]}`, want: "fields of an image"},
		{name: "nested", body: oci("[" + nested + "]"), want: "don't nest"},
		{name: "child without type", body: oci(strings.Replace("["+entry+"]", "application/vnd.oci.image.manifest.v1+json", "", 1)), want: "no media type"},
		{name: "unknown digest algorithm", body: oci(strings.Replace("["+entry+"]", "sha256:", "md5:", 1)), want: "unsupported digest"},
		{name: "no digest", body: oci(`[{"mediaType":"a/b"}]`), want: "invalid checksum digest"},
		{name: "negative size", body: oci(strings.Replace("["+entry+"]", `"size":7`, `"size":-7`, 1)), want: "negative"},
		{name: "bad utf-8", body: oci("[]") + "\xff", want: "UTF-8"},
		{name: "too large", body: oci("[]" + strings.Repeat(" ", index.MaxSize)), want: "more than 4194304"},
		{name: "too many", body: oci("[" + strings.Repeat(entry+",", index.MaxEntries) + entry + "]"), want: "more than 10000 manifests"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := index.Parse(test.mediaType, []byte(test.body))
			if err == nil {
				t.Fatalf("got %d manifests, want an error with %q", len(got.Manifests), test.want)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %q, want one with %q", err, test.want)
			}
			if len(err.Error()) > 400 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

// Row 25: four MiB of the shortest entries must not become hundreds of MiB.
func TestParseNeedsLittleMemory(t *testing.T) {
	short := `{"mediaType":"a","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}`
	for _, one := range []string{"{}", short} {
		body := []byte(oci("[" + strings.Repeat(one+",", (index.MaxSize-200)/(len(one)+1)) + one + "]"))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := index.Parse("", body); err == nil {
			t.Fatal("no error")
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 {
			t.Errorf("allocated %d MiB for entries like %s", used>>20, one)
		}
	}
}

func TestParseDropsData(t *testing.T) {
	body := strings.Replace(entry, `"size":7`, `"size":7,"data":"e30=","urls":["file:///etc/passwd"]`, 1)
	got, err := index.Parse("", []byte(oci("["+body+"]")))
	if err != nil {
		t.Fatal(err)
	}
	if desc := got.Manifests[0]; desc.Data != nil || desc.URLs != nil {
		t.Errorf("kept data %q and URLs %q", desc.Data, desc.URLs)
	}
}

// Case 58: the results of nodes that made attestations are indexes; joining
// what is in them gives one flat index.
func TestFlatten(t *testing.T) {
	var manifests []ocispec.Descriptor
	for _, platform := range []string{"linux/amd64", "linux/arm64"} {
		one := image(platform, "")
		_, body, err := index.Join([]ocispec.Descriptor{one, attest(one, "")}, index.Options{})
		if err != nil {
			t.Fatal(err)
		}
		flat, err := index.Flatten(body)
		if err != nil {
			t.Fatal(err)
		}
		manifests = append(manifests, flat...)
	}
	_, body, err := index.Join(manifests, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := index.Parse("", body)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, desc := range got.Manifests {
		if subject, ok := index.Subject(desc); ok {
			order = append(order, "attests "+subject.Encoded()[:6])
		} else {
			order = append(order, desc.Platform.Architecture+" "+desc.Digest.Encoded()[:6])
		}
	}
	a, b := image("linux/amd64", "").Digest.Encoded()[:6], image("linux/arm64", "").Digest.Encoded()[:6]
	want := fmt.Sprintf("[amd64 %s arm64 %s attests %s attests %s]", a, b, a, b)
	if fmt.Sprint(order) != want {
		t.Errorf("got %v, want %s", order, want)
	}
}

func TestFlattenRefuses(t *testing.T) {
	lost, err := json.Marshal([]ocispec.Descriptor{image("linux/amd64", ""), attest(image("linux/arm64", ""), "")})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, body, want string }{
		{"dangling attestation", oci(string(lost)), "not among the images"}, // case 61
		{"foreign child", oci(`[{"mediaType":"a/b","digest":"` + digest.FromString("x").String() + `","size":1}]`), "can't be part"},
		{"nothing in it", oci("[]"), "no image"},
		{"not an index", "{}", "schema version"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := index.Flatten([]byte(test.body)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	golden, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range golden {
		body, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("", body)
	}
	f.Add(index.MediaTypeDockerManifestList, []byte(`{"schemaVersion":2,"manifests":[{}]}`))
	f.Add("", []byte(oci("["+entry+","+entry+"]")))
	f.Fuzz(func(t *testing.T, mediaType string, body []byte) {
		parsed, err := index.Parse(mediaType, body)
		if err != nil {
			return
		}
		if len(parsed.Manifests) > index.MaxEntries {
			t.Fatalf("%d manifests", len(parsed.Manifests))
		}
		desc, joined, err := index.Join(parsed.Manifests, index.Options{Annotations: parsed.Annotations})
		if err != nil {
			return
		}
		again, err := index.Parse(desc.MediaType, joined)
		if err != nil {
			t.Fatalf("Join wrote what Parse refuses: %v\n%s", err, joined)
		}
		_, twice, err := index.Join(again.Manifests, index.Options{Annotations: again.Annotations})
		if err != nil {
			t.Fatalf("Join refuses what it wrote: %v\n%s", err, joined)
		}
		if !bytes.Equal(joined, twice) {
			t.Fatalf("joining twice differs:\n%s\n%s", joined, twice)
		}
	})
}
