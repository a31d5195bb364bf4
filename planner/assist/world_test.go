package assist_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/exact"
)

// world is a registry in memory: both resolver and content.
type world struct {
	bases map[string]*exact.Base
	blobs map[digest.Digest][]byte
	opens atomic.Int64
}

func newWorld() *world {
	return &world{bases: map[string]*exact.Base{}, blobs: map[digest.Digest][]byte{}}
}

// variant is one image of an index.
type variant struct {
	platform string
	env      []string
	layers   []layer
}

// layer is files by name: "DIR/" is a directory, "NAME -> TARGET" a link.
type layer map[string]string

func (w *world) put(body []byte) digest.Digest {
	d := digest.FromBytes(body)
	w.blobs[d] = body
	return d
}

func (w *world) image(t testing.TB, ref string, variants ...variant) {
	t.Helper()
	base := &exact.Base{Ref: complete(ref), MediaType: ocispec.MediaTypeImageIndex}
	for _, v := range variants {
		platform, err := platforms.Parse(v.platform)
		if err != nil {
			t.Fatal(err)
		}
		image := ocispec.Image{Platform: platform, RootFS: ocispec.RootFS{Type: "layers"}}
		image.Config.Env, image.Config.WorkingDir = v.env, "/go"
		var manifest ocispec.Manifest
		for _, l := range v.layers {
			body := l.tar(t)
			manifest.Layers = append(manifest.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: w.put(body), Size: int64(len(body))})
			image.RootFS.DiffIDs = append(image.RootFS.DiffIDs, digest.FromBytes(body))
		}
		config := marshal(t, image)
		manifest.Config = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: w.put(config), Size: int64(len(config))}
		body := marshal(t, manifest)
		base.Manifests = append(base.Manifests, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest, Digest: w.put(body), Size: int64(len(body)), Platform: &platform,
		})
	}
	base.Digest = digest.FromString(fmt.Sprint(base.Manifests))
	w.bases[base.Ref] = base
}

func (l layer) tar(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	packed := gzip.NewWriter(&out)
	archive := tar.NewWriter(packed)
	for name, content := range l {
		header := &tar.Header{Name: name, Mode: 0o755, Typeflag: tar.TypeReg, Size: int64(len(content))}
		if from, to, ok := strings.Cut(name, " -> "); ok {
			header.Name, header.Linkname, header.Typeflag = from, to, tar.TypeSymlink
		} else if strings.HasSuffix(name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func complete(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return reference.TagNameOnly(named).String()
}

func (w *world) Resolve(_ context.Context, ref string) (*exact.Base, error) {
	if base, ok := w.bases[ref]; ok {
		return base, nil
	}
	return nil, fmt.Errorf("%s is not there", ref)
}

func (w *world) Config(_ context.Context, _ string, manifest ocispec.Descriptor) ([]byte, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(w.blobs[manifest.Digest], &m); err != nil {
		return nil, err
	}
	return w.blobs[m.Config.Digest], nil
}

func (w *world) Fetch(_ context.Context, _ string, desc ocispec.Descriptor) ([]byte, error) {
	return w.blobs[desc.Digest], nil
}

func (w *world) Open(_ context.Context, _ string, desc ocispec.Descriptor) (io.ReadCloser, error) {
	w.opens.Add(1)
	return io.NopCloser(bytes.NewReader(w.blobs[desc.Digest])), nil
}

// program is the beginning of an executable. With a loader it is dynamic.
func program(machine elf.Machine, loader string) string {
	var b bytes.Buffer
	header := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Phoff: 64, Shoff: 1 << 30, Shnum: 20, Shstrndx: 19, Phentsize: 56, Ehsize: 64, Shentsize: 64,
	}
	copy(header.Ident[:], elf.ELFMAG)
	order := binary.ByteOrder(binary.LittleEndian)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA], header.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	if machine == elf.EM_S390 {
		header.Ident[elf.EI_DATA], order = byte(elf.ELFDATA2MSB), binary.BigEndian
	}
	if loader != "" {
		header.Phnum = 1
	}
	_ = binary.Write(&b, order, header)
	if loader != "" {
		_ = binary.Write(&b, order, elf.Prog64{Type: uint32(elf.PT_INTERP), Off: 120, Filesz: uint64(len(loader) + 1)})
		b.WriteString(loader + "\x00")
	}
	b.Write(make([]byte, 64))
	return b.String()
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "s390x": elf.EM_S390}

const defaults = "usr/local/go/src/internal/buildcfg/zbootstrap.go"

// goVariant is an image of Go as the official one is laid out.
func goVariant(architecture, version string) variant {
	tools := layer{
		"usr/local/go/": "", "usr/local/go/VERSION": "go" + version + "\ntime 2026-08-28T00:00:00Z\n", "usr/local/go/bin/go": program(machines[architecture], ""),
		"usr/local/go/go.env": "GOPROXY=direct\nGOTOOLCHAIN=local\n",
		defaults:              "const defaultGOEXPERIMENT = ``\nconst defaultGO_LDSO = ``\n",
	}
	for _, tool := range []string{"asm", "compile", "link"} {
		tools["usr/local/go/pkg/tool/linux_"+architecture+"/"+tool] = program(machines[architecture], "")
	}
	return variant{
		platform: "linux/" + architecture,
		env:      []string{"PATH=/go/bin:/usr/local/go/bin:/usr/bin:/bin", "GOLANG_VERSION=" + version, "GOTOOLCHAIN=local", "GOPATH=/go"},
		layers:   []layer{{"bin/sh": "sh", "usr/bin/env": "env"}, tools, {"go/": ""}},
	}
}

// with adds something to a variant.
func (v variant) with(change func(*variant)) variant {
	v.env = append([]string(nil), v.env...)
	v.layers = append([]layer(nil), v.layers...)
	change(&v)
	return v
}

// usual has the images that most tests are about.
func usual(t testing.TB) *world {
	w := newWorld()
	w.image(t, "golang:1.26", goVariant("amd64", "1.26.8"), goVariant("arm64", "1.26.8"), goVariant("s390x", "1.26.8"))
	w.image(t, "golang:auto", goVariant("amd64", "1.26.8").with(noToolchain), goVariant("arm64", "1.26.8").with(noToolchain))
	w.image(t, "debian", variant{platform: "linux/amd64"}, variant{platform: "linux/arm64"})
	return w
}

func noToolchain(v *variant) { v.env[2] = "X=y" }

// planOf plans a Dockerfile for platforms, with amd64 as the builder's.
func planOf(t testing.TB, w *world, text string, list string, change func(*assist.Options)) (*exact.Result, *assist.Result) {
	t.Helper()
	var wanted []ocispec.Platform
	for name := range strings.SplitSeq(list, ",") {
		platform, err := platforms.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		wanted = append(wanted, platform)
	}
	opts := assist.Options{Dockerfile: []byte(text), Resolver: w, Content: w}
	if change != nil {
		change(&opts)
	}
	plan, err := exact.Plan(t.Context(), exact.Options{
		Dockerfile: []byte(text), Platforms: wanted, BuildPlatform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		Resolver: w, NamedContexts: opts.NamedContexts,
	})
	if err != nil {
		t.Fatal(err)
	}
	result, err := assist.Plan(t.Context(), plan, opts)
	if err != nil {
		t.Fatal(err)
	}
	return plan, result
}

func parse(t testing.TB, name string) ocispec.Platform {
	t.Helper()
	platform, err := platforms.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return platforms.Normalize(platform)
}
