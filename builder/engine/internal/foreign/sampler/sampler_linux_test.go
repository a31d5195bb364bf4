package sampler

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// processDir is a process of a /proc of the test's own.
type processDir string

func (d processDir) write(t *testing.T, exe, comm, cmdline string, ticks int) {
	t.Helper()
	d.link(t, exe)
	stat := filepath.Base(string(d)) + " (" + comm + ") R 2 0 0 0 0 0 0 0 0 0 " + strconv.Itoa(ticks) + " 0 0 0 0 0 0 0 5 0"
	for name, text := range map[string]string{"stat": stat, "comm": comm + "\n", "cmdline": cmdline} {
		if err := os.WriteFile(filepath.Join(string(d), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (d processDir) link(t *testing.T, exe string) {
	t.Helper()
	link := filepath.Join(string(d), "exe")
	if err := os.Symlink(exe, link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
}

// TestExecutesWhileLookedAt: a process that executes the step's program between the
// reads of one look is neither the runtime nor a mixture of both.
func TestExecutesWhileLookedAt(t *testing.T) {
	root := t.TempDir()
	const setup, command = "/proc/self/exe\x00init\x00", "/qemu\x00/tool\x00tool\x00"
	runtime, first := processDir(filepath.Join(root, "2")), processDir(filepath.Join(root, "3"))
	for _, d := range []processDir{runtime, first} {
		if err := os.Mkdir(string(d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	runtime.write(t, "/runc", "runc", "runc\x00run\x00box\x00", 0)
	first.write(t, "/runc", "runc", "runc\x00run\x00box\x00", 0)
	s := New([]string{"/qemu"})
	s.proc, s.engine = root, 2
	w := &Watch{container: "box", cpu: true, look: func() error { return nil }, root: 2, seen: map[int]sighting{}, seconds: map[program]float64{}}
	s.watches[w] = struct{}{}
	proc := newProcfs(root)

	s.lookAt(proc, time.Second)
	first.write(t, "/memfd:runc", "runc:[2:INIT]", setup, 100)
	s.lookAt(proc, time.Second)
	first.write(t, "/memfd:runc", "runc:[2:INIT]", "", 200)
	clear(w.seen)
	s.lookAt(proc, time.Second)
	if len(w.seconds) != 0 {
		t.Errorf("the runtime's own time is the step's: %v", w.seconds)
	}

	// Who opens the command line waits until the program has been executed.
	clear(w.seen)
	cmdline := filepath.Join(string(first), "cmdline")
	if err := os.Remove(cmdline); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(cmdline, 0o600); err != nil {
		t.Fatal(err)
	}
	executed := make(chan error, 1)
	go func() {
		pipe, err := os.OpenFile(cmdline, os.O_WRONLY, 0)
		if err == nil {
			defer pipe.Close()
			first.link(t, "/qemu")
			_, err = pipe.WriteString(command)
		}
		executed <- err
	}()
	s.lookAt(proc, time.Second)
	if err := <-executed; err != nil {
		t.Fatal(err)
	}
	if len(w.seconds) != 0 {
		t.Errorf("what was executed during the look is charged as %v", w.seconds)
	}

	if err := os.Remove(cmdline); err != nil {
		t.Fatal(err)
	}
	first.write(t, "/qemu", "tool", command, 300)
	s.lookAt(proc, time.Second)
	if got := slices.Collect(maps.Keys(w.seconds)); !slices.Equal(got, []program{{name: "/tool", emulated: true}}) {
		t.Errorf("got %v", w.seconds)
	}
}
