package testbed_test

import (
	"debug/elf"
	"log/slog"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/tools"
	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/integration/testbed"
)

// TestTools makes the images with tools, and takes tools from them as mabuild does on
// a machine without QEMU and runc: by the images' real names, through a mirror of
// docker.io.
func TestTools(t *testing.T) {
	need(t, !testing.Short(), "making the images with tools takes a minute: run without -short")
	need(t, hasTools(), "the images with tools are made of a static QEMU and runc: install qemu-user-static and runc")
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	bases, err := testbed.Bases(t.Context(), testbed.Options{Images: []string{testbed.Binfmt, testbed.BuildKit}, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	defer bases.Close()
	for reference, program := range map[string]string{"tonistiigi/binfmt:latest": "usr/bin/qemu-aarch64", "moby/buildkit:latest": "usr/bin/buildkit-runc"} {
		for platform, img := range platformImages(t, bases, reference) {
			if platform != "linux/"+runtime.GOARCH {
				t.Errorf("%s is for %s", reference, platform)
			}
			checkImage(t, img, platform, nil, nil)
			checkProgram(t, img, program, nativeMachine(t))
		}
	}

	client := registry.New(registry.Options{
		Hosts:     map[string]registry.Host{"docker.io": {Mirrors: []string{bases.Addr}}},
		ConfigDir: t.TempDir(), MaxWait: time.Nanosecond,
	})
	defer client.CloseIdleConnections()
	paths, err := tools.Find(t.Context(), tools.Options{
		Mode: tools.ImageOnly, Dir: t.TempDir() + "/tools", Registry: client, Logger: logger,
	}, tools.Needs{Runc: true, QEMU: []string{"aarch64", "riscv64"}})
	if err != nil {
		t.Fatal(err)
	}
	for want, tool := range map[string]tools.Tool{
		"qemu-aarch64 version ": paths.QEMU["aarch64"], "qemu-riscv64 version ": paths.QEMU["riscv64"], "runc version ": paths.Runc,
	} {
		out, err := exec.CommandContext(t.Context(), tool.Path, "--version").CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), want) || !strings.HasPrefix(tool.Source, "docker.io/") {
			t.Errorf("%s from %s says %q (%v), want %q", tool.Path, tool.Source, out, err, want)
		}
	}
}

func nativeMachine(t *testing.T) elf.Machine {
	t.Helper()
	arch, err := emulation.Lookup(emulation.Native()[0])
	if err != nil {
		t.Fatal(err)
	}
	return arch.Machine
}

func hasTools() bool {
	_, err := exec.LookPath("/usr/bin/qemu-aarch64-static")
	if err == nil {
		_, err = exec.LookPath("runc")
	}
	return err == nil
}
