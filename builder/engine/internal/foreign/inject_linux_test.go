package foreign_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/builder/engine/internal/foreign"
	"github.com/mabuild/mabuild/emulation/dispatch"
)

// qemu copies the machine's QEMU for arm64.
func qemu(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("qemu-aarch64-static")
	if err != nil || !dispatch.Supported() {
		t.Skip("there is no QEMU for arm64 that can have a dispatcher")
	}
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(t.TempDir(), "qemu")
	if err := os.WriteFile(own, body, 0o755); err != nil {
		t.Fatal(err)
	}
	return own
}

func TestInject(t *testing.T) {
	dir, own := filepath.Join(t.TempDir(), "qemu"), qemu(t)
	inject := func(version string) string {
		t.Helper()
		made, err := foreign.Inject(dir, version, map[string]string{"aarch64": own})
		if err != nil {
			t.Fatal(err)
		}
		return made["aarch64"]
	}
	path := inject("1")
	body, err := os.ReadFile(path)
	if err != nil || !dispatch.Injected(body) || filepath.Base(path) != "qemu-aarch64-static" {
		t.Fatalf("%s has no dispatcher: %v", path, err)
	}
	if out, err := exec.CommandContext(t.Context(), path, "--version").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "qemu-aarch64 version") {
		t.Errorf("%s --version: %v\n%s", path, err, out)
	}
	first, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if again := inject("1"); again != path {
		t.Errorf("the same QEMU got another name: %s, %s", path, again)
	}
	if second, err := os.Stat(path); err != nil || !os.SameFile(first, second) || second.ModTime() != first.ModTime() {
		t.Errorf("the file was written again: %v", err)
	}
	other := inject("2")
	if other == path {
		t.Error("another version has the same file")
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of the old version is still there: %v", err)
	}
	// Replaced by a package's upgrade: another file under the same name.
	text, err := os.ReadFile(own)
	if err == nil {
		err = errors.Join(os.WriteFile(own+".new", text, 0o755), os.Rename(own+".new", own))
	}
	if err != nil {
		t.Fatal(err)
	}
	if inject("2") == other {
		t.Error("another QEMU has the same file")
	}
}

// TestInjectRefused: those that can have the stub get it.
func TestInjectRefused(t *testing.T) {
	dir, own := filepath.Join(t.TempDir(), "qemu"), qemu(t)
	script := filepath.Join(t.TempDir(), "qemu-arm-static")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	made, err := foreign.Inject(dir, "1", map[string]string{"aarch64": own, "arm": script, "s390x": filepath.Join(dir, "missing")})
	refused := (*dispatch.RefusedError)(nil)
	if !errors.As(err, &refused) || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), script) {
		t.Errorf("the error is %v", err)
	}
	if len(made) != 1 || made["aarch64"] == "" {
		t.Errorf("made %v", made)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
}

// BenchmarkInject is the first start of an engine, and one of the starts after that,
// on a machine with QEMU for six other architectures.
func BenchmarkInject(b *testing.B) {
	qemus := map[string]string{}
	for _, arch := range []string{"aarch64", "arm", "s390x", "ppc64le", "riscv64", "loongarch64"} {
		if path, err := exec.LookPath("qemu-" + arch + "-static"); err == nil {
			qemus[arch] = path
		}
	}
	inject := func(b *testing.B, dir string) {
		b.Helper()
		if made, err := foreign.Inject(dir, "1", qemus); err != nil || len(made) != len(qemus) {
			b.Fatal(made, err)
		}
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			dir := b.TempDir()
			b.StartTimer()
			inject(b, dir)
		}
	})
	b.Run("later", func(b *testing.B) {
		dir := b.TempDir()
		inject(b, dir)
		for b.Loop() {
			inject(b, dir)
		}
	})
}
