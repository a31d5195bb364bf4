package verify_test

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"io"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/verify"
)

// FuzzImage verifies images of two layers, the bytes of which are anything. What
// it cannot verify it has to say in one of the package's errors, and soon.
func FuzzImage(f *testing.F) {
	good := tarOf(f, append(base(), sh("e.sh", "#!/bin/sh\nexec /app \"$@\"\n"), exe("app", arm64()),
		exe("a.jar", zipOf(f, exe("x.so", amd64()))))...)
	hides := tarOf(f, ln("app", "bin/busybox"), entry{name: "lib/.wh..wh..opq"}, hard("x", "bin/busybox"), dir("opt"), entry{name: ".wh.bin"})
	f.Add(good, hides, "/e.sh")
	f.Add(gzipOf(f, good), zstdOf(f, hides), "app")
	f.Add(hides, good, "sh")
	f.Add(tarOf(f, exe("usr/bin/x", linked(elf.EM_X86_64, "/lib/ld.so"))), []byte{}, "x -jar")
	f.Add(tarOf(f, ln("a", "b/../c"), ln("b", "/a/.."), ln("c", "a")), sparseTar(f), "/a/b/c")
	f.Fuzz(func(t *testing.T, lower, upper []byte, start string) {
		s := newStore()
		desc := s.image(t, spec{
			platform: "linux/arm64", config: ocispec.ImageConfig{Cmd: []string{start, "-jar", "/a.jar"}},
			layers: []layer{{raw: inflated(lower), plain: true}, {raw: inflated(upper), plain: true}},
		})
		ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Second, errors.New("too slow"))
		defer cancel()
		report, err := verify.Image(ctx, s, desc, verify.Options{
			Strict: []string{"opt/**"}, Assisted: func(ocispec.Platform, verify.Layer) bool { return true },
			BuildPlatform: platformOf("linux/amd64"),
		})
		if err != nil {
			if !errors.Is(err, verify.ErrFormat) && !errors.Is(err, verify.ErrLimit) && !errors.Is(err, verify.ErrDigest) {
				t.Fatalf("unexpected error: %v", err)
			}
			return
		}
		if err := verify.Text(io.Discard, report); err != nil {
			t.Fatal(err)
		}
	})
}

// inflated keeps fuzzing from having to guess checksums: an empty layer is a
// layer.
func inflated(raw []byte) []byte {
	if len(raw) == 0 {
		return make([]byte, 1024)
	}
	return raw
}

// sparseTar has a file that is large and takes no place.
func sparseTar(t testing.TB) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Name: "sparse", Mode: 0o755, Typeflag: tar.TypeReg, Format: tar.FormatGNU}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	body := buf.Bytes()
	// Old GNU sparse format: one piece of no bytes at 10 GB, which is the size.
	body[156] = 'S'
	size := []byte("\x80\x00\x00\x00\x00\x00\x00\x02\x80\x00\x00\x00") // 10 GB in base 256
	copy(body[386:], size)
	copy(body[398:], "00000000000\x00")
	copy(body[483:], size)
	fixChecksum(body)
	return body
}

func fixChecksum(block []byte) {
	copy(block[148:156], "        ")
	sum := 0
	for _, b := range block[:512] {
		sum += int(b)
	}
	copy(block[148:], []byte{'0' + byte(sum>>15&7), '0' + byte(sum>>12&7), '0' + byte(sum>>9&7), '0' + byte(sum>>6&7), '0' + byte(sum>>3&7), '0' + byte(sum&7), 0, ' '})
}
