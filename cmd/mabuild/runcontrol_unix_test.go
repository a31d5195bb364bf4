//go:build unix

package main

import (
	"context"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/mabuild/mabuild/builder/buildkit"
)

// signalled is a program that takes signals.
type signalled chan os.Signal

func (s signalled) Signal(_ context.Context, number syscall.Signal) error {
	s <- number
	return nil
}

func (signalled) Resize(context.Context, int, int) error { return nil }

// TestOutputAfterControl: who has read a word of the program can send it a signal.
func TestOutputAfterControl(t *testing.T) {
	controlled := make(chan struct{})
	from, to := io.Pipe()
	go func() { _, _ = heldBack{to, controlled}.Write([]byte("up")) }()
	running, end := context.WithCancelCause(t.Context())
	got := make(signalled, 1)
	ended := make(chan bool)
	go func() {
		time.Sleep(50 * time.Millisecond) // the program is faster
		ended <- (&runFlags{stopTimeout: 600}).control(running, got, &terminal{output: -1}, func() { close(controlled) })
	}()
	if _, err := io.ReadFull(from, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != syscall.SIGTERM {
		t.Errorf("the program gets %v", s)
	}
	end(nil)
	if <-ended {
		t.Error("a program that has ended is to be killed")
	}
}

var _ buildkit.Process = signalled(nil)
