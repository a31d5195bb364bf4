package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/emulationtest"
	"github.com/mabuild/mabuild/emulation/host"
)

// debian registers a handler as a Debian package does, and its file.
func debian(t *testing.T, table *emulation.Table, opts host.Options, name string) emulation.Handler {
	t.Helper()
	a := arch(t, name)
	qemu, err := a.FindQEMU()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), name+"-binfmt-P")
	if err := os.Symlink(qemu, link); err != nil {
		t.Fatal(err)
	}
	h := a.Handler(link)
	h.Flags = "POF"
	if err := table.Register(h); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(opts.Sources.Systemd[1], h.Name+".conf"), "# of a package\n"+line(t, h)+":other:E::other::/other:\n")
	return h
}

// cases 20 and 23: handlers of others stay, or come back.
func TestInstallBesideOthers(t *testing.T) {
	if !emulationtest.InNamespace(t) {
		return
	}
	table := emulationtest.Table(t)
	opts := place(t)
	opts.Persist = true
	mine := debian(t, table, opts, "aarch64")
	off := debian(t, table, opts, "s390x")
	if err := table.Disable(off.Name); err != nil {
		t.Fatal(err)
	}
	off.Enabled = false
	second := mine
	second.Name = "another-arm64"
	if err := table.Register(second); err != nil {
		t.Fatal(err)
	}
	before := contents(t, table)
	want := map[string]host.Action{"aarch64": host.Kept}
	changes, err := host.Install(t.Context(), only(t, opts, "aarch64"))
	expect(t, "kept", want, changes, err)
	if notes := strings.Join(changes[0].Notes, "; "); !strings.Contains(notes, "no C: sudo") || !strings.Contains(notes, "--replace") {
		t.Errorf("notes: %q", notes)
	}
	// A handler that does nothing is not worth keeping, but it is somebody's.
	changes, err = host.Install(t.Context(), only(t, opts, "s390x"))
	if !errors.Is(err, emulation.ErrExists) || !strings.Contains(err.Error(), "switched off") || !strings.Contains(err.Error(), "--replace") {
		t.Errorf("useless: %v, %v, want ErrExists", changes, err)
	}
	if diff := cmp.Diff(before, contents(t, table)); diff != "" {
		t.Errorf("without --replace:\n%s", diff)
	}

	opts.Replace = true
	for _, action := range []host.Action{host.Replaced, host.Unchanged} {
		want := map[string]host.Action{"aarch64": action, "s390x": action}
		changes, err = host.Install(t.Context(), only(t, opts, "aarch64", "s390x"))
		expect(t, "--replace", want, changes, err)
	}
	now := contents(t, table)
	if len(now) != 2 || now[mine.Name].Flags != "POCF" || !now[off.Name].Enabled {
		t.Errorf("the table has %+v", now)
	}
	// systemd-binfmt must not bring the package's handler back at boot, nor lose
	// what else is in its file.
	at := files(t, opts.ConfigDir)
	if text := at["/qemu-aarch64.conf"]; !strings.HasPrefix(text, host.Marker) || strings.Contains(text, ":qemu-aarch64:") || !strings.Contains(text, "\n:other:") {
		t.Errorf("override: %q", text)
	}

	// After a boot without our files the old one is back: it is kept.
	changes, err = host.Uninstall(t.Context(), opts)
	expect(t, "uninstall", map[string]host.Action{"aarch64": host.Removed, "s390x": host.Removed}, changes, err)
	if diff := cmp.Diff(before, contents(t, table)); diff != "" {
		t.Errorf("after uninstall:\n%s", diff)
	}
	if at := files(t, filepath.Dir(opts.ConfigDir)); len(at) != 2 {
		t.Errorf("left: %v", at)
	}
}

// What became of our handlers in the meantime is respected.
func TestUninstallOfWhatChanged(t *testing.T) {
	if !emulationtest.InNamespace(t) {
		return
	}
	table := emulationtest.Table(t)
	opts := only(t, place(t), "aarch64", "arm", "s390x")
	opts.Replace = true
	taken := debian(t, table, opts, "aarch64")
	back := debian(t, table, opts, "s390x")
	if _, err := host.Install(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	// A boot: everything is gone, and the package's handlers are back.
	for name := range contents(t, table) {
		if err := table.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range []emulation.Handler{taken, back} {
		if err := table.Register(h); err != nil {
			t.Fatal(err)
		}
	}
	opts.Replace = false
	changes, err := host.Install(t.Context(), only(t, opts, "s390x"))
	expect(t, "after a boot", map[string]host.Action{"aarch64": host.Kept, "arm": host.Installed, "s390x": host.Kept}, changes, err)
	changes, err = host.Uninstall(t.Context(), opts)
	expect(t, "uninstall", map[string]host.Action{"aarch64": host.NotInstalled, "arm": host.Removed, "s390x": host.NotInstalled}, changes, err)
	want := map[string]emulation.Handler{taken.Name: taken, back.Name: back}
	if diff := cmp.Diff(want, contents(t, table)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// Replaced again, and then changed by somebody.
	opts.Replace = true
	if _, err := host.Install(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	changed := arch(t, "aarch64").Handler("/bin/sh")
	if err := errors.Join(table.Remove(taken.Name), table.Register(changed)); err != nil {
		t.Fatal(err)
	}
	if _, err := host.Uninstall(t.Context(), opts); err != nil {
		t.Error(err)
	}
	want[taken.Name] = changed
	if diff := cmp.Diff(want, contents(t, table)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Rosetta and the like are not touched, whatever is asked for.
func TestInstallBesideRosetta(t *testing.T) {
	if !emulationtest.InNamespace(t) {
		return
	}
	table := emulationtest.Table(t)
	a := emulationtest.Foreign(t)[0]
	opts := only(t, place(t), a.Name)
	opts.Replace, opts.Persist = true, true
	rosetta := a.Handler("/bin/sh")
	rosetta.Name = "rosetta"
	qemu := a.Handler("/bin/sh")
	for _, h := range []emulation.Handler{rosetta, qemu} {
		if err := table.Register(h); err != nil {
			t.Fatal(err)
		}
	}
	before := contents(t, table)
	changes, err := host.Install(t.Context(), opts)
	expect(t, "install", map[string]host.Action{a.Name: host.Kept}, changes, err)
	if diff := cmp.Diff(before, contents(t, table)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if at := files(t, filepath.Dir(opts.ConfigDir)); len(at) != 0 {
		t.Errorf("files: %v", at)
	}
}
