package dispatch_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/emulation/emulationtest"
)

// The committed stub is what its source becomes: with the compiler that it was
// made by, byte for byte. Another compiler makes other bytes; that they do the
// same is what every test of the kernel's side shows with DISPATCH_TEST_STUB set.
func TestStubIsBuiltFromSource(t *testing.T) {
	if !dispatch.Supported() {
		t.Skip("the stub is for Linux on amd64")
	}
	for _, tool := range []string{"gcc", "objcopy"} {
		if _, err := exec.LookPath(tool); err != nil {
			emulationtest.Unavailable(t, err.Error())
		}
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "sh", "stub/build.sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	committed, rebuilt := read(t, "stub/stub_amd64.bin"), read(t, filepath.Join(dir, "stub_amd64.bin"))
	made, have := read(t, "stub/stub_amd64.txt"), read(t, filepath.Join(dir, "stub_amd64.txt"))
	switch {
	case bytes.Equal(committed, rebuilt):
	case bytes.Equal(made, have):
		t.Error("the stub is not what its source becomes; run go generate ./emulation/dispatch")
	default:
		t.Logf("the stub was made by\n%s\nhere is\n%s", made, have)
		rerun(t, filepath.Join(dir, "stub_amd64.bin"))
	}
}

// rerun runs the tests of the stub with another one.
func rerun(t *testing.T, stub string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.skip=^TestStubIsBuiltFromSource$")
	cmd.Env = append(os.Environ(), stubVariable+"="+stub)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("with the stub that was built here: %v\n%s", err, out)
	}
	t.Logf("with the stub that was built here: %s", strings.TrimSpace(string(out)))
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
