package host_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
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

	// What systemd-binfmt does at boot.
	for _, a := range emulationtest.Foreign(t) {
		if err := table.Remove("qemu-" + a.Name); err != nil {
			t.Fatal(err)
		}
		handlers, err := host.ParseConfig([]byte(at["/etc/mabuild-qemu-"+a.Name+".conf"]))
		if err != nil || len(handlers) != 1 {
			t.Fatalf("%v, %v", handlers, err)
		}
		if err := table.Register(handlers[0]); err != nil {
			t.Error(err)
		}
	}
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

// case 21: what does not work when it is tried is not left behind.
func TestInstallProves(t *testing.T) {
	if !emulationtest.InNamespace(t) {
		return
	}
	table := emulationtest.Table(t)
	opts := only(t, place(t), "aarch64", "arm", "s390x", "riscv64")
	opts.Replace, opts.Persist = true, true
	replaced := debian(t, table, opts, "aarch64")
	before := contents(t, table)
	bad := t.TempDir()
	// It says that it is QEMU, and is a shell that was given a strange name.
	program := filepath.Join(t.TempDir(), "liar.go")
	write(t, program, fmt.Sprintf("package main\n\nfunc main() { println(%q) }\n", "not reached"))
	liar := filepath.Join(bad, "qemu-aarch64-static")
	write(t, program, `package main

import "os"

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		os.Stdout.WriteString("qemu-aarch64 version 9.0.0\n")
		return
	}
	os.Exit(3)
}
`)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", liar, program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	arm, err := arch(t, "arm").FindQEMU()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(arm, filepath.Join(bad, "qemu-arm-static")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(arm, filepath.Join(bad, "qemu-s390x-static")); err != nil {
		t.Fatal(err)
	}
	opts.Dirs = []string{bad}
	changes, err := host.Install(t.Context(), opts)
	want := map[string]host.Action{"aarch64": host.Failing, "arm": host.Installed, "s390x": host.Failing, "riscv64": host.Failing}
	if diff := cmp.Diff(want, outcome(changes)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, message := range []string{
		`linux/arm64: proving that programs run handler "qemu-aarch64": no usable QEMU: run: it exited with 3`,
		`linux/s390x: registering handler "qemu-s390x": no usable QEMU`, "emulates arm",
		`linux/riscv64: finding QEMU for linux/riscv64: no usable QEMU: qemu-riscv64-static and qemu-riscv64 not found`,
	} {
		if err == nil || !errors.Is(err, emulation.ErrNoQEMU) || !strings.Contains(err.Error(), message) {
			t.Errorf("error lacks %q: %v", message, err)
		}
	}
	now := contents(t, table)
	delete(now, "qemu-arm")
	if diff := cmp.Diff(before, now); diff != "" {
		t.Errorf("the table (-want +got):\n%s", diff)
	}
	if _, ok := files(t, opts.ConfigDir)["/mabuild-qemu-aarch64.conf"]; ok {
		t.Error("what does not work is persistent")
	}
	opts.Replace = false
	changes, err = host.Uninstall(t.Context(), opts)
	expect(t, "uninstall", map[string]host.Action{
		"aarch64": host.NotInstalled, "arm": host.Removed, "s390x": host.NotInstalled, "riscv64": host.NotInstalled,
	}, changes, err)
	if diff := cmp.Diff(map[string]emulation.Handler{replaced.Name: replaced}, contents(t, table)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A QEMU that has moved, and one that was installed by somebody else.
func TestInstallUpdates(t *testing.T) {
	if !emulationtest.InNamespace(t) {
		return
	}
	table := emulationtest.Table(t)
	opts := only(t, place(t), "arm")
	qemu, err := arch(t, "arm").FindQEMU()
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	if err := os.Symlink(qemu, elsewhere+"/qemu-arm-static"); err != nil {
		t.Fatal(err)
	}
	for i, want := range []host.Action{host.Installed, host.Updated, host.Unchanged, host.Updated} {
		opts.Dirs = nil
		if i == 1 || i == 2 {
			opts.Dirs = []string{elsewhere}
		}
		changes, err := host.Install(t.Context(), opts)
		expect(t, fmt.Sprint(i), map[string]host.Action{"arm": want}, changes, err)
	}
	if err := table.Disable("qemu-arm"); err != nil {
		t.Fatal(err)
	}
	changes, err := host.Install(t.Context(), opts)
	expect(t, "switched off", map[string]host.Action{"arm": host.Updated}, changes, err)
	if _, err := host.Uninstall(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	// The same by somebody else is not ours to remove.
	if err := table.Register(arch(t, "arm").Handler(qemu)); err != nil {
		t.Fatal(err)
	}
	opts.Replace = true
	changes, err = host.Install(t.Context(), opts)
	expect(t, "the same", map[string]host.Action{"arm": host.Unchanged}, changes, err)
	changes, err = host.Uninstall(t.Context(), opts)
	expect(t, "not ours", map[string]host.Action{"arm": host.NotInstalled}, changes, err)
	if len(contents(t, table)) != 1 {
		t.Error("somebody else's handler is gone")
	}
}

const concurrentVariable = "HOST_TEST_CONCURRENT"

// case 23: several processes at once.
func TestInstallConcurrently(t *testing.T) {
	opts := place(t)
	opts.Persist = true
	if dir := os.Getenv(concurrentVariable); dir != "" {
		opts.State, opts.ConfigDir = dir+"/state", dir+"/etc"
		opts.Sources.Systemd = []string{dir + "/etc"}
		changes, err := host.Install(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			fmt.Println("did", c.Arch, c.Action)
		}
		return
	}
	if !emulationtest.InNamespace(t) {
		return
	}
	table := emulationtest.Table(t)
	dir := t.TempDir()
	var children []*exec.Cmd
	var outputs []*bytes.Buffer
	for range 4 {
		cmd := emulationtest.Again(t, concurrentVariable+"="+dir)
		var output bytes.Buffer
		cmd.Stdout, cmd.Stderr = &output, &output
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		children, outputs = append(children, cmd), append(outputs, &output)
	}
	all := ""
	for i, cmd := range children {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, outputs[i])
		}
		all += outputs[i].String()
	}
	for _, a := range emulationtest.Foreign(t) {
		if n := strings.Count(all, "did "+a.Name+" installed"); n != 1 {
			t.Errorf("%s was installed %d times", a.Name, n)
		}
		if n := strings.Count(all, "did "+a.Name+" unchanged"); n != 3 {
			t.Errorf("%s was left alone %d times", a.Name, n)
		}
	}
	if got, want := len(contents(t, table)), len(emulationtest.Foreign(t)); got != want {
		t.Errorf("%d handlers, want %d", got, want)
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
