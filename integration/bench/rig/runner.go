package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// killGrace is how long a cancelled program may take to end by itself.
const killGrace = 10 * time.Second

// Runner runs programs and measures them.
type Runner struct {
	// Measure is the path of the program measure.
	Measure string
	// Env is the whole environment of the programs.
	Env []string
	// Dir is a folder for the runner's own files. Empty: the system's temporary folder.
	Dir string
}

// Result is what one run took.
type Result struct {
	Elapsed time.Duration
	Peak    int64 // peak resident memory in bytes
	CPU     time.Duration
	Stdout  []byte // what it printed
}

// Run runs a program to its end. A program that exits with another code than 0 is
// an error with the end of its standard error.
func (r Runner) Run(ctx context.Context, args ...string) (Result, error) {
	dir, err := os.MkdirTemp(r.Dir, "measure-")
	if err != nil {
		return Result{}, fmt.Errorf("making a folder for a result: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "result")

	cmd := exec.CommandContext(ctx, r.Measure, append([]string{file}, args...)...)
	cmd.Env = r.Env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A group of their own: a cancelled run ends the program, not just measure, and
	// Ctrl-C on the terminal reaches neither before this process has decided.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killGrace
	err = cmd.Run()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	var took struct {
		Seconds float64 `json:"seconds"`
		PeakKiB int64   `json:"peak_kib"`
		CPU     float64 `json:"cpu"`
		Exit    int     `json:"exit"`
	}
	if err == nil {
		err = readJSON(file, &took)
	}
	if err == nil && took.Exit != 0 {
		err = fmt.Errorf("exit code %d", took.Exit)
	}
	if err != nil {
		return Result{}, fmt.Errorf("running %s: %w\n%s", strings.Join(args, " "), err, Tail(stderr.Bytes(), 20))
	}
	return Result{
		Elapsed: time.Duration(took.Seconds * float64(time.Second)),
		Peak:    took.PeakKiB << 10,
		CPU:     time.Duration(took.CPU * float64(time.Second)),
		Stdout:  stdout.Bytes(),
	}, nil
}

func readJSON(file string, into any) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return errors.New("measure wrote no result")
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
