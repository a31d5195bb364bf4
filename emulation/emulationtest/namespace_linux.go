// Package emulationtest runs tests that change binfmt_misc where they change
// nothing else: in a user namespace of their own.
package emulationtest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mabuild/mabuild/emulation"
)

// variable marks the process in the namespace.
const variable = "EMULATIONTEST_NAMESPACE"

// InNamespace reports whether the calling process has a user namespace of its
// own. If not, it has run the test there, in another process of the test binary,
// and the test is over: its result is that one's, and the machine's own
// binfmt_misc is what it was before.
//
// Call it first in a test, without subtests above.
func InNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(variable) != "" {
		return true
	}
	before := HostTable(t)
	cmd := Again(t, variable+"=1")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := emulation.StartInNamespace(cmd); err != nil {
		Unavailable(t, err.Error())
	}
	switch err := cmd.Wait(); {
	case err != nil:
		t.Errorf("in the namespace: %v\n%s", err, output.Bytes())
	case bytes.Contains(output.Bytes(), []byte("--- SKIP: "+t.Name()+" ")):
		t.Skipf("in the namespace:\n%s", output.Bytes())
	case !bytes.Contains(output.Bytes(), []byte("--- PASS: "+t.Name()+" ")):
		t.Errorf("in the namespace the test did not run:\n%s", output.Bytes())
	case testing.Verbose():
		t.Logf("in the namespace:\n%s", output.Bytes())
	}
	if after := HostTable(t); !maps.Equal(before, after) {
		t.Errorf("the machine's own binfmt_misc has changed from\n%v\nto\n%v", before, after)
	}
	return false
}

// Again is a command that runs the test once more in another process, with more
// variables in its environment. It ends when this process does.
func Again(t *testing.T, environment ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Table returns the namespace's own binfmt_misc. It is empty the first time.
func Table(t *testing.T) *emulation.Table {
	t.Helper()
	table, err := emulation.EnterNamespace()
	if errors.Is(err, emulation.ErrUnsupported) {
		Unavailable(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// Foreign returns the architectures that this machine does not run. All of them
// have a QEMU.
func Foreign(t *testing.T) (arches []emulation.Arch) {
	t.Helper()
	for _, arch := range emulation.Arches() {
		if arch.Native() {
			continue
		}
		if _, err := arch.FindQEMU(); err != nil {
			Unavailable(t, err.Error())
		}
		arches = append(arches, arch)
	}
	return arches
}

// HasUsers reports whether the namespace has other users than its root: a
// namespace of an ordinary user has not.
func HasUsers(t *testing.T) bool {
	t.Helper()
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text))
	return len(fields) != 3 || fields[2] != "1"
}

// Unavailable skips a test that this machine cannot run; in CI it fails, since
// the machines there have everything.
func Unavailable(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// HostTable is everything that can be seen of the machine's binfmt_misc.
func HostTable(t *testing.T) map[string]string {
	t.Helper()
	state := make(map[string]string)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "binfmt_misc") {
			state["mounts"] += line
		}
	}
	entries, err := os.ReadDir(emulation.DefaultDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(emulation.DefaultDir, entry.Name()))
		state[entry.Name()] = fmt.Sprintf("%s%v", text, err)
	}
	return state
}
