package emulation_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/emulationtest"
)

// The tests of the kernel's behaviour run in a user namespace of their own:
// the test binary starts itself there for the one test, with these variables.
const (
	levelVariable   = "EMULATION_TEST_LEVEL"   // how many namespaces deep it is
	programVariable = "EMULATION_TEST_PROGRAM" // testdata/program for guest
)

// inNamespace reports whether this process is the one in the namespace. If not,
// it has run the test there, and the test is over.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(levelVariable) != "" {
		return true
	}
	before := emulationtest.HostTable(t)
	rerun(t, syscall.CLONE_NEWUSER|syscall.CLONE_NEWNS,
		levelVariable+"=1", programVariable+"="+build(t, guest().Platform.Architecture, "./testdata/program"))
	if diff := cmp.Diff(before, emulationtest.HostTable(t)); diff != "" {
		t.Errorf("the machine's own binfmt_misc has changed (-before +after):\n%s", diff)
	}
	return false
}

// rerun runs this test in a child process with new namespaces, and takes over
// its result.
func rerun(t *testing.T, namespaces uintptr, environment ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), environment...)
	cmd.SysProcAttr = namespaceAttributes(t, namespaces)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		unavailable(t, fmt.Sprintf("starting a process in a user namespace: %v", err))
	}
	switch err := cmd.Wait(); {
	case err != nil:
		t.Errorf("in the namespace: %v\n%s", err, output.Bytes())
	case bytes.Contains(output.Bytes(), []byte("--- SKIP")):
		t.Skipf("in the namespace:\n%s", output.Bytes())
	case !bytes.Contains(output.Bytes(), []byte("--- PASS: "+t.Name())):
		t.Errorf("in the namespace the test did not run:\n%s", output.Bytes())
	}
}

// namespaceAttributes maps all ids for root of the whole machine, and otherwise
// the user's own.
func namespaceAttributes(t *testing.T, namespaces uintptr) *syscall.SysProcAttr {
	t.Helper()
	attributes := &syscall.SysProcAttr{
		Cloneflags:  namespaces,
		Pdeathsig:   syscall.SIGKILL,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	ids, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 && os.Getenv(levelVariable) == "" && bytes.Contains(ids, []byte(" 4294967295\n")) {
		all := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: int(min(int64(1<<32-1), math.MaxInt))}}
		attributes.UidMappings, attributes.GidMappings = all, all
		attributes.GidMappingsEnableSetgroups = true
	}
	return attributes
}

// privateTable mounts and opens the namespace's own instance.
func privateTable(t *testing.T) *emulation.Table {
	t.Helper()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		t.Fatal(err)
	}
	err := emulation.MountPrivate("")
	if errors.Is(err, emulation.ErrUnsupported) {
		unavailable(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	table, err := emulation.Open("")
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// guest is the foreign architecture of the tests that need just one.
func guest() emulation.Arch {
	amd64, arm64 := emulation.Arches()[0], emulation.Arches()[1]
	if emulation.Native()[0].Architecture == arm64.Platform.Architecture {
		return amd64
	}
	return arm64
}

// guestHandler is the handler for the program of the tests.
func guestHandler(t *testing.T) emulation.Handler {
	t.Helper()
	qemu, err := guest().FindQEMU()
	if err != nil {
		unavailable(t, err.Error())
	}
	return guest().Handler(qemu)
}

// view is what testdata/program tells.
type view struct {
	Args      []string
	GOARCH    string
	UID, EUID int
	Native    []string
}

// run executes a program with exactly these arguments, argv[0] included.
func run(t *testing.T, path string, attributes *syscall.SysProcAttr, args ...string) (view, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Args = args
	cmd.SysProcAttr = attributes
	cmd.Dir = "/"
	var output, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &errs
	if err := cmd.Run(); err != nil {
		return view{}, fmt.Errorf("%w: %s", err, errs.Bytes())
	}
	var v view
	if err := json.Unmarshal(output.Bytes(), &v); err != nil {
		t.Fatalf("%q: %v", output.Bytes(), err)
	}
	return v, nil
}

// install copies the program into a directory that all users can enter.
func install(t *testing.T, mode os.FileMode) (dir string) {
	t.Helper()
	dir = t.TempDir()
	text, err := os.ReadFile(os.Getenv(programVariable))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "program")
	writeFile(t, path, string(text), 0o755)
	for path, mode := range map[string]os.FileMode{path: mode, filepath.Dir(dir): 0o755} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
