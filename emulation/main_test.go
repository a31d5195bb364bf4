package emulation_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// unavailable skips a test that this machine cannot run; in CI it fails, since
// the machines there have everything.
func unavailable(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// build cross-compiles a package into a static Linux program.
func build(t *testing.T, goarch, pkg string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "program-"+goarch)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+goarch, "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building for %s: %v\n%s", goarch, err, out)
	}
	return path
}

func writeFile(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}
