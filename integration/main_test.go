package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mabuild/mabuild/integration/testbed"
)

// lab is what all tests share: the binary, the base images and one engine.
type lab struct {
	binary string
	config string // buildkitd.toml with the mirror of docker.io
	state  string
	bases  *testbed.Registry
}

// shared is made by TestMain; tests reach it through mabuild and friends.
var shared *lab

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			fmt.Fprintln(os.Stderr, "the integration tests need root, and in CI they must run")
			os.Exit(1)
		}
		fmt.Println("skipping the integration tests: they need root, run them with sudo")
		return
	}
	code, err := setUp(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func setUp(run func() int) (code int, err error) {
	// A socket's path must be short, and a test's temporary directory is not.
	dir, err := os.MkdirTemp("", "mabuild-it-")
	if err != nil {
		return 1, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // ordinary users run the binary, too
		return 1, err
	}
	l := &lab{
		binary: filepath.Join(dir, "mabuild"), config: filepath.Join(dir, "engine.toml"), state: filepath.Join(dir, "state"),
	}
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", l.binary, "github.com/mabuild/mabuild/cmd/mabuild")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building mabuild: %w\n%s", err, out)
	}
	l.bases, err = testbed.Bases(context.Background(), testbed.Options{
		Images: []string{testbed.Busybox, testbed.Debian, testbed.Golang, testbed.Binfmt, testbed.BuildKit},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return 1, fmt.Errorf("preparing the base images: %w", err)
	}
	if err := os.WriteFile(l.config, []byte(testbed.EngineConfig(l.bases.Addr)), 0o644); err != nil {
		return 1, err
	}
	shared = l
	defer func() {
		stop := exec.Command(l.binary, "engine", "stop", "--force")
		stop.Env = l.environment(l.state)
		out, stopErr := stop.CombinedOutput()
		if stopErr != nil {
			stopErr = fmt.Errorf("stopping the engine: %w\n%s", stopErr, out)
		}
		err = errors.Join(err, stopErr, l.bases.Close(), removeAll(dir))
	}()
	return run(), nil
}

// environment is that of a user whose engine is in state. The image store and the caches
// are beside it.
func (l *lab) environment(state string) []string {
	beside := func(name string) string { return filepath.Join(filepath.Dir(state), name) }
	return append(os.Environ(),
		"MABUILD_STATE_DIR="+state, "XDG_DATA_HOME="+beside("data"), "XDG_CACHE_HOME="+beside("cache"), "DOCKER_CONFIG="+beside("docker"),
		"MABUILD_ENGINE_CONFIG="+l.config, "BUILDKIT_HOST=", "MABUILD_CI=plain")
}

// result is how a run of mabuild ended.
type result struct {
	stdout, stderr string
	code           int
}

// command is a mabuild that has not been started.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), shared.binary, args...)
	cmd.Env = shared.environment(shared.state)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	return cmd
}

// finish runs a command to its end.
func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// mabuild runs the command and expects that it succeeds.
func mabuild(t *testing.T, args ...string) result {
	t.Helper()
	res := finish(t, command(t, args...))
	if res.code != 0 {
		t.Fatalf("mabuild %s: exit code %d\n%s", strings.Join(args, " "), res.code, res.stderr)
	}
	return res
}

// fails runs the command and expects an exit code and parts of the message.
func fails(t *testing.T, cmd *exec.Cmd, code int, parts ...string) result {
	t.Helper()
	res := finish(t, cmd)
	if res.code != code {
		t.Errorf("%v: exit code %d, want %d\n%s", cmd.Args, res.code, code, res.stderr)
	}
	for _, part := range parts {
		if !strings.Contains(res.stderr, part) {
			t.Errorf("%v: %q is not in the message:\n%s", cmd.Args, part, res.stderr)
		}
	}
	if res.stdout != "" {
		t.Errorf("%v failed and wrote to standard output: %q", cmd.Args, res.stdout)
	}
	return res
}

// project is a build context with these files.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// registry is an empty one of the test's own.
func registry(t *testing.T, opts testbed.RegistryOptions) *testbed.Registry {
	t.Helper()
	r, err := testbed.NewRegistry(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

const six = "linux/amd64,linux/arm64,linux/arm/v7,linux/386,linux/ppc64le,linux/s390x"
