package host_test

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mabuild/mabuild/emulation/emulationtest"
	"github.com/mabuild/mabuild/emulation/host"
)

const crashVariable = "HOST_TEST_CRASH"

// A writer that is killed, whenever that is, leaves a file that systemd-binfmt
// can load, or none, and nothing that it would take for one.
func TestKilledWriter(t *testing.T) {
	if dir := os.Getenv(crashVariable); dir != "" {
		writeForEver(t, dir)
		return
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "mabuild-qemu-aarch64.conf")
	found := make(map[string]int)
	for round := range 60 {
		kill(t, dir, time.Duration(round)*100*time.Microsecond)
		text, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			found["none"]++
		case err != nil:
			t.Fatal(err)
		default:
			handlers, err := host.ParseConfig(text)
			if err != nil || len(handlers) != 1 || handlers[0].Name != "qemu-aarch64" || !strings.HasSuffix(string(text), "\n") {
				t.Fatalf("round %d: %v\n%q", round, err, text)
			}
			found[filepath.Base(handlers[0].Interpreter)[:1]]++
		}
		others, err := filepath.Glob(filepath.Join(dir, "*.conf"))
		if err != nil || len(others) > 1 {
			t.Fatalf("round %d: %v, %v", round, others, err)
		}
	}
	t.Logf("found %v", found)
}

// writeForEver writes one version of the file after the other and removes it,
// until it is killed.
func writeForEver(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "mabuild-qemu-aarch64.conf")
	a := arch(t, "aarch64")
	os.Stdout.WriteString("\nready\n")
	for {
		for _, interpreter := range []string{"/a", "/" + strings.Repeat("b", 900)} {
			text, err := host.FormatConfig(a.Handler(interpreter))
			if err == nil {
				err = host.WriteFile(path, text, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// kill starts a writer and kills it some time after its first word.
func kill(t *testing.T, dir string, after time.Duration) {
	t.Helper()
	cmd := emulationtest.Again(t, crashVariable+"="+dir)
	startAndKill(t, cmd, after)
	if code := cmd.ProcessState.ExitCode(); code != -1 {
		t.Fatalf("the writer ended by itself with %d", code)
	}
}

// startAndKill kills the command some time after it has said that it is ready;
// it may have ended by then.
func startAndKill(t *testing.T, cmd *exec.Cmd, after time.Duration) {
	t.Helper()
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for scan := bufio.NewScanner(output); scan.Scan() && scan.Text() != "ready"; {
	}
	<-time.NewTimer(after).C // the moment of the kill, not a wait for anything
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

const killVariable = "HOST_TEST_KILL"

// An install that is killed can be repeated and taken back, whenever it is
// killed: what it did to the table is in the state.
func TestKilledInstall(t *testing.T) {
	opts := only(t, place(t), "aarch64")
	opts.Persist, opts.Replace = true, true
	if dir := os.Getenv(killVariable); dir != "" {
		opts.State, opts.ConfigDir, opts.Sources.Systemd = dir+"/state", dir+"/etc", []string{dir + "/etc", dir + "/lib"}
		os.Stdout.WriteString("\nready\n")
		if _, err := host.Install(t.Context(), opts); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !emulationtest.InNamespace(t) {
		return
	}
	table := emulationtest.Table(t)
	dir := t.TempDir()
	opts.State, opts.ConfigDir, opts.Sources.Systemd = dir+"/state", dir+"/etc", []string{dir + "/etc", dir + "/lib"}
	before := debian(t, table, opts, "aarch64")
	for round := range 25 {
		// The programs that it runs to prove the handler are left behind, too.
		again := emulationtest.Again(t, killVariable+"="+dir, "TMPDIR="+t.TempDir())
		startAndKill(t, again, time.Duration(round)*2*time.Millisecond)
		for name, text := range files(t, opts.ConfigDir) {
			if handlers, err := host.ParseConfig([]byte(text)); strings.HasSuffix(name, ".conf") && (err != nil || len(handlers) != 1) {
				t.Errorf("round %d: %s: %v, %v", round, name, handlers, err)
			}
		}
		if round%2 == 0 {
			changes, err := host.Install(t.Context(), opts)
			if err != nil {
				t.Fatalf("round %d, again: %v, %v", round, changes, err)
			}
			if h, err := table.Handler(before.Name); err != nil || h.Flags != "POCF" {
				t.Fatalf("round %d: %+v, %v", round, h, err)
			}
		}
		if changes, err := host.Uninstall(t.Context(), opts); err != nil {
			t.Fatalf("round %d, uninstall: %v, %v", round, changes, err)
		}
		if h, err := table.Handler(before.Name); err != nil || h.Difference(before) != "" || !h.Enabled {
			t.Fatalf("round %d: the old handler is not back: %+v, %v", round, h, err)
		}
		if left := files(t, opts.ConfigDir); len(left) != 0 {
			t.Fatalf("round %d: left %v", round, left)
		}
	}
	if handlers, err := table.Handlers(); err != nil || len(handlers) != 1 {
		t.Errorf("the table has %v, %v", handlers, err)
	}
}
