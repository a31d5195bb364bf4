package rig_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/integration/bench/rig"
)

func TestParseIndex(t *testing.T) {
	const amd64 = `{"platform":{"os":"linux","architecture":"amd64"}}`
	for _, test := range []struct {
		name, text string
		platforms  int
	}{
		{"OCI", `{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[` + amd64 + `]}`, 1},
		{"Docker", `{"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[` + amd64 + `]}`, 1},
		{"attestations", `{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[` + amd64 +
			`,{"platform":{"os":"unknown","architecture":"unknown"}},{}]}`, 1},
		{"empty", `{"mediaType":"application/vnd.oci.image.index.v1+json"}`, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := rig.ParseIndex([]byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != test.platforms {
				t.Errorf("%d descriptors, want %d", len(got), test.platforms)
			}
		})
	}
	for _, text := range []string{
		``, `[]`, `{}`,
		`{"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[` + amd64 + `]}`,
		`{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":{}}`,
	} {
		t.Run("bad "+text, func(t *testing.T) {
			if got, err := rig.ParseIndex([]byte(text)); err == nil {
				t.Errorf("no error but %v", got)
			}
		})
	}
}

func FuzzParseIndex(f *testing.F) {
	f.Add([]byte(`{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"platform":{"os":"linux"}},{}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		manifests, err := rig.ParseIndex(text)
		if err != nil {
			return
		}
		for _, desc := range manifests {
			if desc.Platform == nil {
				t.Fatalf("a descriptor without a platform: %v", desc)
			}
		}
		_ = rig.CheckPlatforms(manifests, nil)
	})
}

func TestCheckPlatforms(t *testing.T) {
	manifests := []ocispec.Descriptor{
		{Platform: &ocispec.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}},
		{Platform: &ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}},
	}
	for _, test := range []struct {
		want string
		ok   bool
	}{
		{"linux/arm64 linux/arm/v7", true},
		{"linux/arm/v7 linux/arm64", true},
		{"linux/arm64", false},
		{"linux/arm64 linux/arm/v6", false},
		{"linux/arm64 linux/arm/v7 linux/amd64", false},
		{"linux/arm64 linux/arm64 linux/arm/v7", false},
	} {
		t.Run(test.want, func(t *testing.T) {
			err := rig.CheckPlatforms(manifests, strings.Fields(test.want))
			if (err == nil) != test.ok {
				t.Errorf("error %v, want none: %v", err, test.ok)
			}
		})
	}
}

func layer(t testing.TB, files ...string) []byte {
	t.Helper()
	var blob bytes.Buffer
	compress := gzip.NewWriter(&blob)
	archive := tar.NewWriter(compress)
	for _, file := range files {
		name, content, _ := strings.Cut(file, "=")
		err := archive.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))})
		if err == nil {
			_, err = io.WriteString(archive, content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := compress.Close(); err != nil {
		t.Fatal(err)
	}
	return blob.Bytes()
}

func TestFileInLayer(t *testing.T) {
	blob := layer(t, "app/other=1", "app/stamp=2")
	got, err := rig.FileInLayer(blob, "app/stamp")
	if err != nil || string(got) != "2" {
		t.Errorf("app/stamp is %q, %v; want 2", got, err)
	}
	for name, bad := range map[string][]byte{
		"not there": layer(t, "app/other=1"), "not gzip": []byte("x"), "cut": blob[:len(blob)-20], "empty": nil,
	} {
		if got, err := rig.FileInLayer(bad, "app/stamp"); err == nil {
			t.Errorf("%s: no error but %q", name, got)
		}
	}
}

func FuzzFileInLayer(f *testing.F) {
	f.Add(layer(f, "app/stamp=2"))
	f.Fuzz(func(_ *testing.T, blob []byte) { _, _ = rig.FileInLayer(blob, "app/stamp") })
}

// A tag that doesn't point at an index is what a client that pushes one platform
// leaves; it must not pass for more.
func TestImage(t *testing.T) {
	ctx := t.Context()
	registry, err := rig.StartRegistry(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := registry.Close(); err != nil {
			t.Error(err)
		}
	})
	p := pusher{t, "http://" + registry.Addr + "/v2/app"}
	config := p.blob([]byte(`{"os":"linux","architecture":"amd64"}`))
	manifest := p.manifest("single", ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: config.Digest, Size: config.Size},
		Layers: []ocispec.Descriptor{p.blob(layer(t, "app/stamp=old")), p.blob(layer(t, "app/stamp=new")), p.blob(layer(t, "x=y"))},
	})
	manifest.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	index := p.manifest("index", ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{manifest},
	})

	image, err := registry.Image(ctx, "app", "index")
	if err != nil {
		t.Fatal(err)
	}
	if image.Digest != index.Digest || len(image.Manifests) != 1 {
		t.Errorf("image %s with %d manifests, want %s with 1", image.Digest, len(image.Manifests), index.Digest)
	}
	stamp, err := image.File(ctx, image.Manifests[0], "app/stamp")
	if err != nil || string(stamp) != "new" {
		t.Errorf("the stamp is %q, %v; want new", stamp, err)
	}
	if _, err := image.File(ctx, image.Manifests[0], "app/none"); err == nil {
		t.Error("a file that isn't there was read")
	}
	single, err := registry.Image(ctx, "app", "single")
	if err != nil {
		t.Fatal(err)
	}
	if err := rig.CheckPlatforms(single.Manifests, []string{"linux/amd64"}); err != nil {
		t.Error(err)
	}
	if err := rig.CheckPlatforms(single.Manifests, []string{"linux/amd64", "linux/arm64"}); err == nil {
		t.Error("an image for one platform passes for an index of two")
	}
	if stamp, err := single.File(ctx, single.Manifests[0], "app/stamp"); err != nil || string(stamp) != "new" {
		t.Errorf("the stamp is %q, %v; want new", stamp, err)
	}
	if _, err := registry.Image(ctx, "app", "none"); err == nil {
		t.Error("a tag that isn't there was read")
	}
}

// pusher uploads with nothing but HTTP.
type pusher struct {
	t    *testing.T
	base string
}

func (p pusher) do(method, url, contentType string, body []byte) *http.Response {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode >= http.StatusBadRequest {
		text, _ := io.ReadAll(response.Body)
		p.t.Fatalf("%s %s: %s: %s", method, url, response.Status, text)
	}
	return response
}

func (p pusher) blob(content []byte) ocispec.Descriptor {
	p.t.Helper()
	dgst := digest.FromBytes(content)
	start := p.do(http.MethodPost, p.base+"/blobs/uploads/", "", nil)
	upload := start.Header.Get("Location")
	p.do(http.MethodPut, fmt.Sprintf("%s&digest=%s", upload, dgst), "application/octet-stream", content)
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: dgst, Size: int64(len(content))}
}

func (p pusher) manifest(tag, mediaType string, content any) ocispec.Descriptor {
	p.t.Helper()
	text, err := json.Marshal(content)
	if err != nil {
		p.t.Fatal(err)
	}
	p.do(http.MethodPut, p.base+"/manifests/"+tag, mediaType, text)
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
}
