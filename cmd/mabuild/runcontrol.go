package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/mabuild/mabuild/builder/buildkit"
)

// errKilled is why a program ended that did not do so when it was told.
var errKilled = errors.New("killed")

// control passes signals and the terminal's size on while the program runs, and calls
// ready when it does. It returns whether the program is to be killed.
func (f *runFlags) control(running context.Context, process buildkit.Process, t *terminal, ready func()) (kill bool) {
	// The signals are the program's now. One that comes in between ends mabuild, and
	// with it the program.
	signal.Reset(os.Interrupt, syscall.SIGTERM)
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, forwarded...)
	defer signal.Stop(signals)
	ready()
	t.tellSize(running, process)
	var deadline <-chan time.Time
	for {
		select {
		case <-running.Done():
			return false
		case <-deadline:
			return true
		case s := <-signals:
			if isResize(s) {
				t.tellSize(running, process)
				continue
			}
			if s == os.Interrupt || s == syscall.SIGTERM {
				if deadline != nil {
					return true
				}
				deadline = time.After(time.Duration(f.stopTimeout) * time.Second)
			}
			if number, ok := s.(syscall.Signal); ok {
				_ = process.Signal(running, number) // fails if the program has ended
			}
		}
	}
}

// heldBack is an output that waits: whoever reads a program's first words may send it a
// signal.
type heldBack struct {
	io.Writer

	until <-chan struct{}
}

func (h heldBack) Write(text []byte) (int, error) {
	<-h.until
	return h.Writer.Write(text)
}

// terminal is the one that mabuild was called from, if the program gets one.
type terminal struct {
	input, output int
	state         *term.State
}

// openTerminal makes the caller's terminal hand every key to the program.
func (f *runFlags) openTerminal() (*terminal, error) {
	t := &terminal{input: int(os.Stdin.Fd()), output: int(os.Stdout.Fd())}
	if !f.tty {
		t.output = -1
		return t, nil
	}
	if !f.interactive {
		return t, nil
	}
	if !term.IsTerminal(t.input) {
		return nil, usagef("-t with -i needs a terminal on standard input; leave -t away")
	}
	var err error
	if t.state, err = term.MakeRaw(t.input); err != nil {
		return nil, fmt.Errorf("taking over the terminal: %w", err)
	}
	return t, nil
}

func (t *terminal) restore() {
	if t.state != nil {
		_ = term.Restore(t.input, t.state)
		t.state = nil
	}
}

// tellSize gives the program's terminal the size of the caller's.
func (t *terminal) tellSize(running context.Context, process buildkit.Process) {
	if t.output < 0 {
		return
	}
	for _, fd := range []int{t.output, t.input} {
		if columns, rows, err := term.GetSize(fd); err == nil {
			_ = process.Resize(running, columns, rows) // fails if the program has ended
			return
		}
	}
}
