package foreign

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/emulation/emulationtest"
)

// testRecord is what the stub writes for /tool: a program of an unknown build-id, or
// a native one.
func testRecord(kind byte) []byte {
	record := make([]byte, 128)
	copy(record, "MBX1")
	record[4], record[5] = kind, 20
	copy(record[64:], "/tool")
	return record
}

func newTestLog(t *testing.T) (logs, *stepLog) {
	t.Helper()
	all, err := newLogs(filepath.Join(t.TempDir(), "steps"))
	if err != nil {
		t.Fatal(err)
	}
	log, err := all.create("container")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.remove(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(all.dir); err != nil || len(left) != 0 {
			t.Errorf("left is %v, %v", left, err)
		}
	})
	return all, log
}

func writer(t *testing.T, log *stepLog) *os.File {
	t.Helper()
	file, err := os.OpenFile(log.path(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

func write(t *testing.T, file *os.File, text []byte) {
	t.Helper()
	if _, err := file.Write(text); err != nil {
		t.Fatal(err)
	}
}

// TestLogIsEmptiedWhileItIsWritten: a step may write more than there is room for.
func TestLogIsEmptiedWhileItIsWritten(t *testing.T) {
	if !emulationtest.InNamespace(t) {
		return
	}
	_, log := newTestLog(t)
	file := writer(t, log)
	const rounds, each = 40, 4096
	for range rounds { // 20 MiB in all
		for range each - 1 {
			write(t, file, testRecord('U'))
		}
		write(t, file, testRecord('N'))
		if err := log.drain(drainAt); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.drain(0); err != nil {
		t.Fatal(err)
	}
	var step dispatch.Step
	log.fill(&step)
	if step.Hits != rounds || step.Misses[dispatch.Unknown] != rounds*(each-1) || step.Partial {
		t.Errorf("counted %+v", step)
	}
}

// TestHostileLog: nothing that a step does to its log is more than lost records.
func TestHostileLog(t *testing.T) {
	if !emulationtest.InNamespace(t) {
		return
	}
	_, log := newTestLog(t)
	file := writer(t, log)
	garbage := []byte(strings.Repeat("MBX1 no record ", 1<<16))
	full := false
	for range 2 * logSize / len(garbage) {
		if _, err := file.Write(garbage); errors.Is(err, syscall.ENOSPC) {
			full = true
		}
	}
	if !full {
		t.Error("the log has no bound")
	}
	if err := log.drain(0); err != nil {
		t.Fatal(err)
	}
	// A hole of a terabyte, then a record.
	if err := file.Truncate(1 << 40); err != nil {
		t.Fatal(err)
	}
	if err := log.drain(0); err != nil {
		t.Fatal(err)
	}
	write(t, file, testRecord('N'))
	if err := log.drain(0); err != nil {
		t.Fatal(err)
	}
	// Truncated, and written anew.
	if err := file.Truncate(0); err != nil {
		t.Fatal(err)
	}
	write(t, file, testRecord('N'))
	if err := log.drain(0); err != nil {
		t.Fatal(err)
	}
	var step dispatch.Step
	log.fill(&step)
	if step.Hits != 2 || !step.Partial {
		t.Errorf("counted %+v", step)
	}
}

// TestLogsOfAKilledEngine: its mounts are gone, its directories are not.
func TestLogsOfAKilledEngine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "steps")
	if err := os.MkdirAll(filepath.Join(dir, "container"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := newLogs(dir); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left is %v, %v", left, err)
	}
}
