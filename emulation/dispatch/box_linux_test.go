package dispatch_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/emulation/emulationtest"
)

// The build-ids of testdata/program: the first has a tool.
const (
	knownID   = "6d616275696c64206b6e6f776e2070726f677261"
	unknownID = "6d616275696c6420616e6f746865722070726f67"
)

// programsVariable is the directory with the programs, in the namespace.
const programsVariable = "DISPATCH_TEST_PROGRAMS"

// inNamespace is [emulationtest.InNamespace], with the programs that are built
// outside.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if !dispatch.Supported() {
		t.Skip("the stub is for Linux on amd64")
	}
	if os.Getenv(programsVariable) == "" {
		dir, err := builtPrograms()
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv(programsVariable, dir)
	}
	return emulationtest.InNamespace(t)
}

// builtPrograms is the directory with the programs, built once. TestMain removes it.
var builtPrograms = sync.OnceValues(func() (dir string, err error) {
	dir, err = os.MkdirTemp(scratch, "programs-")
	if err != nil {
		return "", err
	}
	for _, arch := range []string{"amd64", "arm64", "s390x"} {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-trimpath",
			"-ldflags=-s -w -B 0x"+knownID, "-o", filepath.Join(dir, arch), "./testdata/program")
		cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("building for %s: %w\n%s", arch, err, out)
		}
	}
	return dir, nil
})

// program returns one of the programs. Those of other architectures are in the
// namespace's binfmt_misc; id replaces the build-id that they were built with.
func program(t *testing.T, arch, id string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(os.Getenv(programsVariable), arch))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Count(text, unhex(t, knownID)) != 1 {
		t.Fatalf("the program for %s has not one build-id", arch)
	}
	return bytes.Replace(text, unhex(t, knownID), unhex(t, id), 1)
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// injected returns the file of a QEMU with the stub in it.
func injected(t testing.TB, qemu string) (path string) {
	t.Helper()
	text, err := os.ReadFile(qemu)
	if err != nil {
		t.Fatal(err)
	}
	text, err = dispatch.Inject(text)
	if err != nil {
		t.Fatalf("%s: %v", qemu, err)
	}
	path = filepath.Join(t.TempDir(), filepath.Base(qemu))
	writeFile(t, path, text, 0o755)
	return path
}

// writeFile makes a file with exactly that mode, and the directories above.
func writeFile(t testing.TB, path string, text []byte, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// box is a root directory as a step has it.
type box struct {
	root string
	// descriptors are those that this process has from whoever started the tests.
	descriptors []int
}

// newBox makes one with the tools for arm64 and s390x.
//
//	/program   arm64, has a tool by that name, and one for any other
//	/unknown   arm64, has none
//	/big       s390x, has a tool
//	/native    amd64
func newBox(t *testing.T) box {
	t.Helper()
	b := box{root: t.TempDir()}
	for dir := b.root; dir != filepath.Clean(os.TempDir()) && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { // other users have to get there
			t.Fatal(err)
		}
	}
	native := program(t, "amd64", unknownID)
	b.write(t, "/native", native, 0o755)
	b.write(t, "/program", program(t, "arm64", knownID), 0o755)
	b.write(t, "/unknown", program(t, "arm64", unknownID), 0o755)
	b.write(t, "/big", program(t, "s390x", knownID), 0o755)
	b.write(t, tool("program"), native, 0o755)
	b.write(t, tool(dispatch.AnyName), native, 0o755)
	b.write(t, dispatch.LogPath, nil, 0o666)
	b.descriptors = b.run(t, b.command(t, "/native", "native")).View.Descriptors
	return b
}

// tool is the path of a file for the known build-id.
func tool(name string) string { return dispatch.IDDir + "/" + knownID + "/" + name }

func (b box) write(t testing.TB, path string, text []byte, mode os.FileMode) {
	t.Helper()
	writeFile(t, b.root+path, text, mode)
}

func (b box) remove(t testing.TB, path string) {
	t.Helper()
	if err := os.RemoveAll(b.root + path); err != nil {
		t.Fatal(err)
	}
}

// view is what testdata/program tells.
type view struct {
	Arch        string
	Args        []string
	Environment []string
	Dir         string
	Name        string
	UID, EUID   int
	PID         int
	Descriptors []int
}

// outcome is how a command went.
type outcome struct {
	View  view
	Code  int
	Kinds []dispatch.Kind // from the log
}

// command is one in the box: its first argument is argv[0].
func (b box) command(t testing.TB, path string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Args = args
	cmd.Env = []string{"PATH=/", "FIRST=1", "SECOND=2"} // QEMU changes the order
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: b.root, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (b box) run(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	got := outcome{Code: cmd.ProcessState.ExitCode(), Kinds: b.kinds(t)}
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", cmd, err)
	}
	if out.Len() == 0 {
		if got.Code == 0 || errs.Len() > 0 {
			t.Logf("%s: %v: %s", strings.Join(cmd.Args, " "), err, errs.Bytes())
		}
		return got
	}
	if err := json.Unmarshal(out.Bytes(), &got.View); err != nil {
		t.Errorf("%s says %q: %v", cmd, out.Bytes(), err)
	}
	if got.View.PID != 1 {
		got.View.PID = 0 // another each time
	}
	return got
}

// kinds returns what the log has, and empties it.
func (b box) kinds(t *testing.T) (kinds []dispatch.Kind) {
	t.Helper()
	file, err := os.OpenFile(b.root+dispatch.LogPath, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil // a test of that
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	log, err := dispatch.ReadRecords(file, 1<<20)
	if err != nil || log.Garbage != 0 {
		t.Errorf("the log: %v, %d bytes that are no records", err, log.Garbage)
	}
	for _, r := range log.Records {
		kinds = append(kinds, r.Kind)
	}
	if err := file.Truncate(0); err != nil {
		t.Fatal(err)
	}
	return kinds
}

// register puts a handler into the namespace's table for as long as the test runs.
func register(t testing.TB, table *emulation.Table, handler emulation.Handler) {
	t.Helper()
	if err := table.Register(handler); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Remove(handler.Name); err != nil {
			t.Error(err)
		}
	})
}

// qemu finds the QEMU of an architecture.
func qemu(t *testing.T, name string) (emulation.Arch, string) {
	t.Helper()
	arch, err := emulation.ParseArch(name)
	if err != nil {
		t.Fatal(err)
	}
	path, err := arch.FindQEMU()
	if err != nil {
		emulationtest.Unavailable(t, err.Error())
	}
	return arch, path
}
