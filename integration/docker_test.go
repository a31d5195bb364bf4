package integration

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mabuild/mabuild/integration/testbed"
)

// TestDockerEngine is the story that mabuild began with: somebody else's Docker
// Engine pulls the one name and gets its own platform by itself, and each other
// one by --platform.
func TestDockerEngine(t *testing.T) {
	docker := startDocker(t)
	store := registry(t, testbed.RegistryOptions{})
	image := store.Addr + "/hello:1"
	mabuild(t, "--platform", six, "-t", image, "--push", filepath.Join("..", "examples", "hello"))

	docker(t, "pull", image)
	if got := docker(t, "run", "--rm", "--network", "none", image); got != "Hello from x86_64\n" {
		t.Errorf("without --platform the engine ran %q", got)
	}
	for platform, machine := range machines {
		// Copied out and not run: the host has no handlers, and that is the point.
		docker(t, "pull", "--platform", platform, image)
		id := strings.TrimSpace(docker(t, "create", "--platform", platform, image))
		archive := tar.NewReader(strings.NewReader(docker(t, "cp", id+":/arch", "-")))
		if _, err := archive.Next(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(archive)
		if err != nil || string(got) != machine+"\n" {
			t.Errorf("--platform %s gave %q, %v; want %q", platform, got, err, machine)
		}
		docker(t, "rm", id)
	}
}

// startDocker starts a Docker Engine of the test's own and returns its client.
func startDocker(t *testing.T) func(t *testing.T, args ...string) string {
	t.Helper()
	for _, program := range []string{"dockerd", "docker", "iptables"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is missing, and in CI this test must run: make setup", program)
			}
			t.Skipf("%s is missing: make setup installs it", program)
		}
	}
	dir := shortDir(t)
	host := "unix://" + filepath.Join(dir, "d.sock")
	_, bridgeBefore := os.Stat("/sys/class/net/docker0")
	var log bytes.Buffer
	daemon := exec.Command("dockerd", "--host", host, "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "--config-file", "", "--bridge", "none", "--iptables=false", "--ip6tables=false")
	daemon.Stdout, daemon.Stderr = &log, &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait() }()
	t.Cleanup(func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = daemon.Process.Kill()
			t.Errorf("dockerd did not end:\n%s", log.String())
		}
		if _, err := os.Stat("/sys/class/net/docker0"); err == nil && bridgeBefore != nil {
			t.Error("dockerd left the bridge docker0")
		}
	})
	run := func(ctx context.Context, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "docker", append([]string{"--host", host}, args...)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			err = fmt.Errorf("docker %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
		}
		return string(out), err
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		_, err := run(t.Context(), "version")
		if err == nil {
			break
		}
		select {
		case waitErr := <-ended:
			t.Fatalf("dockerd ended: %v\n%s", waitErr, log.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("dockerd does not answer: %v\n%s", err, log.String())
		}
	}
	return func(t *testing.T, args ...string) string {
		t.Helper()
		out, err := run(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}
