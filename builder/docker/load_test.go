package docker_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/docker"
)

func list(all []ocispec.Platform) string {
	var names []string
	for _, platform := range all {
		names = append(names, platforms.FormatAll(platform))
	}
	return strings.Join(names, ",")
}

func parse(t *testing.T, specs ...string) []ocispec.Platform {
	t.Helper()
	var parsed []ocispec.Platform
	for _, spec := range specs {
		platform, err := platforms.Parse(spec)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, platform)
	}
	return parsed
}

func TestLoad(t *testing.T) {
	classic := engine{version: "20.10.24", arch: "arm64", machine: "aarch64"}
	containerd := engine{version: "28.1.0", arch: "arm64", machine: "aarch64", containerd: true}
	tests := map[string]struct {
		engine          engine
		wanted          []string
		loaded, leftOut string
		root            string // all, new, or a platform
	}{
		"classic":              {engine: classic, loaded: "linux/arm64", leftOut: "linux/amd64,linux/arm/v7", root: "linux/arm64"},
		"classic, chosen":      {engine: classic, wanted: []string{"linux/amd64"}, loaded: "linux/amd64", leftOut: "linux/arm64,linux/arm/v7", root: "linux/amd64"},
		"containerd":           {engine: containerd, loaded: "linux/amd64,linux/arm64,linux/arm/v7", root: "all"},
		"containerd, chosen":   {engine: containerd, wanted: []string{"linux/arm"}, loaded: "linux/arm/v7", leftOut: "linux/amd64,linux/arm64", root: "linux/arm/v7"},
		"containerd, two":      {engine: containerd, wanted: []string{"linux/arm64", "linux/amd64"}, loaded: "linux/arm64,linux/amd64", leftOut: "linux/arm/v7", root: "new"},
		"32 bit, closest":      {engine: engine{version: "20.10.24", arch: "arm", machine: "armv7l"}, loaded: "linux/arm/v7", leftOut: "linux/amd64,linux/arm64", root: "linux/arm/v7"},
		"containerd, all of 3": {engine: containerd, wanted: []string{"linux/arm/v7", "linux/arm64", "linux/amd64"}, loaded: "linux/arm/v7,linux/arm64,linux/amd64", root: "all"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := layout(t)
			entries := slices.Concat(attested(t, l, "linux/amd64"), attested(t, l, "linux/arm64"), attested(t, l, "linux/arm/v7"))
			root := writeIndex(t, l, entries...)
			e := &test.engine
			got, err := e.serve(t).Load(t.Context(), l.Blobs(), docker.Image{
				Root: root, Names: []string{"app:1", "app"}, Platforms: parse(t, test.wanted...),
			})
			if err != nil {
				t.Fatal(err)
			}
			if list(got.Platforms) != test.loaded || list(got.LeftOut) != test.leftOut {
				t.Errorf("loaded %s without %s, want %s without %s", list(got.Platforms), list(got.LeftOut), test.loaded, test.leftOut)
			}
			for _, name := range []string{"docker.io/library/app:1", "docker.io/library/app:latest"} {
				if e.images[name] != got.ID || got.ID == "" {
					t.Errorf("%s is %s, want %s", name, e.images[name], got.ID)
				}
			}
			for _, entry := range entries {
				platform := platforms.FormatAll(*entry.Platform)
				switch {
				case platform == "unknown/unknown":
				case strings.Contains(","+test.loaded+",", ","+platform+",") != e.blobs[entry.Digest]:
					t.Errorf("%s was sent: %v", platform, e.blobs[entry.Digest])
				case platform == test.root && got.Digest != entry.Digest:
					t.Errorf("the digest is %s, not the image's", got.Digest)
				}
			}
			if (test.root == "all") != (got.Digest == root.Digest) {
				t.Errorf("the digest is %s, the index is %s", got.Digest, root.Digest)
			}
			if sent := e.blobs[entries[1].Digest]; sent != (test.root == "all" || test.root == "new") {
				t.Errorf("the attestation of linux/amd64 was sent: %v", sent)
			}
		})
	}
}

// TestLoadPlain: a manifest without index, without a name.
func TestLoadPlain(t *testing.T) {
	for name, e := range map[string]*engine{
		"classic":    {version: "20.10.24", arch: "amd64"},
		"containerd": {version: "28.1.0", arch: "amd64", containerd: true},
	} {
		t.Run(name, func(t *testing.T) {
			l := layout(t)
			root := image(t, l, "linux/amd64", ocispec.MediaTypeImageLayer)
			root.Platform = nil
			got, err := e.serve(t).Load(t.Context(), l.Blobs(), docker.Image{Root: root})
			if err != nil {
				t.Fatal(err)
			}
			if got.Digest != root.Digest || list(got.Platforms) != "linux/amd64" || got.LeftOut != nil {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	both := func(platforms ...string) []string { return platforms }
	tests := map[string]struct {
		engine engine
		image  []string
		layer  string
		names  []string
		wanted []string
		parts  []string
	}{
		"foreign": {
			image: both("linux/arm64", "linux/s390x"),
			parts: []string{"no linux/amd64", "Docker's machine", "linux/arm64, linux/s390x", "--platform"},
		},
		"lacking":     {image: both("linux/amd64", "linux/arm64"), wanted: []string{"linux/s390x"}, parts: []string{"no linux/s390x", "it has linux/amd64, linux/arm64"}},
		"two":         {image: both("linux/amd64", "linux/arm64"), wanted: []string{"linux/amd64", "linux/arm64"}, parts: []string{"one platform under a name", "--platform", "containerd image store"}},
		"zstd":        {image: both("linux/amd64"), layer: ocispec.MediaTypeImageLayerZstd, parts: []string{"Docker 20.10.24 can't read zstd", "compression=gzip"}},
		"name":        {image: both("linux/amd64"), names: []string{"UP"}, parts: []string{`"UP"`, "NAME:TAG"}},
		"digest":      {image: both("linux/amd64"), names: []string{"a@sha256:" + strings.Repeat("0", 64)}, parts: []string{"takes no digest"}},
		"refusal":     {image: both("linux/amd64"), engine: engine{answer: `{"message":"no space left on device"}`}, parts: []string{"Docker at unix://", "Docker says: no space left on device"}},
		"late":        {image: both("linux/amd64"), engine: engine{answer: `{"stream":"x"}{"errorDetail":{"message":"bad layer"},"error":"bad"}`, stop: 1024}, parts: []string{"Docker says: bad layer"}},
		"old error":   {image: both("linux/amd64"), engine: engine{answer: `{"error":"bad layer"}`, stop: 1024}, parts: []string{"Docker says: bad layer"}},
		"not stored":  {image: both("linux/amd64"), engine: engine{answer: `{"stream":"x"}`}, names: []string{"app"}, parts: []string{"looking for docker.io/library/app:latest", "No such image"}},
		"overwritten": {image: both("linux/amd64"), engine: engine{other: "sha256:" + strings.Repeat("1", 64)}, names: []string{"app"}, parts: []string{"sha256:111", "load it again"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := layout(t)
			if test.layer == "" {
				test.layer = ocispec.MediaTypeImageLayer
			}
			var entries []ocispec.Descriptor
			for _, platform := range test.image {
				entries = append(entries, image(t, l, platform, test.layer))
			}
			e := &test.engine
			e.version, e.arch = "20.10.24", "amd64"
			_, err := e.serve(t).Load(t.Context(), l.Blobs(), docker.Image{
				Root: writeIndex(t, l, entries...), Names: test.names, Platforms: parse(t, test.wanted...),
			})
			wantError(t, err, test.parts...)
		})
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("got no error")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %q", part, err)
		}
	}
}

// TestLoadBroken: what is wrong with the image wins over what Docker makes of it.
func TestLoadBroken(t *testing.T) {
	l := layout(t)
	root := image(t, l, "linux/amd64", ocispec.MediaTypeImageLayer)
	var layer ocispec.Descriptor
	entries, err := l.List(t.Context())
	if err != nil || len(entries) > 0 {
		t.Fatal(entries, err)
	}
	layer = write(t, l, ocispec.MediaTypeImageLayer, []byte("layer of linux/amd64"))
	if err := l.Blobs().Delete(t.Context(), layer.Digest); err != nil {
		t.Fatal(err)
	}
	e := &engine{version: "20.10.24", arch: "amd64"}
	connected := e.serve(t)
	_, err = connected.Load(t.Context(), l.Blobs(), docker.Image{Root: root})
	wantError(t, err, "reading the image", layer.Digest.String())

	gone := root
	gone.Digest = layer.Digest
	_, err = connected.Load(t.Context(), l.Blobs(), docker.Image{Root: gone})
	wantError(t, err, "reading the manifest")
}

func TestLoadInterrupted(t *testing.T) {
	l := layout(t)
	root := image(t, l, "linux/amd64", ocispec.MediaTypeImageLayer)
	e := &engine{version: "20.10.24", arch: "amd64"}
	connected := e.serve(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := connected.Load(ctx, l.Blobs(), docker.Image{Root: root}); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	if len(e.images) > 0 {
		t.Errorf("Docker has %v", e.images)
	}
}

func FuzzReadMessages(f *testing.F) {
	f.Add([]byte(`{"stream":"Loaded image: x\n"}`))
	f.Add([]byte(`{"error":"x","errorDetail":{"message":"y"}}`))
	f.Add([]byte(`{"progressDetail":{"current":1}} null 3`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if docker.ReadMessages(bytes.NewReader(body)) != nil {
			return
		}
		// What is no error stays none with another message, and becomes one by an error.
		if err := docker.ReadMessages(bytes.NewReader(append(body, "\n{}"...))); err != nil {
			t.Errorf("%q: %v", body, err)
		}
		if err := docker.ReadMessages(bytes.NewReader(append(body, "\n{\"error\":\"x\"}"...))); err == nil {
			t.Errorf("the error after %q was not noticed", body)
		}
	})
}
