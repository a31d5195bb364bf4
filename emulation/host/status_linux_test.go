package host_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/emulationtest"
	"github.com/mabuild/mabuild/emulation/host"
)

// case 22: a QEMU that was upgraded or removed on disk is not the one that runs.
func TestStatusOfOldInterpreter(t *testing.T) {
	if !emulationtest.InNamespace(t) {
		return
	}
	table := emulationtest.Table(t)
	a := emulationtest.Foreign(t)[0]
	qemu, err := a.FindQEMU()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(qemu)
	if err != nil {
		t.Fatal(err)
	}
	moving := filepath.Join(t.TempDir(), "qemu-"+a.Name+"-static")
	if err := os.WriteFile(moving, content, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := table.Register(a.Handler(moving)); err != nil {
		t.Fatal(err)
	}
	check := func(when, version, code string) {
		t.Helper()
		status, err := host.Inspect(t.Context(), host.StatusOptions{})
		if err != nil || len(status.Handlers) != 1 {
			t.Fatalf("%s: %+v, %v", when, status, err)
		}
		h := status.Handlers[0]
		got := ""
		for _, v := range h.Verdicts {
			got += v.Code
		}
		if h.QEMU != version || got != code || h.Platform == "" || h.Level > emulation.Note {
			t.Errorf("%s: %+v, want QEMU %s and %q", when, h, version, code)
		}
	}
	version, err := emulation.QEMUVersion(t.Context(), qemu)
	if err != nil {
		t.Fatal(err)
	}
	check("registered", version.String(), "")
	if err := os.Remove(moving); err != nil {
		t.Fatal(err)
	}
	check("removed", version.String(), "interpreter-gone")
	script := "#!/bin/sh\necho qemu-" + a.Name + " version 99.1.2\n"
	if err := os.WriteFile(moving, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	status, err := host.Inspect(t.Context(), host.StatusOptions{})
	if err != nil || status.Handlers[0].QEMU != version.String() {
		t.Errorf("upgraded: %+v, %v", status, err)
	}
}

// case 24, seen by those who may do everything.
func TestStatusReadOnly(t *testing.T) {
	if !emulationtest.InNamespace(t) {
		return
	}
	emulationtest.Table(t)
	const readOnly = unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("", emulation.DefaultDir, "", readOnly, ""); err != nil {
		t.Fatal(err)
	}
	status, err := host.Inspect(t.Context(), host.StatusOptions{})
	if err != nil || status.Access != host.ReadOnly || status.Hint == "" || !status.Enabled {
		t.Errorf("%+v, %v", status, err)
	}
}
