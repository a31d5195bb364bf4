package progress_test

import (
	"bytes"
	"io"
	"os"
	"testing"

	"github.com/containerd/console"

	"github.com/mabuild/mabuild/builder/progress"
)

// On a terminal the output of the first failure is shown at the end.
func TestTTY(t *testing.T) {
	for _, mode := range []progress.Mode{progress.Auto, progress.TTY} {
		t.Run(string(mode), func(t *testing.T) {
			master, name, err := console.NewPty()
			if err != nil {
				t.Skipf("no pseudo terminal: %v", err)
			}
			defer master.Close()
			if err := master.Resize(console.WinSize{Width: 100, Height: 30}); err != nil {
				t.Fatal(err)
			}
			terminal, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			drawn := make(chan []byte)
			go func() {
				text, _ := io.ReadAll(master) // ends with an error when the terminal closes
				drawn <- text
			}()
			display, err := progress.New(terminal, mode)
			if err != nil {
				t.Fatal(err)
			}
			with(display, "linux/amd64", started("a", 1), completed("a", 1, 2, "context canceled"))
			with(display, "linux/arm64", started(compile, 1), logged(compile, 2, "no such file\n"), completed(compile, 1, 2, "exit code: 1"))
			with(display, "linux/s390x", started("b", 1), completed("b", 1, 2, "exit code: 2"))
			if err := display.Close(); err != nil {
				t.Fatal(err)
			}
			for job, want := range map[string]bool{"linux/amd64": false, "linux/arm64": true, "linux/s390x": false} {
				if got := display.ShowsOutputOf(job); got != want {
					t.Errorf("the output of %s is shown: %t", job, got)
				}
			}
			if err := terminal.Close(); err != nil {
				t.Fatal(err)
			}
			text := <-drawn
			for _, want := range []string{"[linux/arm64 build 2/2] RUN make", "no such file"} {
				if !bytes.Contains(text, []byte(want)) {
					t.Errorf("%q is not drawn:\n%q", want, text)
				}
			}
			if bytes.Contains(text, []byte("exit code: 2")) {
				t.Errorf("the second failure is drawn:\n%q", text)
			}
		})
	}
}
