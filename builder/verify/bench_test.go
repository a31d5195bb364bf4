package verify_test

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/verify"
)

// synthetic is an image like Debian's: files, programs among them, 20 kB each that
// compress to a third.
func synthetic(t testing.TB, s *store, files, programs, size int) ocispec.Descriptor {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	filler := make([]byte, 1<<20)
	for i := range filler {
		filler[i] = "etaoinshrdlu\x00\x01\x02\x03"[random.IntN(16)&random.IntN(16)]
	}
	program := linked(elf.EM_AARCH64, glibcARM64)
	var raw bytes.Buffer
	w := tar.NewWriter(&raw)
	write := func(name string, body []byte) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(body)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
	}
	write(glibcARM64[1:], arm64())
	for i := range files {
		at := random.IntN(len(filler) - size)
		body := filler[at : at+size]
		if i < programs {
			body = append(program[:len(program):len(program)], body...)
		}
		write(fmt.Sprintf("usr/share/package-%d/some/directory-%d/file-%d", i/100, i/20, i), body)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return s.image(t, spec{platform: "linux/arm64", config: run("/usr/share/package-0/some/directory-0/file-0"), layers: []layer{{raw: raw.Bytes()}}})
}

func BenchmarkImage(b *testing.B) {
	s := newStore()
	desc := synthetic(b, s, 5000, 700, 20_000)
	bench := func(opts verify.Options) func(*testing.B) {
		return func(b *testing.B) {
			if _, err := verify.Image(b.Context(), s, desc, opts); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				report, err := verify.Image(b.Context(), s, desc, opts)
				if err != nil || report.ELF != 701 || len(report.Findings) > 0 {
					b.Fatalf("%+v, %v", report, err)
				}
			}
		}
	}
	b.Run("cold", bench(verify.Options{Parallel: 1}))
	b.Run("warm", bench(verify.Options{CacheDir: b.TempDir()}))
}

// disk is a Source of one layer in a file.
type disk struct {
	*store
	layer ocispec.Descriptor
	name  string
}

func (d disk) Open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	if desc.Digest == d.layer.Digest {
		return os.Open(d.name)
	}
	return d.store.Open(ctx, desc)
}

// TestMemory verifies images in a process of its own and asks the kernel how much
// that took.
func TestMemory(t *testing.T) {
	if os.Getenv("VERIFY_MEMORY_CHILD") != "" {
		memoryChild(t)
		return
	}
	if runtime.GOOS != "linux" || testing.Short() || raceEnabled {
		t.Skip("it needs /proc, some seconds, and memory that the race detector takes")
	}
	const limit = 50 << 10 // kB
	for name, files := range map[string]int{"5,000 files": 5_000, "200,000 files": 200_000, "half a million files": 500_000} {
		t.Run(name, func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "layer.tar.gz")
			writeMany(t, image, files)
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMemory$", "-test.v")
			cmd.Env = append(os.Environ(), "VERIFY_MEMORY_CHILD="+image)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			_, after, _ := strings.Cut(string(out), "peak ")
			peak, _, _ := strings.Cut(after, " ")
			kB, err := strconv.Atoi(peak)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s", strings.TrimSpace(string(out)))
			if kB > limit {
				t.Errorf("%d kB, more than %d", kB, limit)
			}
		})
	}
}

// writeMany writes a layer of which every 7th file is a program and every 10th a
// link, with names as long as real ones. It is written as a stream: the parent has
// to be small too.
func writeMany(t *testing.T, name string, files int) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	program := arm64()
	every := max(7, files/25_000)
	for i := range files {
		h := &tar.Header{Name: fmt.Sprintf("usr/lib/node_modules/package-%d/dist/source-%d/module-%d.js", i/300, i/30, i), Mode: 0o755, Typeflag: tar.TypeReg}
		var body []byte
		switch i % every {
		case 0:
			body = program
		case 1:
			h.Typeflag, h.Linkname = tar.TypeSymlink, "../../somewhere/else"
		}
		h.Size = int64(len(body))
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func memoryChild(t *testing.T) {
	name := os.Getenv("VERIFY_MEMORY_CHILD")
	d := disk{store: newStore(), name: name}
	desc := d.fileImage(t, name, "linux/arm64")
	d.layer = layersOf(t, d.store, desc)[0]
	started := time.Now()
	report, err := verify.Image(t.Context(), d, desc, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("peak %d kB, %v, %d files, %d programs", peakMemory(t), time.Since(started).Round(time.Millisecond), report.Files, report.ELF)
}

func peakMemory(t testing.TB) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	kB, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kB
}

// BenchmarkHost verifies what this machine has in /usr, which VERIFY_HOST_DIRS
// names: usr/bin usr/lib/x86_64-linux-gnu.
func BenchmarkHost(b *testing.B) {
	dirs := os.Getenv("VERIFY_HOST_DIRS")
	if dirs == "" {
		b.Skip("set VERIFY_HOST_DIRS to directories below / to measure")
	}
	name := filepath.Join(b.TempDir(), "layer.tar.gz")
	writeHost(b, name, strings.Fields(dirs))
	d := disk{store: newStore(), name: name}
	desc := d.fileImage(b, name, "linux/"+runtime.GOARCH)
	d.layer = layersOf(b, d.store, desc)[0]
	var report *verify.Report
	for b.Loop() {
		var err error
		if report, err = verify.Image(b.Context(), d, desc, verify.Options{Parallel: 1}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/float64(report.Files)*5000, "s/5000files")
	b.ReportMetric(float64(peakMemory(b))/1024, "MB-peak")
	var text strings.Builder
	if err := verify.Text(&text, report); err != nil {
		b.Fatal(err)
	}
	b.Log(text.String())
}

func writeHost(b *testing.B, name string, dirs []string) {
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	for _, dir := range dirs {
		err := filepath.WalkDir("/"+dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			link := ""
			if info.Mode()&fs.ModeSymlink != 0 {
				if link, err = os.Readlink(path); err != nil {
					return err
				}
			}
			h, err := tar.FileInfoHeader(info, link)
			if err != nil {
				return err
			}
			h.Name = path[1:]
			if err := w.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
				return err
			}
			file, err := os.Open(path)
			if err != nil {
				return err
			}
			defer file.Close()
			_, err = io.Copy(w, file)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close(), f.Close()); err != nil {
		b.Fatal(err)
	}
}
