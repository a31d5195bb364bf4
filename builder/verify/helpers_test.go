package verify_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/verify"
)

// store is a Source in memory.
type store struct {
	mu     sync.Mutex
	blobs  map[digest.Digest][]byte
	opened map[digest.Digest]int
}

func newStore() *store {
	return &store{blobs: map[digest.Digest][]byte{}, opened: map[digest.Digest]int{}}
}

func (s *store) Open(_ context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, ok := s.blobs[desc.Digest]
	if !ok {
		return nil, fs.ErrNotExist
	}
	s.opened[desc.Digest]++
	return io.NopCloser(bytes.NewReader(body)), nil
}

func (s *store) put(mediaType string, body []byte) ocispec.Descriptor {
	s.mu.Lock()
	defer s.mu.Unlock()
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	s.blobs[desc.Digest] = body
	return desc
}

func (s *store) putJSON(t testing.TB, mediaType string, document any) ocispec.Descriptor {
	t.Helper()
	body, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return s.put(mediaType, body)
}

// entry is a line of a layer's archive.
type entry struct {
	name string
	body []byte
	link string // symbolic
	hard string
	mode int64 // 0: 0755
	dir  bool
}

// exe and text are files; ln is a link.
func exe(name string, body []byte) entry { return entry{name: name, body: body} }

func text(name, body string) entry   { return entry{name: name, body: []byte(body), mode: 0o644} }
func sh(name, body string) entry     { return entry{name: name, body: []byte(body)} }
func ln(name, target string) entry   { return entry{name: name, link: target} }
func hard(name, target string) entry { return entry{name: name, hard: target} }
func dir(name string) entry          { return entry{name: name, dir: true} }

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.body)), Typeflag: tar.TypeReg}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		switch {
		case e.link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
		case e.hard != "":
			h.Typeflag, h.Linkname = tar.TypeLink, e.hard
		case e.dir:
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// layer is a layer of an image to be made.
type layer struct {
	entries []entry
	raw     []byte // instead of entries
	zstd    bool
	plain   bool
	by      string
}

// spec is an image to be made.
type spec struct {
	platform string
	config   ocispec.ImageConfig
	layers   []layer
	claims   string // of the descriptor, if it is another one
}

func platformOf(name string) ocispec.Platform {
	parts := append(strings.Split(name, "/"), "", "")
	return ocispec.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
}

func (s *store) image(t testing.TB, img spec) ocispec.Descriptor {
	t.Helper()
	platform := platformOf(img.platform)
	config := ocispec.Image{Platform: platform, Config: img.config, RootFS: ocispec.RootFS{Type: "layers"}}
	manifest := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}
	manifest.SchemaVersion = 2
	for _, l := range img.layers {
		raw := l.raw
		if raw == nil {
			raw = tarOf(t, l.entries...)
		}
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(raw))
		config.History = append(config.History, ocispec.History{CreatedBy: "ENV a=b", EmptyLayer: true}, ocispec.History{CreatedBy: l.by})
		switch {
		case l.plain:
			manifest.Layers = append(manifest.Layers, s.put(ocispec.MediaTypeImageLayer, raw))
		case l.zstd:
			manifest.Layers = append(manifest.Layers, s.put(ocispec.MediaTypeImageLayerZstd, zstdOf(t, raw)))
		default:
			manifest.Layers = append(manifest.Layers, s.put(ocispec.MediaTypeImageLayerGzip, gzipOf(t, raw)))
		}
	}
	manifest.Config = s.putJSON(t, ocispec.MediaTypeImageConfig, config)
	desc := s.putJSON(t, ocispec.MediaTypeImageManifest, manifest)
	if img.claims != "" {
		platform = platformOf(img.claims)
	}
	desc.Platform = &platform
	return desc
}

func gzipOf(t testing.TB, raw []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func zstdOf(t testing.TB, raw []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(raw, nil)
}

// zipOf makes an archive as jar does: with sizes behind the members.
func zipOf(t testing.TB, members ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, m := range members {
		f, err := w.Create(m.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(m.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// elfSpec is an ELF file to be made.
type elfSpec struct {
	machine elf.Machine
	class   elf.Class
	big     bool
	flags   uint32
	kind    elf.Type
	interp  string
	isa     uint32 // bits of GNU_PROPERTY_X86_ISA_1_NEEDED
	armArch byte   // Tag_CPU_arch
}

// make lays out a file header, program headers, their contents, and for ARM a
// section with build attributes and its header at the end.
func (s elfSpec) make() []byte {
	var order binary.ByteOrder = binary.LittleEndian
	data := elf.ELFDATA2LSB
	if s.big {
		order, data = binary.BigEndian, elf.ELFDATA2MSB
	}
	if s.class == 0 {
		s.class = elf.ELFCLASS64
	}
	if s.kind == 0 {
		s.kind = elf.ET_EXEC
	}
	ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(s.class), byte(data), 1}
	type segment struct {
		kind elf.ProgType
		body []byte
	}
	segments := []segment{{elf.PT_LOAD, []byte{0xf4}}}
	if s.interp != "" {
		segments = append(segments, segment{elf.PT_INTERP, append([]byte(s.interp), 0)}, segment{elf.PT_DYNAMIC, make([]byte, 16)})
	}
	if s.isa != 0 {
		note := []byte{4, 0, 0, 0, 16, 0, 0, 0, 5, 0, 0, 0, 'G', 'N', 'U', 0, 0x02, 0x80, 0, 0xc0, 4, 0, 0, 0}
		note = append(binary.LittleEndian.AppendUint32(note, s.isa), 0, 0, 0, 0)
		segments = append(segments, segment{elf.PT_NOTE, note})
	}
	var attrs []byte
	if s.armArch != 0 {
		attrs = []byte{'A', 19, 0, 0, 0, 'a', 'e', 'a', 'b', 'i', 0, 1, 9, 0, 0, 0, 6, s.armArch, 8, 1}
	}
	headSize, progSize, sectionSize := 64, 56, 64
	if s.class == elf.ELFCLASS32 {
		headSize, progSize, sectionSize = 52, 32, 40
	}
	off := headSize + progSize*len(segments)
	var progs, bodies bytes.Buffer
	for _, seg := range segments {
		at, n := off+bodies.Len(), len(seg.body)
		if s.class == elf.ELFCLASS32 {
			_ = binary.Write(&progs, order, elf.Prog32{Type: uint32(seg.kind), Off: uint32(at), Filesz: uint32(n), Memsz: uint32(n)})
		} else {
			_ = binary.Write(&progs, order, elf.Prog64{Type: uint32(seg.kind), Off: uint64(at), Filesz: uint64(n), Memsz: uint64(n)})
		}
		bodies.Write(seg.body)
	}
	attrsAt := off + bodies.Len()
	bodies.Write(attrs)
	sections := 0
	shoff := 0
	if attrs != nil {
		sections, shoff = 2, off+bodies.Len()
	}
	var out bytes.Buffer
	if s.class == elf.ELFCLASS32 {
		_ = binary.Write(&out, order, elf.Header32{
			Ident: ident, Type: uint16(s.kind), Machine: uint16(s.machine), Version: 1, Phoff: uint32(headSize), Shoff: uint32(shoff), Flags: s.flags,
			Ehsize: uint16(headSize), Phentsize: uint16(progSize), Phnum: uint16(len(segments)), Shentsize: uint16(sectionSize), Shnum: uint16(sections),
		})
	} else {
		_ = binary.Write(&out, order, elf.Header64{
			Ident: ident, Type: uint16(s.kind), Machine: uint16(s.machine), Version: 1, Phoff: uint64(headSize), Flags: s.flags,
			Ehsize: uint16(headSize), Phentsize: uint16(progSize), Phnum: uint16(len(segments)), Shentsize: uint16(sectionSize),
		})
	}
	out.Write(progs.Bytes())
	out.Write(bodies.Bytes())
	if attrs != nil {
		_ = binary.Write(&out, order, elf.Section32{})
		_ = binary.Write(&out, order, elf.Section32{Type: 0x70000003, Off: uint32(attrsAt), Size: uint32(len(attrs))})
	}
	return out.Bytes()
}

// Files for several machines.
func amd64() []byte { return elfSpec{machine: elf.EM_X86_64}.make() }
func arm64() []byte { return elfSpec{machine: elf.EM_AARCH64}.make() }
func i386() []byte  { return elfSpec{machine: elf.EM_386, class: elf.ELFCLASS32}.make() }
func linked(m elf.Machine, interp string) []byte {
	return elfSpec{machine: m, interp: interp}.make()
}

const (
	glibcARM64 = "/lib/ld-linux-aarch64.so.1"
	hardFloat  = 0x5000400
	softFloat  = 0x5000200
)

// lines are findings in a form that tests can name.
func lines(r *verify.Report) []string {
	list := []string{}
	for _, f := range r.Findings {
		list = append(list, fmt.Sprintf("%s %s %s", f.Level, f.Rule, f.Path))
	}
	return list
}

func verifyImage(t testing.TB, img spec, opts verify.Options) *verify.Report {
	t.Helper()
	s := newStore()
	report, err := verify.Image(t.Context(), s, s.image(t, img), opts)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func decode(t testing.TB, body []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatal(err)
	}
}

func encode(t testing.TB, document any) string {
	t.Helper()
	body, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// fileImage makes an image of the layer in a gzipped file, which it does not keep.
func (s *store) fileImage(t testing.TB, name, platform string) ocispec.Descriptor {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	blob, raw := digest.Canonical.Digester(), digest.Canonical.Digester()
	z, err := gzip.NewReader(io.TeeReader(file, blob.Hash()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(raw.Hash(), z); err != nil {
		t.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	config := ocispec.Image{Platform: platformOf(platform), RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{raw.Digest()}}}
	manifest := ocispec.Manifest{
		Config: s.putJSON(t, ocispec.MediaTypeImageConfig, config),
		Layers: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: blob.Digest(), Size: info.Size()}},
	}
	desc := s.putJSON(t, ocispec.MediaTypeImageManifest, manifest)
	p := platformOf(platform)
	desc.Platform = &p
	return desc
}
