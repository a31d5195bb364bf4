package rig_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mabuild/mabuild/integration/bench/rig"
)

// build builds the program measure.
func build(t *testing.T, name string, flags ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	args := append([]string{"build", "-buildvcs=false", "-o", path}, flags...)
	if out, err := exec.CommandContext(t.Context(), "go", append(args, "../measure")...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

func TestRun(t *testing.T) {
	r := rig.Runner{Measure: build(t, "measure"), Env: []string{"WORD=hello"}, Dir: t.TempDir()}
	result, err := r.Run(t.Context(), "/bin/sh", "-c", `echo "$WORD"; echo noise >&2`)
	if err != nil {
		t.Fatal(err)
	}
	if string(result.Stdout) != "hello\n" || result.Elapsed <= 0 {
		t.Errorf("it printed %q in %s", result.Stdout, result.Elapsed)
	}
	left, err := os.ReadDir(r.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	_, err = r.Run(t.Context(), "/bin/sh", "-c", "echo why >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "exit code 3") || !strings.Contains(err.Error(), "why") {
		t.Errorf("error %v, want exit code 3 and why", err)
	}
	if _, err = r.Run(t.Context(), "/nonexistent"); err == nil {
		t.Error("a program that isn't there was run")
	}
}

// The peak must be the program's own: a small program that this process starts
// after it has become large is still small.
func TestRunPeak(t *testing.T) {
	large := make([]byte, 128<<20)
	for i := range large {
		large[i] = byte(i)
	}
	r := rig.Runner{Measure: build(t, "measure"), Dir: t.TempDir()}
	result, err := r.Run(t.Context(), "/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	if result.Peak <= 0 || result.Peak > 32<<20 {
		t.Errorf("the peak of true is %d bytes beside a process of %d", result.Peak, len(large))
	}
}

var errEnough = errors.New("enough")

func TestRunCancelled(t *testing.T) {
	r := rig.Runner{Measure: build(t, "measure"), Dir: t.TempDir()}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	ended := make(chan error, 1)
	go func() {
		// The shell says that it runs, then waits for ever in a process of its own.
		_, err := r.Run(ctx, "/bin/sh", "-c", "/bin/echo ready >"+fifo+"; /bin/sleep 3600")
		ended <- err
	}()
	file, err := os.Open(fifo)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if line, err := bufio.NewReader(file).ReadString('\n'); err != nil {
		t.Fatalf("read %q: %v", line, err)
	}
	cancel(errEnough)
	if err := <-ended; !errors.Is(err, errEnough) {
		t.Errorf("error %v, want %v", err, errEnough)
	}
}

func TestTail(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""}, {"a\n", "a"}, {"a\nb\nc\n\n", "b\nc"}, {"a\nb", "a\nb"},
	} {
		if got := rig.Tail([]byte(test.text), 2); got != test.want {
			t.Errorf("Tail(%q) = %q, want %q", test.text, got, test.want)
		}
	}
}
