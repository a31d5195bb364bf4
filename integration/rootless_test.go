package integration

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/emulation/emulationtest"
	"github.com/mabuild/mabuild/integration/testbed"
)

// account makes an ordinary user for the test and returns what runs a command as
// that user, from a clean environment.
func account(t *testing.T, useradd ...string) func(cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	name := fmt.Sprintf("mabuild-it-%d-%d", os.Getpid(), len(t.Name()))
	home := filepath.Join(shortDir(t), "home")
	if err := os.Chmod(filepath.Dir(home), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("useradd", append(useradd, "--create-home", "--home-dir", home, name)...).CombinedOutput()
	if err != nil {
		t.Fatalf("useradd: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		// The engine's last process ends a moment after it lets go of its lock.
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			out, err := exec.Command("userdel", name).CombinedOutput()
			if err == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("userdel: %v\n%s", err, out)
				return
			}
		}
	})
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	as := func(cmd *exec.Cmd) *exec.Cmd {
		cmd.Env = []string{"HOME=" + home, "USER=" + name, "PATH=" + os.Getenv("PATH"), "MABUILD_ENGINE_CONFIG=" + shared.config}
		cmd.Dir = home
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		return cmd
	}
	t.Cleanup(func() {
		if out, err := as(exec.Command(shared.binary, "engine", "stop", "--force")).CombinedOutput(); err != nil {
			t.Errorf("stopping the user's engine: %v\n%s", err, out)
		}
	})
	return as
}

// readable lets every user read what root made for the test.
func readable(t *testing.T, dir string) string {
	t.Helper()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func as(t *testing.T, who func(*exec.Cmd) *exec.Cmd, args ...string) result {
	t.Helper()
	res := finish(t, who(command(t, args...)))
	if res.code != 0 {
		t.Fatalf("mabuild %s: exit code %d\n%s", strings.Join(args, " "), res.code, res.stderr)
	}
	return res
}

// TestOrdinaryUser: a user made by useradd builds, pushes and runs six platforms,
// and the host's handlers are the same before and after.
func TestOrdinaryUser(t *testing.T) {
	before := emulationtest.HostTable(t)
	user := account(t)
	store := registry(t, testbed.RegistryOptions{})
	image := store.Addr + "/rootless:1"
	hello := copyTree(t, filepath.Join("..", "examples", "hello"))
	built := as(t, user, "--platform", six, "-t", image, "--push", "--progress=plain", hello)
	if want := "Emulation: QEMU "; !strings.Contains(built.stderr, want) || !strings.Contains(built.stderr, "private handlers") {
		t.Errorf("the log does not name the way of emulation:\n%s", built.stderr)
	}
	checkIndex(t, image, strings.TrimSpace(built.stdout), six)

	runner := readable(t, project(t, map[string]string{"Dockerfile": "FROM " + image + "\nUSER 1234:5678\nRUN test $(id -u):$(id -g) = 1234:5678 && cat /arch\n"}))
	ran := as(t, user, "--platform", six, "--progress=plain", runner)
	for platform, machine := range machines {
		if !strings.Contains(ran.stderr, " "+machine+"\n") {
			t.Errorf("%s did not say %q", platform, machine)
		}
	}
	if status := as(t, user, "engine", "status").stdout; !strings.Contains(status, "a range of /etc/subuid") {
		t.Errorf("the engine's status does not say how ids are mapped:\n%s", status)
	}
	if diff := cmp.Diff(before, emulationtest.HostTable(t)); diff != "" {
		t.Errorf("the host's binfmt_misc changed (-before +after):\n%s", diff)
	}
}

// TestOrdinaryUserInstallsPackages: maintainer scripts, su and sudo under emulation
// (case 20: sudo needs a handler with the C flag).
func TestOrdinaryUserInstallsPackages(t *testing.T) {
	t.Parallel()
	user := account(t)
	dir := readable(t, project(t, map[string]string{"Dockerfile": `FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends sudo && rm -rf /var/lib/apt/lists/*
RUN useradd -m worker && echo 'worker ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/worker
RUN su worker -c 'test $(id -un) = worker && sudo id -u > /home/worker/uid' && test $(cat /home/worker/uid) = 0
USER worker
RUN test $(sudo id -un) = root && test $(id -un) = worker
`}))
	as(t, user, "--platform", "linux/arm64", dir)
}

// TestSingleID: without a range of subordinate ids, images with files of root alone
// work, and what does not work is said.
func TestSingleID(t *testing.T) {
	user := account(t, "--key", "SUB_UID_COUNT=0", "--key", "SUB_GID_COUNT=0")
	hello := copyTree(t, filepath.Join("..", "examples", "hello"))
	built := as(t, user, "--platform", "linux/amd64,linux/arm64", hello)
	for _, want := range []string{"/etc/subuid has no range", "usermod --add-subuids", "files of root alone"} {
		if !strings.Contains(built.stderr, want) {
			t.Errorf("%q is not in the warning:\n%s", want, built.stderr)
		}
	}
	if status := as(t, user, "engine", "status").stdout; !strings.Contains(status, "root alone") {
		t.Errorf("the engine's status does not say how ids are mapped:\n%s", status)
	}
}

// copyTree is a copy of a directory that other users can read.
func copyTree(t *testing.T, dir string) string {
	t.Helper()
	target := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(target, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return readable(t, target)
}

// TestNamespacesForbidden: what the kernel refuses is explained.
func TestNamespacesForbidden(t *testing.T) {
	dir := shortDir(t)
	script := `mount -t proc proc /proc 2>/dev/null; echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" "$@"`
	cmd := command(t, append([]string{"--user", "--map-root-user", "--mount", "--", "sh", "-c", script, shared.binary}, "engine", "du")...)
	cmd.Path, cmd.Args[0] = "/usr/bin/unshare", "unshare"
	fails(t, own(t, dir, cmd), 5, "User namespaces are switched off", "sysctl user.max_user_namespaces", "--node")
}

// TestNoexecState: a state directory from which nothing can be run is refused.
func TestNoexecState(t *testing.T) {
	dir := shortDir(t)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NOEXEC, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	fails(t, own(t, dir, command(t, "engine", "du")), 5, "noexec", "MABUILD_STATE_DIR")
}

// TestWaysOfEmulation: host and off need what the host does not have, and say so.
func TestWaysOfEmulation(t *testing.T) {
	if len(emulationtest.HostTable(t)) != 0 {
		t.Skip("the host has handlers of its own; this test is about one without")
	}
	dir := shortDir(t)
	foreign := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN true\n"})
	env := own(t, dir, command(t)).Env
	t.Cleanup(func() { stopEngine(t, env) })
	fails(t, own(t, dir, command(t, "--emulation=host", "--platform", "linux/arm64", foreign)), 3, "the host has no usable handler", "mabuild emulation install arm64")
	fails(t, own(t, dir, command(t, "--emulation=off", "--platform", "linux/arm64", foreign)), 3, "--emulation=off")
	fails(t, command(t, "--emulation=maybe", foreign), 2, "auto, private, host or off")
	for _, way := range []string{"private", "auto"} {
		if res := finish(t, own(t, dir, command(t, "--emulation="+way, "--platform", "linux/arm64", foreign))); res.code != 0 {
			t.Errorf("--emulation=%s: %s", way, res.stderr)
		}
	}
}

// TestEmulatorCrash is case 26: a crash of QEMU is told from a crash of a program.
func TestEmulatorCrash(t *testing.T) {
	dir := project(t, map[string]string{"Dockerfile": "FROM busybox AS work\nRUN sh -c 'kill -SEGV $$'; exit $?\n"})
	crashed := fails(t, command(t, "--platform", "linux/arm64", "--retry-emulated", "2", dir), 1,
		"Dockerfile:2", "the emulator crashed (QEMU ", "uncaught target signal 11", "another version of QEMU", "--node", "try 2, of 2")
	if strings.Contains(crashed.stderr, "try=3") {
		t.Error("the step was tried more often than asked for")
	}
	if native := fails(t, command(t, "--platform", "linux/amd64", dir), 1, "exit code: 139"); strings.Contains(native.stderr, "emulator") {
		t.Errorf("a native crash is blamed on the emulator:\n%s", native.stderr)
	}
}

// TestIdleTimeout is case 27.
func TestIdleTimeout(t *testing.T) {
	dir := project(t, map[string]string{"Dockerfile": "FROM busybox AS work\nWORKDIR /x\nARG TARGETARCH\nRUN echo hi; [ $TARGETARCH = amd64 ] || sleep 600\n"})
	fails(t, command(t, "--platform", "linux/amd64,linux/arm64", "--idle-timeout", "10s", dir), 1,
		"linux/arm64: Dockerfile:4: ", "printed nothing for 10s", "  | hi")
	awaitNoSleep(t)
}

// TestHandlerVanishes is cases 19 and 25: a handler that goes away under a running
// engine is back for the next build, and the engine keeps its cache.
func TestHandlerVanishes(t *testing.T) {
	dir := shortDir(t)
	foreign := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN true\nARG AGAIN\nRUN echo $AGAIN\n"})
	first := own(t, dir, command(t, "--platform", "linux/arm64", foreign))
	t.Cleanup(func() { stopEngine(t, first.Env) })
	if res := finish(t, first); res.code != 0 {
		t.Fatal(res.stderr)
	}
	pid := enginePID(t, first.Env)
	remove := exec.Command("nsenter", "--target", strconv.Itoa(pid), "--user", "--mount", "--preserve-credentials",
		"sh", "-c", "for h in /proc/sys/fs/binfmt_misc/*aarch64*; do echo -1 > $h; done")
	if out, err := remove.CombinedOutput(); err != nil {
		t.Fatalf("removing the handler: %v\n%s", err, out)
	}
	res := finish(t, own(t, dir, command(t, "--progress=plain", "--build-arg", "AGAIN=1", "--platform", "linux/arm64", foreign)))
	if res.code != 0 || !strings.Contains(res.stderr, "CACHED") {
		t.Errorf("the next build: exit code %d\n%s", res.code, res.stderr)
	}
	if now := enginePID(t, first.Env); now != pid {
		t.Errorf("engine %d was replaced by %d", pid, now)
	}
	if log, _ := os.ReadFile(filepath.Join(dir, "state", "engine.log")); !strings.Contains(string(log), "again: it was missing") {
		t.Errorf("the log does not tell of the repair:\n%s", log)
	}
}

// TestExecFormatError is case 17's text when it comes in the middle of a build after
// all: a program of yet another platform.
func TestExecFormatError(t *testing.T) {
	// The head of an ELF program for DEC Alpha, e_machine 0x9026, which has no QEMU here.
	alpha := "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x02\x00\x26\x90\x01\x00\x00\x00" + strings.Repeat("\x00", 40)
	dir := project(t, map[string]string{"prog": alpha, "Dockerfile": "FROM busybox AS work\nCOPY --chmod=755 prog /prog\nRUN [\"/prog\"]\n"})
	fails(t, command(t, "--platform", "linux/arm64", dir), 3, "linux/arm64: Dockerfile:3", "stage work", "programs of linux/arm64 cannot be run", "exec format error", "mabuild emulation status")
	fails(t, command(t, "--platform", "linux/amd64", dir), 1, "linux/amd64: Dockerfile:3", "exec format error", "is not made for linux/amd64")
}

// TestDirectoryOffsets is case 28: the known fault of 32-bit programs is explained
// where they are emulated, and nowhere else.
func TestDirectoryOffsets(t *testing.T) {
	dir := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo 'error: Value too large for defined data type (os error 75)'; false\n"})
	fails(t, command(t, "--platform", "linux/arm/v7", dir), 1, "linux/arm/v7: Dockerfile:2", "64-bit directory offsets", "--mount=type=tmpfs")
	if native := fails(t, command(t, "--platform", "linux/amd64", dir), 1); strings.Contains(native.stderr, "QEMU") {
		t.Errorf("a native failure is blamed on the emulator:\n%s", native.stderr)
	}
}

// TestHostHandlers builds with handlers that are not the engine's own: in a namespace
// that stands for a host, with fewer ids than a machine has, as in a container.
func TestHostHandlers(t *testing.T) {
	before := emulationtest.HostTable(t)
	dir := shortDir(t)
	foreign := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN uname -m > /arch\n"})
	out := filepath.Join(dir, "out")
	script := `set -e
mount --make-rprivate /
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
m=$1 context=$2 out=$3
"$m" emulation install arm64 >&2
"$m" --emulation=host --platform linux/arm64 --progress=plain -o "$out" "$context"
"$m" engine status
"$m" --platform linux/arm64,linux/s390x --progress=plain "$context" # the host lacks s390x: private handlers
"$m" engine stop`
	cmd := own(t, dir, command(t, "-c", script, "sh", shared.binary, foreign, out))
	cmd.Path, cmd.Args[0] = "/bin/sh", "sh"
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65536}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true,
	}
	res := finish(t, cmd)
	if res.code != 0 {
		t.Fatalf("exit code %d\n%s", res.code, res.stderr)
	}
	if got, err := os.ReadFile(filepath.Join(out, "arch")); err != nil || string(got) != "aarch64\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if !strings.Contains(res.stderr, "(the host's handlers)") || !strings.Contains(res.stderr, "(private handlers)") || !strings.Contains(res.stdout, "the host's binfmt_misc as it is") {
		t.Errorf("the way is not named:\n%s\n%s", res.stderr, res.stdout)
	}
	if diff := cmp.Diff(before, emulationtest.HostTable(t)); diff != "" {
		t.Errorf("the machine's binfmt_misc changed (-before +after):\n%s", diff)
	}
}
