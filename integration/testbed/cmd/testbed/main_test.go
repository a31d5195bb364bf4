package main

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test binary be the command itself.
func TestMain(m *testing.M) {
	if os.Getenv("TESTBED_TEST_MAIN") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestServe(t *testing.T) {
	if testing.Short() {
		t.Skip("making the base images takes a while: run without -short")
	}
	dir := t.TempDir()
	config, ready := filepath.Join(dir, "it's.toml"), filepath.Join(dir, "ready")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "serve", "--images", "busybox", "--config", config, "--ready", ready)
	cmd.Env = append(os.Environ(), "TESTBED_TEST_MAIN=1")
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for range 3 {
		lines.Scan()
	}
	shell := exec.CommandContext(t.Context(), "sh", "-c", `. "$1" && echo "$TESTBED_MIRROR" "$TESTBED_REGISTRY" && cat "$TESTBED_CONFIG"`, "sh", ready)
	out, err := shell.Output()
	if err != nil {
		t.Fatal(err)
	}
	addresses, written, _ := strings.Cut(string(out), "\n")
	mirror, pushes, _ := strings.Cut(addresses, " ")
	if got := get(t, "http://"+mirror+"/v2/library/busybox/tags/list"); !strings.Contains(got, "latest") {
		t.Errorf("the mirror says %q of busybox", got)
	}
	if got := get(t, "http://"+pushes+"/v2/_catalog"); strings.TrimSpace(got) != `{"repositories":[]}` {
		t.Errorf("the registry to push to has %q", got)
	}
	if !strings.Contains(written, mirror) || !strings.Contains(written, pushes) {
		t.Errorf("the configuration lacks an address:\n%s", written)
	}

	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, stdout); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the end of standard input ends the command with %v", err)
	}
	if _, err := os.Stat(ready); !os.IsNotExist(err) {
		t.Errorf("the addresses are still there (%v)", err)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestUsage(t *testing.T) {
	for _, args := range []string{"", "dance", "serve --nothing", "serve leftover", "prepare --config x"} {
		t.Run(args, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], strings.Fields(args)...)
			cmd.Env = append(os.Environ(), "TESTBED_TEST_MAIN=1")
			out, err := cmd.CombinedOutput()
			if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 2 || len(out) == 0 {
				t.Errorf("got %v and %q, want the status 2 and the usage", err, out)
			}
		})
	}
}
