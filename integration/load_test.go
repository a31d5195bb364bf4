package integration

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/integration/testbed"
)

// TestLoad brings images of the store into a real Docker Engine, without the docker
// command, and joins what that Engine then pulls.
func TestLoad(t *testing.T) {
	docker := startDocker(t)
	host := strings.TrimSpace(docker(t, "context", "inspect", "default", "--format", "{{.Endpoints.docker.Host}}"))
	load := func(args ...string) *exec.Cmd {
		cmd := command(t, append([]string{"load"}, args...)...)
		// No docker command: only the Engine is needed.
		cmd.Env = append(cmd.Env, "DOCKER_HOST="+host, "DOCKER_CONTEXT=", "PATH=/nonexistent")
		return cmd
	}
	succeed := func(cmd *exec.Cmd) result {
		t.Helper()
		res := finish(t, cmd)
		if res.code != 0 {
			t.Fatalf("%v: exit code %d\n%s", cmd.Args, res.code, res.stderr)
		}
		return res
	}
	store := registry(t, testbed.RegistryOptions{})
	app := store.Addr + "/hello:1"
	mabuild(t, "--platform", six, "-t", app, "-t", "hello:latest", filepath.Join("..", "examples", "hello"))

	// Debian's Docker has the classic store: the host's platform, and a note.
	for _, cmd := range []*exec.Cmd{load(app), load()} {
		res := succeed(cmd)
		for _, part := range []string{"Loaded ", app, " for linux/amd64 into Docker 2", "linux/s390x stayed out", "--platform", "containerd image store"} {
			if !strings.Contains(res.stderr+"\n", part) {
				t.Errorf("%q is not in\n%s", part, res.stderr)
			}
		}
		if !strings.Contains(mabuild(t, "inspect", app).stdout, strings.TrimSpace(res.stdout)) {
			t.Errorf("load printed %q, which is no digest of the image", res.stdout)
		}
	}
	for _, name := range []string{app, "hello"} {
		if got := docker(t, "run", "--rm", "--network", "none", name); got != "Hello from x86_64\n" {
			t.Errorf("%s ran %q", name, got)
		}
	}
	succeed(load("--platform", "linux/arm64", "--as", "hello:arm64", app))
	if got := strings.TrimSpace(docker(t, "image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", "hello:arm64")); got != "linux/arm64" {
		t.Errorf("--platform linux/arm64 loaded %s", got)
	}
	fails(t, load("--platform", "linux/arm64,linux/amd64", app), 1, "one platform under a name", "--platform")
	mabuild(t, "--platform", "linux/s390x", "-t", "foreign", archProject(t))
	fails(t, load("foreign"), 1, "no linux/amd64", "it has linux/s390x")
	nobody := load(app)
	nobody.Env = append(nobody.Env, "DOCKER_HOST=unix:///nonexistent/docker.sock")
	fails(t, nobody, 1, "unix:///nonexistent/docker.sock (DOCKER_HOST)", "start Docker")

	// The Engine by a context of Docker's configuration.
	config := t.TempDir()
	meta := filepath.Join(config, "contexts", "meta", fmt.Sprintf("%x", sha256.Sum256([]byte("lab"))))
	if err := os.MkdirAll(meta, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(meta, "meta.json"), []byte(`{"Name":"lab","Endpoints":{"docker":{"Host":"`+host+`"}}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	byContext := load("--context", "lab", "--as", "by-context", app)
	byContext.Env = append(byContext.Env, "DOCKER_HOST=", "DOCKER_CONFIG="+config)
	succeed(byContext)
	docker(t, "image", "inspect", "by-context")

	// What was joined is what Docker takes.
	joined := store.Addr + "/joined:1"
	mabuild(t, "push", app)
	mabuild(t, "join", "-t", joined, "--source=registry", "linux/amd64="+app, "linux/arm64="+app)
	docker(t, "pull", joined)
	if got := docker(t, "run", "--rm", "--network", "none", joined); got != "Hello from x86_64\n" {
		t.Errorf("the joined image ran %q", got)
	}
	docker(t, "pull", "--platform", "linux/arm64", joined)
}
