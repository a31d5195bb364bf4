package integration

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/integration/testbed"
)

// nowhere is a registry that nobody serves: port 1 is tcpmux, long gone.
const nowhere = "127.0.0.1:1"

func TestBadInput(t *testing.T) {
	plain := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN true\n"})
	broken := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUM true\n"})
	empty := project(t, nil)
	tests := []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"unknown architecture", []string{"--platform", "linux/arm46", plain}, 2, []string{`"linux/arm46"`, "linux/arm64"}},
		{"empty platform", []string{"--platform", "linux/amd64,,linux/arm64", plain}, 2, []string{"empty"}},
		{"no Dockerfile", []string{empty}, 2, []string{"Dockerfile", "-f"}},
		{"no context", []string{filepath.Join(empty, "nothing")}, 2, []string{"build context", "nothing"}},
		{"context not given", nil, 2, []string{"build context is missing", "mabuild [flags] ."}},
		{"context is a file", []string{filepath.Join(plain, "Dockerfile")}, 2, []string{"not a directory"}},
		{"syntax error", []string{broken}, 1, []string{"Dockerfile:2", "unknown instruction: RUM", "did you mean RUN"}},
		{"unknown target", []string{"--target", "tset", plain}, 1, []string{"tset"}},
		{"unknown flag", []string{"--platfrom", "linux/amd64", plain}, 2, []string{"--platfrom"}},
		{"unknown output", []string{"-o", "type=ociii", plain}, 2, []string{"ociii", "local"}},
		{"push without a name", []string{"--push", plain}, 2, []string{"-t REGISTRY/NAME:TAG"}},
		{"bad name", []string{"-t", "Not A Name", plain}, 2, []string{"Not A Name"}},
		{"bad build argument", []string{"--build-arg", "=x", plain}, 2, []string{"NAME=VALUE"}},
		{"bad progress", []string{"--progress", "loud", plain}, 2, []string{"loud", "plain"}},
		{"negative jobs", []string{"--jobs", "-1", plain}, 2, []string{"--jobs"}},
		{"missing engine configuration", []string{"--engine-config", filepath.Join(empty, "none.toml"), plain}, 2, []string{"none.toml"}},
		{"unknown image", []string{"push", "not/there"}, 1, []string{"no such image", "mabuild images"}},
		{"dead node", []string{"--node", "unix:///nonexistent.sock", plain}, 5, []string{"unix:///nonexistent.sock", "--node"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fails(t, command(t, test.args...), test.code, test.says...)
		})
	}
}

func TestUnknownConfigurationKey(t *testing.T) {
	dir := project(t, map[string]string{
		"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n", "engine.toml": "[worker.oci]\nmax-paralelism = 2\n",
	})
	fails(t, command(t, "--engine-config", filepath.Join(dir, "engine.toml"), dir), 2, `line 2`, `"worker.oci.max-paralelism"`)
}

func TestUnreachableRegistries(t *testing.T) {
	base := project(t, map[string]string{"Dockerfile": "FROM " + nowhere + "/base\nRUN true\n"})
	fails(t, command(t, base), 6, nowhere, "Dockerfile:1", "can be reached")
	target := project(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
	fails(t, command(t, "-t", nowhere+"/a:1", "--push", target), 6, nowhere, "can be reached")
	fails(t, command(t, "inspect", nowhere+"/a:1"), 6, nowhere)
}

// TestUnauthorized: a registry that wants credentials which nobody has.
func TestUnauthorized(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{Middleware: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="private"`)
			w.WriteHeader(http.StatusUnauthorized)
		})
	}})
	dir := project(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
	fails(t, command(t, "--platform", "linux/amd64,linux/arm64", "-t", store.Addr+"/a:1", "--push", dir), 6, store.Addr, "docker login")
	for _, r := range store.Requests() {
		if strings.Contains(r.Path, "/manifests/1") && r.Method == http.MethodPut {
			t.Errorf("the tag was written: %+v", r)
		}
	}
}

// withoutQEMU is a mabuild on a machine without QEMU and with an engine of its own.
func withoutQEMU(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	bin, state := t.TempDir(), shortDir(t)
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(runc, filepath.Join(bin, "runc")); err != nil {
		t.Fatal(err)
	}
	cmd := command(t, args...)
	cmd.Env = append(shared.environment(filepath.Join(state, "state")), "PATH="+bin, "MABUILD_TOOLS=never")
	t.Cleanup(func() { stopEngine(t, cmd.Env) })
	return cmd
}

// TestNoQEMU is case 17: emulation is missed before anything is pulled, and only
// by platforms with a RUN of their own.
func TestNoQEMU(t *testing.T) {
	foreign := project(t, map[string]string{"Dockerfile": "FROM busybox AS base\nCOPY Dockerfile /\nRUN true\nFROM base\nRUN false\n"})
	cache := "XDG_CACHE_HOME=" + t.TempDir()
	plan := command(t, "plan", "--platform", "linux/amd64,linux/s390x", foreign) // reads what the bases are
	plan.Env = append(plan.Env, cache)
	if res := finish(t, plan); res.code != 0 {
		t.Fatalf("planning: exit code %d\n%s", res.code, res.stderr)
	}
	before := len(shared.bases.Requests())
	build := withoutQEMU(t, "--platform", "linux/amd64,linux/s390x", foreign)
	build.Env = append(build.Env, cache)
	fails(t, build, 3, "Dockerfile:3", "stage base", "linux/s390x", "qemu-user-static", "apt-get install")
	if after := len(shared.bases.Requests()); after != before {
		t.Errorf("%d requests were made to the registry of the bases", after-before)
	}
	cross := project(t, map[string]string{"Dockerfile": "FROM --platform=$BUILDPLATFORM busybox AS build\nARG TARGETARCH\n" +
		"RUN echo $TARGETARCH > /arch\nFROM busybox\nCOPY --from=build /arch /\n"})
	out := t.TempDir()
	res := finish(t, withoutQEMU(t, "--platform", "linux/amd64,linux/s390x", "-o", out, cross))
	if res.code != 0 {
		t.Fatalf("a cross build needs no QEMU: exit code %d\n%s", res.code, res.stderr)
	}
	if got, err := os.ReadFile(filepath.Join(out, "linux_s390x", "arch")); err != nil || string(got) != "s390x\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestPlatformFails is cases 33, 54 and 91: the failing platform is named with its
// step, its last lines are shown, and the tag is as it was.
func TestPlatformFails(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	image := store.Addr + "/a:1"
	good := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN true\n"})
	digest := strings.TrimSpace(mabuild(t, "--platform", "linux/amd64,linux/arm64", "-t", image, "--push", good).stdout)

	bad := project(t, map[string]string{"Dockerfile": "FROM busybox AS work\nARG TARGETARCH\n" +
		"RUN for i in $(seq 30); do echo line $i; done; [ $TARGETARCH != arm64 ]\nRUN sleep 60\n"})
	for _, mode := range []string{"plain", "quiet"} {
		res := fails(t, command(t, "--progress", mode, "--platform", "linux/amd64,linux/arm64,linux/s390x", "-t", image, "--push", bad), 1,
			"linux/arm64: ", "Dockerfile:3", "stage work", "  | line 11\n", "  | line 30\n", "exit code: 1")
		if strings.Contains(res.stderr, "  | line 10\n") {
			t.Errorf("%s: more than the last 20 lines are shown", mode)
		}
		if last := res.stderr[strings.LastIndex(res.stderr, "mabuild: "):]; strings.Contains(last, "canceled") {
			t.Errorf("%s: the error is a sibling's: %s", mode, last)
		}
	}
	if now := mabuild(t, "inspect", "--source=registry", image).stdout; !strings.Contains(now, digest) {
		t.Errorf("the tag moved from %s:\n%s", digest, now)
	}
	fresh := store.Addr + "/fresh:1"
	fails(t, command(t, "--platform", "linux/amd64,linux/arm64", "-t", fresh, "--push", bad), 1)
	fails(t, command(t, "inspect", "--source=registry", fresh), 6, "404 Not Found")
}

// TestBundledEmulator is case 18: an emulator that BuildKit would mount into the
// container, buildkit-qemu-ARCH on PATH, runs the first process of a step and none
// of its children. It does not count.
func TestBundledEmulator(t *testing.T) {
	foreign := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN /bin/busybox sh -c 'busybox env busybox true'\n"})
	cmd := withoutQEMU(t, "--platform", "linux/s390x", foreign)
	bin := ""
	for _, entry := range cmd.Env {
		if dir, ok := strings.CutPrefix(entry, "PATH="); ok {
			bin = dir
		}
	}
	qemu, err := exec.LookPath("qemu-s390x-static")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(qemu, filepath.Join(bin, "buildkit-qemu-s390x")); err != nil {
		t.Fatal(err)
	}
	fails(t, cmd, 3, "Dockerfile:2", "linux/s390x", "qemu-user-static")
}

// TestForeignFrontend lets BuildKit speak of a Dockerfile that only another frontend
// can read.
func TestForeignFrontend(t *testing.T) {
	dir := project(t, map[string]string{"Dockerfile": "# syntax=127.0.0.1:1/include/frontend:1\nINCLUDE common\nFROM busybox\n"})
	fails(t, command(t, "--platform", "linux/amd64", dir), 6, "warning: what 127.0.0.1:1/include/frontend:1 does cannot be planned", "connection refused")
}
