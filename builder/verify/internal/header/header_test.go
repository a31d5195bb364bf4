package header_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/mabuild/mabuild/builder/verify/internal/header"
)

// armFile is a 32-bit ARM file with build attributes at its end.
func armFile(arch byte, flags uint32) []byte {
	attrs := []byte{'A', 22, 0, 0, 0, 'a', 'e', 'a', 'b', 'i', 0, 1, 12, 0, 0, 0, 5, 'v', 0, 6, arch, 8, 1}
	var out bytes.Buffer
	ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS32), byte(elf.ELFDATA2LSB), 1}
	_ = binary.Write(&out, binary.LittleEndian, elf.Header32{
		Ident: ident, Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_ARM),
		Version: 1, Flags: flags, Ehsize: 52, Shoff: uint32(52 + 10_000 + len(attrs)), Shentsize: 40, Shnum: 2,
	})
	out.Write(make([]byte, 10_000)) // more than a prefix
	at := out.Len()
	out.Write(attrs)
	_ = binary.Write(&out, binary.LittleEndian, elf.Section32{})
	_ = binary.Write(&out, binary.LittleEndian, elf.Section32{Type: 0x70000003, Off: uint32(at), Size: uint32(len(attrs))})
	return out.Bytes()
}

func read(t *testing.T, body []byte) header.Header {
	t.Helper()
	n := min(len(body), header.Prefix)
	h, err := header.Read(body[:n], bytes.NewReader(body[n:]), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestARM(t *testing.T) {
	t.Parallel()
	for arch, version := range map[byte]uint8{0: 0, 1: 4, 4: 5, 6: 6, 9: 6, 10: 7, 13: 7, 14: 8, 99: 0} {
		h := read(t, armFile(arch, 0x5000400))
		if h.ARM != version || h.Float != header.FloatHard || h.Damaged {
			t.Errorf("Tag_CPU_arch %d: %+v, want version %d", arch, h, version)
		}
	}
	if h := read(t, armFile(10, 0x5000200)); h.Float != header.FloatSoft {
		t.Errorf("%+v is not soft float", h)
	}
}

// TestFar reads an interpreter's name that patchelf moved to the file's end.
func TestFar(t *testing.T) {
	t.Parallel()
	far := func(at, size int) []byte {
		var out bytes.Buffer
		ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1}
		_ = binary.Write(&out, binary.LittleEndian, elf.Header64{Ident: ident, Machine: uint16(elf.EM_AARCH64), Phoff: 64, Phentsize: 56, Phnum: 1})
		_ = binary.Write(&out, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_INTERP), Off: uint64(at), Filesz: 10})
		out.Write(make([]byte, max(at-out.Len(), 0)))
		out.WriteString("/lib/ld.so")
		return append(out.Bytes(), make([]byte, size)...)
	}
	for _, at := range []int{200, header.Prefix - 5, header.Prefix, 100_000} {
		if h := read(t, far(at, 50)); h.Interp != "/lib/ld.so" || h.Damaged {
			t.Errorf("at %d: %+v", at, h)
		}
	}
	if h := read(t, far(100_000, 0)[:99_000]); !h.Damaged {
		t.Errorf("cut off: %+v", h)
	}
	body := far(100_000, 0)
	if h, err := header.Read(body[:header.Prefix], nil, int64(len(body))); err != nil || h.Interp != "" || h.Damaged {
		t.Errorf("without the rest: %+v, %v", h, err)
	}
}

// TestGo reads what the Go linker writes for other machines.
func TestGo(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for arch, want := range map[string]header.Header{
		"arm64": {Machine: elf.EM_AARCH64, Class: elf.ELFCLASS64, Data: elf.ELFDATA2LSB},
		"s390x": {Machine: elf.EM_S390, Class: elf.ELFCLASS64, Data: elf.ELFDATA2MSB},
	} {
		t.Run(arch, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			cmd := exec.CommandContext(t.Context(), filepath.Join(runtime.GOROOT(), "bin", "go"), "build", "-o", out, source) //nolint:staticcheck // the tests' own toolchain
			cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=")
			if log, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			body, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, body); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

// TestHost reads programs of the machine that runs the test as debug/elf does.
func TestHost(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("/usr/bin/[a-m]*")
	if err != nil || len(names) == 0 {
		t.Skip("there is no /usr/bin")
	}
	n := 0
	for _, name := range names[:min(len(names), 300)] {
		body, err := os.ReadFile(name)
		if err != nil || !header.Is(body) {
			continue
		}
		file, err := elf.NewFile(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		for _, p := range file.Progs {
			if p.Type == elf.PT_INTERP {
				b := make([]byte, p.Filesz)
				if _, err := p.ReadAt(b, 0); err != nil {
					t.Fatal(err)
				}
				want = string(bytes.TrimRight(b, "\x00"))
			}
		}
		h := read(t, body)
		if h.Interp != want || h.Machine != file.Machine || h.Damaged {
			t.Errorf("%s: %+v, want interpreter %q", name, h, want)
		}
		n++
	}
	t.Logf("%d programs", n)
}
