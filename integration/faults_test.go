package integration

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mabuild/mabuild/integration/testbed"
)

// shortDir is a temporary directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mabuild-it-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := removeAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// removeAll removes a directory of an engine, whose processes may write for a moment
// longer than it says that it runs.
func removeAll(dir string) error {
	var err error
	for range 100 {
		if err = os.RemoveAll(dir); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

func stopEngine(t *testing.T, env []string) {
	t.Helper()
	cmd := exec.Command(shared.binary, "engine", "stop", "--force")
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("stopping the engine: %v\n%s", err, out)
	}
}

// own gives a command an engine of its own in dir.
func own(t *testing.T, dir string, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	cmd.Env = shared.environment(filepath.Join(dir, "state"))
	return cmd
}

// enginePID is the process of the engine that the environment leads to.
func enginePID(t *testing.T, env []string) int {
	t.Helper()
	cmd := exec.Command(shared.binary, "engine", "status", "--json")
	cmd.Env = env
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var info struct{ PID int }
	if err := json.Unmarshal(out, &info); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return info.PID
}

// startAndAwait starts a command and returns when it has written text.
func startAndAwait(t *testing.T, cmd *exec.Cmd, text string) (rest func() string) {
	t.Helper()
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return func() string {
				var all strings.Builder
				for lines.Scan() {
					all.WriteString(lines.Text() + "\n")
				}
				return all.String()
			}
		}
	}
	t.Fatalf("%v ended without writing %q: %v", cmd.Args, text, cmd.Wait())
	return nil
}

const waiting = "FROM busybox\nARG TARGETARCH\nRUN echo begun on $TARGETARCH && sleep 600\n"

// TestEngineKilled is case 32: an engine that dies in the middle is a lost node, no
// tag is written and the next build works.
func TestEngineKilled(t *testing.T) {
	dir := shortDir(t)
	store := registry(t, testbed.RegistryOptions{})
	image := store.Addr + "/a:1"
	cmd := own(t, dir, command(t, "--progress=plain", "--platform", "linux/amd64,linux/arm64", "-t", image, "--push",
		project(t, map[string]string{"Dockerfile": waiting})))
	t.Cleanup(func() { stopEngine(t, cmd.Env) })
	rest := startAndAwait(t, cmd, "begun on arm64")
	if err := syscall.Kill(enginePID(t, cmd.Env), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	message := rest()
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 5 {
		t.Errorf("exit code %d, want 5\n%s", code, message)
	}
	for _, part := range []string{"lost the BuildKit daemon", "Nothing was tagged", "mabuild engine logs"} {
		if !strings.Contains(message, part) {
			t.Errorf("%q is not in the message:\n%s", part, message)
		}
	}
	awaitNoSleep(t)
	good := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN true\n"})
	res := finish(t, own(t, dir, command(t, "--platform", "linux/amd64,linux/arm64", "-t", image, "--push", good)))
	if res.code != 0 {
		t.Errorf("the next build failed: %s", res.stderr)
	}
}

// TestInterrupt is row 17 of the fault table: Ctrl-C cancels the steps, writes no
// tag, and leaves an engine that works.
func TestInterrupt(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	image := store.Addr + "/a:1"
	dir := project(t, map[string]string{"Dockerfile": waiting})
	for _, test := range []struct {
		signal os.Signal
		code   int
		text   string
	}{{os.Interrupt, 130, "interrupted"}, {syscall.SIGTERM, 143, "terminated"}} {
		t.Run(test.signal.String(), func(t *testing.T) {
			cmd := command(t, "--no-cache", "--progress=plain", "--platform", "linux/amd64,linux/s390x", "-t", image, "--push", dir)
			rest := startAndAwait(t, cmd, "begun on")
			if err := cmd.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			message := rest()
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != test.code {
				t.Errorf("exit code %d, want %d\n%s", code, test.code, message)
			}
			if !strings.HasSuffix(strings.TrimSpace(message), "mabuild: "+test.text) {
				t.Errorf("the last line does not say %q:\n%s", test.text, message)
			}
			fails(t, command(t, "inspect", "--source=registry", image), 6, "404 Not Found")
			awaitNoSleep(t)
		})
	}
}

// TestSecondInterrupt: the first waits for the steps to end, the second does not.
func TestSecondInterrupt(t *testing.T) {
	dir := shortDir(t)
	cmd := own(t, dir, command(t, "--progress=plain", project(t, map[string]string{"Dockerfile": waiting})))
	rest := startAndAwait(t, cmd, "begun on")
	pid := enginePID(t, cmd.Env)
	// A frozen engine cannot confirm that it cancelled anything.
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(pid, syscall.SIGCONT)
		stopEngine(t, cmd.Env)
	})
	for range 2 {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // two signals at once are one
	}
	started := time.Now()
	message := rest()
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 || time.Since(started) > 30*time.Second {
		t.Errorf("exit code %d after %s, want 130 at once\n%s", code, time.Since(started), message)
	}
}

// TestDiskFull is case 50.
func TestDiskFull(t *testing.T) {
	dir := shortDir(t)
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", state, "tmpfs", 0, "size=200m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(state, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	store := registry(t, testbed.RegistryOptions{})
	image := store.Addr + "/a:1"
	full := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=256\n"})
	cmd := own(t, dir, command(t, "--platform", "linux/amd64,linux/arm64", "--jobs", "1", "-t", image, "--push", full))
	t.Cleanup(func() { stopEngine(t, cmd.Env) })
	fails(t, cmd, 1, "No space left on device", "Dockerfile:2", "mabuild engine prune")
	fails(t, command(t, "inspect", "--source=registry", image), 6, "404 Not Found")
}

// TestClientDiskFull is row 8 of the fault table: no truncated file.
func TestClientDiskFull(t *testing.T) {
	dir := shortDir(t)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	big := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN dd if=/dev/urandom of=/big bs=1M count=4\n"})
	for _, output := range []string{"oci", "tar"} {
		fails(t, command(t, "--platform", "linux/amd64,linux/arm64", "-o", "type="+output+",dest="+filepath.Join(dir, "out"), big), 1, "no space left")
		left, err := os.ReadDir(dir)
		if err != nil || len(left) != 0 {
			t.Errorf("type=%s left %v, %v", output, left, err)
		}
	}
}
