// Command measure runs a program and writes how long it took and its peak memory.
//
//	measure FILE PROGRAM [ARGUMENT]...
//
// FILE gets one JSON object: {"seconds": 1.5, "peak_kib": 40960, "cpu": 0.7, "exit": 0}. The
// program has measure's own standard output and error. Measure itself exits 0 if
// there is something to write, whatever the program did.
//
// It is a program of its own because Linux lets the peak of a new process begin at
// the size of the one that started it (exec_mmap carries the high-water mark over):
// children of the bench, which has a registry inside, would never look
// smaller than the bench.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

type result struct {
	Seconds float64 `json:"seconds"`
	PeakKiB int64   `json:"peak_kib"`
	CPU     float64 `json:"cpu"`
	Exit    int     `json:"exit"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("nothing to run: give a file for the result and a program")
	}
	cmd := exec.CommandContext(context.Background(), args[1], args[2:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	start := time.Now()
	err := cmd.Run()
	elapsed := time.Since(start)
	if cmd.ProcessState == nil {
		return fmt.Errorf("starting %q: %w", args[1], err)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return errors.New("reading the use of resources: the system doesn't tell; run it on Linux")
	}
	text, err := json.Marshal(result{
		Seconds: elapsed.Seconds(),
		PeakKiB: usage.Maxrss,
		CPU:     (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(),
		Exit:    cmd.ProcessState.ExitCode(),
	})
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return os.WriteFile(args[0], text, 0o644)
}
