package host_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/emulationtest"
	"github.com/mabuild/mabuild/emulation/host"
)

// place is where a test's installation goes: nothing of it is the machine's.
func place(t *testing.T) host.Options {
	t.Helper()
	dir := t.TempDir()
	return host.Options{
		State: dir + "/state/emulation.json", ConfigDir: dir + "/etc",
		Sources: host.Sources{
			Systemd: []string{dir + "/etc", dir + "/lib"},
			Support: dir + "/binfmts", Offered: dir + "/share",
		},
	}
}

func only(t *testing.T, opts host.Options, names ...string) host.Options {
	t.Helper()
	for _, name := range names {
		opts.Platforms = append(opts.Platforms, arch(t, name).Platform)
	}
	return opts
}

// outcome is what was done, without the architectures that nothing was done for.
func outcome(changes []host.Change) map[string]host.Action {
	out := make(map[string]host.Action)
	for _, c := range changes {
		if c.Action != host.Native {
			out[c.Arch] = c.Action
		}
	}
	return out
}

func everywhere(t *testing.T, action host.Action) map[string]host.Action {
	t.Helper()
	out := make(map[string]host.Action)
	for _, a := range emulationtest.Foreign(t) {
		out[a.Name] = action
	}
	return out
}

func expect(t *testing.T, what string, want map[string]host.Action, changes []host.Change, err error) {
	t.Helper()
	if diff := cmp.Diff(want, outcome(changes)); err != nil || diff != "" {
		t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
	}
}

// contents is the whole table.
func contents(t *testing.T, table *emulation.Table) map[string]emulation.Handler {
	t.Helper()
	handlers, err := table.Handlers()
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]emulation.Handler)
	for _, h := range handlers {
		out[h.Name] = h
	}
	return out
}

// files is what is in a directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == dir {
			return nil
		}
		if err != nil || entry.IsDir() || strings.HasSuffix(path, ".lock") {
			return err
		}
		text, err := os.ReadFile(path)
		out[strings.TrimPrefix(path, dir)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// cases 19, 23 and 30: install is idempotent, comes back at boot, leaves the
// machine's own architecture alone, and uninstall takes everything back.
func TestInstall(t *testing.T) {
	if !emulationtest.InNamespace(t) {
		return
	}
	table := emulationtest.Table(t)
	opts := place(t)
	opts.Persist = true
	jar := emulation.Handler{Name: "jar", Interpreter: "/bin/sh", Extension: "jar", Enabled: true}
	if err := table.Register(jar); err != nil {
		t.Fatal(err)
	}
	changes, err := host.Install(t.Context(), opts)
	expect(t, "the first time", everywhere(t, host.Installed), changes, err)
	installed := contents(t, table)
	for _, a := range emulation.Arches() {
		h, ok := installed["qemu-"+a.Name]
		if ok == a.Native() || ok && h.Flags != "POCF" {
			t.Errorf("%s: %+v", a.Name, h)
		}
	}
	at := files(t, filepath.Dir(opts.ConfigDir))
	if len(at) != len(installed)-1+1 { // without jar, with the state
		t.Errorf("files: %v", at)
	}
	changes, err = host.Install(t.Context(), opts)
	expect(t, "the second time", everywhere(t, host.Unchanged), changes, err)
	if diff := cmp.Diff(installed, contents(t, table)); diff != "" {
		t.Errorf("the second time changed:\n%s", diff)
	}
	if diff := cmp.Diff(at, files(t, filepath.Dir(opts.ConfigDir))); diff != "" {
		t.Errorf("the second time changed files:\n%s", diff)
	}

	boot(t, table, at)
	status, err := host.Inspect(t.Context(), host.StatusOptions{State: opts.State, Sources: opts.Sources})
	if err != nil || len(status.Missing) != 0 || status.Access != host.Writable {
		t.Errorf("status: %+v, %v", status, err)
	}
	for _, h := range status.Handlers {
		if h.Name != "jar" && (h.Owner.Name != host.OwnerMabuild || h.Level != emulation.OK || h.QEMU == "") {
			t.Errorf("%+v", h)
		}
	}

	changes, err = host.Uninstall(t.Context(), only(t, opts, "riscv64", "x86_64"))
	expect(t, "uninstall one", map[string]host.Action{"riscv64": host.Removed, "x86_64": host.NotInstalled}, changes, err)
	changes, err = host.Install(t.Context(), only(t, opts, "riscv64", "arm"))
	expect(t, "install one", map[string]host.Action{"riscv64": host.Installed, "arm": host.Unchanged}, changes, err)
	changes, err = host.Uninstall(t.Context(), opts)
	expect(t, "uninstall", everywhere(t, host.Removed), changes, err)
	if diff := cmp.Diff(map[string]emulation.Handler{"jar": jar}, contents(t, table)); diff != "" {
		t.Errorf("left in the table:\n%s", diff)
	}
	if left := files(t, filepath.Dir(opts.ConfigDir)); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	changes, err = host.Uninstall(t.Context(), opts)
	expect(t, "uninstall nothing", map[string]host.Action{}, changes, err)
}

// boot does what systemd-binfmt does at boot, with the files.
func boot(t *testing.T, table *emulation.Table, files map[string]string) {
	t.Helper()
	for _, a := range emulationtest.Foreign(t) {
		if err := table.Remove("qemu-" + a.Name); err != nil {
			t.Fatal(err)
		}
		handlers, err := host.ParseConfig([]byte(files["/etc/mabuild-qemu-"+a.Name+".conf"]))
		if err != nil || len(handlers) != 1 {
			t.Fatalf("%v, %v", handlers, err)
		}
		if err := table.Register(handlers[0]); err != nil {
			t.Error(err)
		}
	}
}

// case 24: what is wrong with the table is said before anything is done.
func TestInstallWithoutTable(t *testing.T) {
	if !emulationtest.InNamespace(t) {
		return
	}
	opts := only(t, place(t), "arm")
	emulationtest.Table(t)
	if err := unix.Unmount(emulation.DefaultDir, 0); err != nil {
		t.Fatal(err)
	}
	// Something may be mounted below, from outside.
	opts.Table = t.TempDir()
	_, err := host.Install(t.Context(), opts)
	if !errors.Is(err, emulation.ErrNotMounted) || !strings.Contains(err.Error(), "--mount") {
		t.Errorf("not mounted: %v", err)
	}
	changes, err := host.Uninstall(t.Context(), opts)
	expect(t, "uninstall, not mounted", map[string]host.Action{"arm": host.NotInstalled}, changes, err)
	opts.Mount = true
	changes, err = host.Install(t.Context(), opts)
	expect(t, "--mount", map[string]host.Action{"arm": host.Installed}, changes, err)
	const readOnly = unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("", opts.Table, "", readOnly, ""); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() ([]host.Change, error){
		"install":   func() ([]host.Change, error) { return host.Install(t.Context(), opts) },
		"uninstall": func() ([]host.Change, error) { return host.Uninstall(t.Context(), opts) },
	} {
		if _, err := do(); !errors.Is(err, emulation.ErrReadOnly) {
			t.Errorf("%s, read-only: %v", name, err)
		}
	}
	if err := unix.Unmount(opts.Table, 0); err != nil {
		t.Fatal(err)
	}
}

func TestInstallErrors(t *testing.T) {
	opts := place(t)
	opts.Platforms = []ocispec.Platform{{OS: "windows", Architecture: "amd64"}}
	for _, do := range []func() ([]host.Change, error){
		func() ([]host.Change, error) { return host.Install(t.Context(), opts) },
		func() ([]host.Change, error) { return host.Uninstall(t.Context(), opts) },
	} {
		if changes, err := do(); !errors.Is(err, emulation.ErrUnsupported) || changes != nil {
			t.Errorf("%v, %v", changes, err)
		}
	}
	opts.Platforms = nil
	opts.Table = t.TempDir()
	write(t, opts.Table+"/register", "")
	write(t, opts.Table+"/status", "disabled\n")
	if _, err := host.Install(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "switched off") {
		t.Errorf("switched off: %v", err)
	}
	write(t, opts.Table+"/status", "enabled\n")
	write(t, opts.State, "garbage")
	if _, err := host.Install(t.Context(), opts); err == nil || !strings.Contains(err.Error(), opts.State) {
		t.Errorf("bad state: %v", err)
	}
	if text, err := os.ReadFile(opts.State); err != nil || string(text) != "garbage" {
		t.Errorf("the bad state was changed to %q, %v", text, err)
	}
	if err := os.Remove(opts.State); err != nil {
		t.Fatal(err)
	}
	// case 17: nothing to install is a failure, too.
	opts.Dirs = []string{t.TempDir()}
	if changes, err := host.Install(t.Context(), opts); !errors.Is(err, emulation.ErrNoQEMU) {
		t.Errorf("no QEMU at all: %v, %v", changes, err)
	}
}
