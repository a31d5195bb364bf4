package tools_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/platforms"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
	"github.com/mabuild/mabuild/builder/tools"
)

// family is a set of media types.
type family struct {
	index, manifest, config, layer string
	compress                       func(testing.TB, []byte) []byte
}

func families() map[string]family {
	return map[string]family{
		"docker": {
			index.MediaTypeDockerManifestList, index.MediaTypeDockerManifest,
			"application/vnd.docker.container.image.v1+json", "application/vnd.docker.image.rootfs.diff.tar.gzip", gzipped,
		},
		"oci":       oci(),
		"oci zstd":  {ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageLayerZstd, zstded},
		"oci plain": {ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageLayer, plain},
	}
}

func oci() family {
	return family{ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageLayerGzip, gzipped}
}

func plain(_ testing.TB, content []byte) []byte { return content }

func gzipped(t testing.TB, content []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	if _, err := writer.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func zstded(t testing.TB, content []byte) []byte {
	t.Helper()
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer encoder.Close()
	return encoder.EncodeAll(content, nil)
}

// file is an entry of a layer.
type file struct {
	name    string
	content []byte
	link    string // makes it a symbolic link
}

func archive(t testing.TB, files ...file) []byte {
	t.Helper()
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for _, f := range files {
		// Without exec bits: it is not the image that decides on them.
		header := &tar.Header{Name: f.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(f.content))}
		if f.link != "" {
			header = &tar.Header{Name: f.name, Typeflag: tar.TypeSymlink, Linkname: f.link}
		}
		if err := writer.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Write(f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// store has the content of images. It is a registry.Provider.
type store struct {
	family
	mu      sync.Mutex
	content map[digest.Digest][]byte
}

func newStore(f family) *store { return &store{family: f, content: map[digest.Digest][]byte{}} }

// Open implements registry.Provider.
func (s *store) Open(_ context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, ok := s.content[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("the store has no %s", desc.Digest)
	}
	return io.NopCloser(bytes.NewReader(body)), nil
}

func (s *store) add(mediaType string, body []byte) ocispec.Descriptor {
	s.mu.Lock()
	defer s.mu.Unlock()
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	s.content[desc.Digest] = body
	return desc
}

func (s *store) addJSON(t testing.TB, mediaType string, document any) ocispec.Descriptor {
	t.Helper()
	body, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return s.add(mediaType, body)
}

func (s *store) layer(t testing.TB, files ...file) ocispec.Descriptor {
	t.Helper()
	return s.add(s.family.layer, s.compress(t, archive(t, files...)))
}

// image adds an image, the bottom layer first.
func (s *store) image(t testing.TB, platform ocispec.Platform, layers ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	config := ocispec.Image{Platform: platform}
	config.RootFS.Type = "layers"
	desc := s.addJSON(t, s.manifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: s.manifest,
		Config: s.addJSON(t, s.config, config), Layers: layers,
	})
	desc.Platform = &platform
	return desc
}

// index adds an index, with an attestation as BuildKit adds them.
func (s *store) index(t testing.TB, manifests ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	if s.family.index == ocispec.MediaTypeImageIndex {
		last := manifests[len(manifests)-1]
		attestation := s.image(t, ocispec.Platform{OS: "unknown", Architecture: "unknown"}, s.add("application/vnd.in-toto+json", []byte("{}")))
		attestation.Annotations = map[string]string{
			"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": last.Digest.String(),
		}
		manifests = append(manifests, attestation)
	}
	return s.addJSON(t, s.family.index, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: s.family.index, Manifests: manifests,
	})
}

func platform(t testing.TB, text string) ocispec.Platform {
	t.Helper()
	parsed, err := platforms.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// host is this machine's platform.
func host() ocispec.Platform { return tools.HostPlatform() }

// otherThan returns a platform that isn't this machine's.
func otherThan(t testing.TB, own ocispec.Platform) ocispec.Platform {
	t.Helper()
	if own.Architecture == "s390x" {
		return platform(t, "linux/riscv64")
	}
	return platform(t, "linux/s390x")
}

// binfmt adds an image in the layout of tonistiigi/binfmt with a QEMU for each
// architecture, and images for other platforms beside it.
func (s *store) binfmt(t testing.TB, version string, arches ...string) ocispec.Descriptor {
	t.Helper()
	files := []file{}
	for _, arch := range arches {
		files = append(files, file{name: "usr/bin/qemu-" + arch, content: qemu(t, arch, version)})
	}
	return s.index(t,
		s.image(t, otherThan(t, host()), s.layer(t, file{name: "usr/bin/qemu-" + arches[0], content: []byte("for another machine")})),
		s.image(t, host(), s.layer(t, files...), s.layer(t, file{name: "usr/bin/binfmt", content: []byte("it isn't run")})),
	)
}

// buildkit adds an image in the layout of moby/buildkit.
func (s *store) buildkit(t testing.TB, version string) ocispec.Descriptor {
	t.Helper()
	return s.index(t, s.image(t, host(),
		s.layer(t, file{name: "bin/busybox", content: []byte("alpine")}, file{name: "bin/sh", link: "/bin/busybox"}),
		s.layer(t, file{name: "usr/bin/buildkit-runc", content: runc(t, version)}, file{name: "usr/bin/buildkitd", content: []byte("it isn't run")}),
	))
}

// client returns a client that waits for nothing and has no credentials.
func client(t testing.TB) *registry.Client {
	t.Helper()
	c := registry.New(registry.Options{ConfigDir: t.TempDir(), MaxWait: time.Nanosecond})
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func (s *store) push(t testing.TB, ref string, desc ocispec.Descriptor) {
	t.Helper()
	if err := client(t).Copy(t.Context(), ref, s, desc); err != nil {
		t.Fatal(err)
	}
}

// bed is a registry with both images, and options to use them.
type bed struct {
	proxy *registrytest.Proxy
	store *store
	opts  tools.Options
	qemu  ocispec.Descriptor // the index
}

// newBed pushes QEMU for aarch64 and arm, and runc, all in version 1.0.
func newBed(t *testing.T, f family) *bed {
	t.Helper()
	b := &bed{proxy: registrytest.New(t, registrytest.Memory()), store: newStore(f)}
	b.opts = tools.Options{
		Mode: tools.ImageOnly, Dir: t.TempDir() + "/tools", Registry: client(t),
		Images: tools.Images{QEMU: b.proxy.Host() + "/tonistiigi/binfmt:latest", Runc: b.proxy.Host() + "/moby/buildkit:latest"},
	}
	b.qemu = b.store.binfmt(t, "1.0", "aarch64", "arm")
	b.store.push(t, b.opts.Images.QEMU, b.qemu)
	b.store.push(t, b.opts.Images.Runc, b.store.buildkit(t, "1.0"))
	b.proxy.Reset()
	return b
}

// needs are the architectures, and runc if it is among them.
func needs(names ...string) tools.Needs {
	var n tools.Needs
	for _, name := range names {
		if name == "runc" {
			n.Runc = true
		} else {
			n.QEMU = append(n.QEMU, name)
		}
	}
	return n
}

// asked lists the requests for the content of a registry, shortened.
func asked(p *registrytest.Proxy) string {
	var lines []string
	for _, r := range p.Requests() {
		if r.Path == "/v2/" {
			continue
		}
		path := r.Path
		if at := strings.Index(path, "sha256:"); at >= 0 {
			path = path[:at] + "DIGEST"
		}
		lines = append(lines, r.Method+" "+strings.TrimPrefix(path, "/v2/"))
	}
	return strings.Join(lines, "\n")
}
