package integration

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// awaitProcess returns when a process with that in its command line runs, with its id, or
// when none does any more.
func awaitProcess(t *testing.T, text string, running bool) (pid int) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		pid = 0
		files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range files {
			if body, _ := os.ReadFile(file); strings.Contains(string(body), text) {
				pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(file)))
			}
		}
		if running == (pid != 0) {
			return pid
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q in the command line of process %d, after two minutes", text, pid)
		}
	}
}

// waitingStep is a command of a Dockerfile that goes on when its process is ended, which
// awaitProcess finds by what is in its command line.
func waitingStep() (command, process string) {
	seconds := strconv.Itoa(1_000_000_000 + rand.IntN(1_000_000_000)) //nolint:gosec // only has to differ
	return "{ sleep " + seconds + " || true; }", "sleep\x00" + seconds + "\x00"
}

// endStep lets it go on.
func endStep(t *testing.T, process string) {
	t.Helper()
	if err := syscall.Kill(awaitProcess(t, process, true), syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

// sleepProcess is in the command line of the step that tests cancel.
const sleepProcess = "sleep\x00600\x00"

// awaitNoSleep returns when the steps of a cancelled build are gone.
func awaitNoSleep(t *testing.T) {
	t.Helper()
	awaitProcess(t, sleepProcess, false)
}
