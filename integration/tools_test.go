package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/integration/testbed"
)

// bare is a mabuild on a machine with nothing on PATH, no cache and an engine of its
// own in dir.
func bare(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := own(t, dir, command(t, args...))
	cmd.Env = append(cmd.Env, "PATH="+filepath.Join(dir, "nothing"), "XDG_CACHE_HOME="+filepath.Join(dir, "cache"), "MABUILD_TOOLS=image")
	return cmd
}

// TestToolsFromImages: a machine without QEMU and runc takes both from images, once.
func TestToolsFromImages(t *testing.T) {
	dir := shortDir(t)
	foreign := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN uname -m > /arch\n"})
	first := bare(t, dir, "--platform", "linux/arm64,linux/s390x", "-o", filepath.Join(dir, "out"), foreign)
	t.Cleanup(func() { stopEngine(t, first.Env) })
	if res := finish(t, first); res.code != 0 {
		t.Fatal(res.stderr)
	}
	for name, want := range map[string]string{"linux_arm64": "aarch64\n", "linux_s390x": "s390x\n"} {
		if got, err := os.ReadFile(filepath.Join(dir, "out", name, "arch")); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	lock, err := os.ReadFile(filepath.Join(dir, "cache", "mabuild", "tools", "tools.lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"docker.io/tonistiigi/binfmt:latest", "docker.io/moby/buildkit:latest", "qemu-s390x", "sha256:"} {
		if !strings.Contains(string(lock), want) {
			t.Errorf("%q is not in the lock file:\n%s", want, lock)
		}
	}
	before := 0
	for _, r := range shared.bases.Requests() {
		if strings.Contains(r.Path, "/tonistiigi/") || strings.Contains(r.Path, "/moby/") {
			before++
		}
	}
	stopEngine(t, first.Env)
	if res := finish(t, bare(t, dir, "--platform", "linux/arm64", foreign)); res.code != 0 {
		t.Fatal(res.stderr)
	}
	after := 0
	for _, r := range shared.bases.Requests() {
		if strings.Contains(r.Path, "/tonistiigi/") || strings.Contains(r.Path, "/moby/") {
			after++
		}
	}
	if after != before {
		t.Errorf("the second run asked a registry for the tools %d times", after-before)
	}
}

// TestToolsOffline: what cannot be had is named, with what to do.
func TestToolsOffline(t *testing.T) {
	dir := shortDir(t)
	empty := registry(t, testbed.RegistryOptions{})
	foreign := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN true\n"})
	cmd := bare(t, dir, "--tools-image", empty.Addr+"/none:1", "--tools-image", "runc="+nowhere+"/none:1", "--platform", "linux/arm64", foreign)
	fails(t, cmd, 3, "Dockerfile:2", "linux/arm64", empty.Addr+"/none:1", "404", "apt-get install qemu-user-static", "--tools-image")
	stopEngine(t, cmd.Env)
}
