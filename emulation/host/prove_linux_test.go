package host_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/emulationtest"
	"github.com/mabuild/mabuild/emulation/host"
)

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
	buildLiar(t, filepath.Join(bad, "qemu-aarch64-static"))
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

// buildLiar makes a program that says that it is QEMU and runs nothing.
func buildLiar(t *testing.T, path string) {
	t.Helper()
	source := filepath.Join(t.TempDir(), "liar.go")
	write(t, source, `package main

import "os"

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		os.Stdout.WriteString("qemu-aarch64 version 9.0.0\n")
		return
	}
	os.Exit(3)
}
`)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
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
