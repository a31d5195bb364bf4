package tools_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
	"github.com/mabuild/mabuild/builder/tools"
)

// A child process is this test's program with these variables.
const (
	childDir   = "TOOLS_TEST_DIR"
	childImage = "TOOLS_TEST_IMAGE"
)

func TestMain(m *testing.M) {
	if os.Getenv(childDir) != "" {
		os.Exit(child())
	}
	os.Exit(m.Run())
}

// child finds QEMU for arm, logs to stderr, and prints its path.
func child() int {
	paths, err := tools.Find(context.Background(), tools.Options{
		Mode: tools.ImageOnly, Dir: os.Getenv(childDir), Images: tools.Images{QEMU: os.Getenv(childImage)},
		Registry: registry.New(registry.Options{ConfigDir: "/nowhere"}),
		Logger:   slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}, needs("arm"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Print(paths.QEMU["arm"].Path)
	return 0
}

// process is a running child.
type process struct {
	*exec.Cmd
	out bytes.Buffer
	log *bufio.Reader
}

func (b *bed) start(t *testing.T) *process {
	t.Helper()
	p := &process{Cmd: exec.CommandContext(t.Context(), os.Args[0])}
	p.Env = append(os.Environ(), childDir+"="+b.opts.Dir, childImage+"="+b.opts.Images.QEMU)
	p.Stdout = &p.out
	stderr, err := p.StderrPipe()
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p.log = bufio.NewReader(stderr)
	return p
}

// until reads the log up to a line that has the text.
func (p *process) until(t *testing.T, text string) {
	t.Helper()
	var seen strings.Builder
	for {
		line, err := p.log.ReadString('\n')
		seen.WriteString(line)
		if strings.Contains(line, text) {
			return
		}
		if err != nil {
			t.Fatalf("the process ended (%v) without %q in its log:\n%s", err, text, seen.String())
		}
	}
}

// finish waits for the end, and returns what was printed.
func (p *process) finish(t *testing.T) string {
	t.Helper()
	rest, err := io.ReadAll(p.log)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Fatalf("the process: %v\n%s", err, rest)
	}
	return p.out.String()
}

// gate is a fault that delivers half of an answer and then waits.
func gate(arrived, leave chan struct{}) registrytest.Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		recorder := &recorder{header: http.Header{}}
		next.ServeHTTP(recorder, r)
		w.Header().Set("Content-Length", fmt.Sprint(recorder.body.Len()))
		body := recorder.body.Bytes()
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		close(arrived)
		select {
		case <-leave:
			_, _ = w.Write(body[len(body)/2:])
		case <-r.Context().Done():
		}
	}
}

type recorder struct {
	header http.Header
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(int)             {}
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

// Two processes need the same tool: one fetches it, the other one waits and uses it.
func TestTwoProcesses(t *testing.T) {
	b := newBed(t, oci())
	arrived, leave := make(chan struct{}), make(chan struct{})
	b.proxy.Add(registrytest.Rule{Method: http.MethodGet, Path: registrytest.Blobs, Times: 1, Fault: gate(arrived, leave)})
	first := b.start(t)
	<-arrived
	second := b.start(t)
	second.until(t, "waiting for another process")
	close(leave)
	one, two := first.finish(t), second.finish(t)
	if one != two || filepath.Base(one) != "qemu-arm" {
		t.Errorf("the processes found %q and %q", one, two)
	}
	if n := b.proxy.Count(http.MethodGet, registrytest.Blobs); n != 2 { // each layer once
		t.Errorf("%d layers were downloaded:\n%s", n, asked(b.proxy))
	}
}

// A process is killed in the middle of a download: the next one starts anew.
func TestKilledDownload(t *testing.T) {
	b := newBed(t, oci())
	arrived := make(chan struct{})
	b.proxy.Add(registrytest.Rule{Method: http.MethodGet, Path: registrytest.Blobs, Times: 1, Fault: gate(arrived, nil)})
	killed := b.start(t)
	<-arrived
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // it was killed
	if l, err := tools.ReadLock(b.opts.Dir); err != nil || len(l.Images) > 0 {
		t.Errorf("the killed process wrote the lock file %v (%v)", l, err)
	}
	left, err := filepath.Glob(filepath.Join(b.opts.Dir, "tmp-*"))
	if err != nil || len(left) != 1 {
		t.Errorf("the killed process left %v (%v), want its folder", left, err)
	}
	paths, _ := mustFind(t, b.opts, "arm")
	if left, err = filepath.Glob(filepath.Join(b.opts.Dir, "tmp-*")); err != nil || len(left) > 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
	if got := b.start(t).finish(t); got != paths.QEMU["arm"].Path {
		t.Errorf("another process found %q, want %q", got, paths.QEMU["arm"].Path)
	}
}

// The real programs, laid out as in the images.
func TestRealPrograms(t *testing.T) {
	b := newBed(t, families()["oci zstd"])
	read := func(names ...string) []byte {
		for _, name := range names {
			if content, err := os.ReadFile(name); err == nil {
				return content
			}
		}
		unavailable(t, "there is none of "+strings.Join(names, ", ")+": install qemu-user-static and runc")
		return nil
	}
	emulator := read("/usr/bin/qemu-aarch64-static")
	runtime := read("/usr/sbin/runc", "/usr/bin/runc")
	b.store.push(t, b.opts.Images.QEMU, b.store.index(t, b.store.image(t, host(), b.store.layer(t, file{name: "usr/bin/qemu-aarch64", content: emulator}))))
	b.store.push(t, b.opts.Images.Runc, b.store.index(t, b.store.image(t, host(), b.store.layer(t, file{name: "usr/bin/buildkit-runc", content: runtime}))))
	b.opts.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	_, got := mustFind(t, b.opts, "aarch64", "runc")
	if !strings.HasPrefix(got["aarch64"], "qemu-aarch64 version ") || !strings.HasPrefix(got["runc"], "runc version ") {
		t.Errorf("got %v", got)
	}
}

// unavailable skips a test that this machine can't run; in CI it fails.
func unavailable(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}
