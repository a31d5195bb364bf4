package probe_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/emulationtest"
	"github.com/mabuild/mabuild/emulation/probe"
)

// summary is the outcome of each check, and why it is not "passed".
func summary(t *testing.T, results []probe.Result) map[string]string {
	t.Helper()
	out := make(map[string]string)
	for _, r := range results {
		for _, c := range r.Checks {
			if c.Outcome != probe.Passed {
				out[r.Arch+" "+c.Name] = string(c.Outcome)
				t.Logf("%s %s: %s: %s; %s", r.Arch, c.Name, c.Outcome, c.Detail, c.Meaning)
			}
			if (c.Meaning != "") != (c.Outcome == probe.Failed) || (c.Detail == "") != (c.Outcome == probe.Passed) {
				t.Errorf("%s: %+v does not fit together", r.Arch, c)
			}
		}
	}
	return out
}

// skipped adds what cannot be checked without a second user.
func skipped(t *testing.T, want map[string]string, arches ...emulation.Arch) map[string]string {
	t.Helper()
	for _, a := range arches {
		if !emulationtest.HasUsers(t) && want[a.Name+" run"] == "" {
			want[a.Name+" setuid"] = "skipped"
		}
	}
	return want
}

func run(t *testing.T, arches ...emulation.Arch) map[string]string {
	t.Helper()
	dir := t.TempDir()
	// The user of the setuid check has to get there.
	for d := dir; d != filepath.Clean(os.TempDir()); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	results, err := probe.Run(t.Context(), probe.Options{Arches: arches, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	return summary(t, results)
}

// Every architecture runs, riscv64 and loong64 among them.
func TestRun(t *testing.T) {
	if !emulationtest.InNamespace(t) {
		return
	}
	table := emulationtest.Table(t)
	if _, err := table.RegisterFound(t.Context(), emulation.RegisterOptions{}); err != nil {
		t.Fatal(err)
	}
	emulationtest.Foreign(t) // skips without QEMU
	all := emulation.Arches()
	if diff := cmp.Diff(skipped(t, map[string]string{}, all...), run(t, all...)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	results, err := probe.Run(t.Context(), probe.Options{})
	if err != nil || len(results) != len(all) {
		t.Fatalf("Run = %v, %v", results, err)
	}
	for _, r := range results {
		if r.Native != (r.QEMU == "") {
			t.Errorf("%s: native %t, QEMU %q", r.Arch, r.Native, r.QEMU)
		}
	}
}

// cases 17 and 20 to 22: what each mistake looks like.
func TestRunFailures(t *testing.T) {
	if os.Getenv(oldVariable) == "" {
		t.Setenv(oldVariable, buildOldQEMU(t, emulationtest.Foreign(t)[0]))
	}
	if !emulationtest.InNamespace(t) {
		return
	}
	table := emulationtest.Table(t)
	arch := emulationtest.Foreign(t)[0]
	qemu, err := arch.FindQEMU()
	if err != nil {
		t.Fatal(err)
	}
	other, err := emulationtest.Foreign(t)[1].FindQEMU()
	if err != nil {
		t.Fatal(err)
	}
	const failed, skip = "failed", "skipped"
	nothing := map[string]string{"run": failed, "argv0": skip, "child": skip, "container": skip, "setuid": skip}
	for _, test := range []struct {
		name    string
		handler emulation.Handler
		want    map[string]string
	}{
		{"no handler", emulation.Handler{}, nothing},
		{"as it should be", arch.Handler(qemu), map[string]string{}},
		{"no P", withFlags(arch.Handler(qemu), "OCF"), map[string]string{"argv0": failed}},
		{"no C", withFlags(arch.Handler(qemu), "POF"), map[string]string{"setuid": failed}},
		{"no C and no O", withFlags(arch.Handler(qemu), "PF"), map[string]string{"setuid": failed}},
		{"no F", withFlags(arch.Handler(qemu), "POC"), map[string]string{"container": failed}},
		{"QEMU of another architecture", arch.Handler(other), nothing},
		{"P and an old QEMU", arch.Handler(os.Getenv(oldVariable)), map[string]string{"argv0": failed, "child": failed, "container": failed, "setuid": skip}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.handler.Name != "" {
				if err := table.Register(test.handler); err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := table.Remove(test.handler.Name); err != nil {
						t.Error(err)
					}
				}()
			}
			want := make(map[string]string)
			for check, outcome := range test.want {
				want[arch.Name+" "+check] = outcome
			}
			if diff := cmp.Diff(skipped(t, want, arch), run(t, arch)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func withFlags(h emulation.Handler, flags string) emulation.Handler {
	h.Flags = flags
	return h
}

// buildOldQEMU makes a QEMU that knows nothing about the flag P.
func buildOldQEMU(t *testing.T, arch emulation.Arch) string {
	t.Helper()
	qemu, err := arch.FindQEMU()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "oldqemu")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-X main.qemu="+qemu, "-o", path, "./testdata/oldqemu")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building an old QEMU: %v\n%s", err, out)
	}
	return path
}

const (
	privilegesVariable = "PROBE_TEST_PRIVILEGES"
	oldVariable        = "PROBE_TEST_OLD_QEMU"
)

// case 20: no_new_privs fails natively too, and is no fault of a handler.
func TestNoNewPrivileges(t *testing.T) {
	if os.Getenv(privilegesVariable) != "" {
		arches := append(emulation.Arches()[:1:1], emulationtest.Foreign(t)[0])
		results, err := probe.Run(t.Context(), probe.Options{Arches: arches})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			c := r.Check(probe.CheckSetuid)
			if !r.OK() || c.Outcome != probe.Skipped || !strings.Contains(c.Detail, "no_new_privs is set") {
				t.Errorf("%+v, want setuid skipped for no_new_privs", r)
			}
		}
		return
	}
	if !emulationtest.InNamespace(t) {
		return
	}
	if _, err := emulationtest.Table(t).RegisterFound(t.Context(), emulation.RegisterOptions{}); err != nil {
		t.Fatal(err)
	}
	if !emulationtest.HasUsers(t) {
		t.Skip("there is no second user in this namespace")
	}
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		emulationtest.Unavailable(t, err.Error())
	}
	// Another process, because it cannot be taken back.
	cmd := emulationtest.Again(t, privilegesVariable+"=none")
	cmd.Args = append([]string{"setpriv", "--no-new-privs", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = setpriv
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
		t.Errorf("with no_new_privs: %v\n%s", err, out)
	}
}

// Nobody but the check's own user can start a setuid program.
func TestSetuidIsNotForOthers(t *testing.T) {
	if !emulationtest.InNamespace(t) {
		return
	}
	if !emulationtest.HasUsers(t) {
		t.Skip("there is no second user in this namespace")
	}
	arch := emulation.Arches()[0]
	old := unix.Umask(0)
	defer unix.Umask(old)
	dir, id, remove, err := probe.NewBench(t.TempDir(), arch)
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	if id < 1<<16 {
		t.Errorf("user and group %d may exist", id)
	}
	for path, want := range map[string]fs.FileMode{
		dir:                                      fs.ModeDir | 0o710,
		filepath.Join(dir, arch.Name, "setuid"):  fs.ModeSetuid | 0o750,
		filepath.Join(dir, arch.Name, "program"): 0o711,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		stat := info.Sys().(*syscall.Stat_t)
		if info.Mode() != want || stat.Uid != 0 {
			t.Errorf("%s: mode %v of user %d, want %v", path, info.Mode(), stat.Uid, want)
		}
		if want&fs.ModeSetuid != 0 && stat.Gid != id {
			t.Errorf("%s: group %d, want %d", path, stat.Gid, id)
		}
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, arch.Name, "setuid"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.Dir = "/"
	if err := cmd.Run(); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("as another user: %v, want a refusal", err)
	}
}

// case 22: the version is that of the QEMU that the kernel keeps open.
func TestVersion(t *testing.T) {
	if !emulationtest.InNamespace(t) {
		return
	}
	table := emulationtest.Table(t)
	arch := emulationtest.Foreign(t)[0]
	if v, err := probe.Version(t.Context(), arch); !errors.Is(err, emulation.ErrNoQEMU) || !errors.Is(err, unix.ENOEXEC) {
		t.Errorf("without a handler: %v, %v", v, err)
	}
	qemu, err := arch.FindQEMU()
	if err != nil {
		t.Fatal(err)
	}
	want, err := emulation.QEMUVersion(t.Context(), qemu)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(qemu)
	if err != nil {
		t.Fatal(err)
	}
	moving := filepath.Join(t.TempDir(), "qemu")
	if err := os.WriteFile(moving, content, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := table.Register(arch.Handler(moving)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(moving); err != nil {
		t.Fatal(err)
	}
	t.Setenv("QEMU_LOG", "nonsense")
	if got, err := probe.Version(t.Context(), arch); err != nil || got != want {
		t.Errorf("= %v, %v, want %v", got, err, want)
	}
	if _, err := probe.Version(t.Context(), emulation.Arch{Name: "alpha"}); !errors.Is(err, emulation.ErrNoQEMU) {
		t.Errorf("alpha: %v", err)
	}
}

// A directory whose programs cannot be executed is not a fault of emulation.
func TestNoexec(t *testing.T) {
	if !emulationtest.InNamespace(t) {
		return
	}
	emulationtest.Table(t)
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_NOEXEC, ""); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	_, err := probe.Run(t.Context(), probe.Options{Dir: dir})
	if err == nil || !errors.Is(err, fs.ErrPermission) && !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("Run: %v, want a word about TMPDIR", err)
	}
	if _, err := probe.Run(t.Context(), probe.Options{Dir: "/nowhere"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Run: %v, want ErrNotExist", err)
	}
}

func TestLargestRange(t *testing.T) {
	for text, want := range map[string][2]uint32{
		"         0          0 4294967295\n": {0, 4294967294},
		"0 1001 1\n1 100000 65536\n":         {1, 65536},
		"0 0 1\n":                            {0, 0},
		"5 0 4294967295\n0 0 10\n":           {0, 9}, // beyond the last id
	} {
		if first, last, ok := probe.LargestRange(text); !ok || first != want[0] || last != want[1] {
			t.Errorf("%q: %d %d %t, want %v", text, first, last, ok, want)
		}
	}
	for _, text := range []string{"", "0 0\n", "a b c\n", "0 0 0\n", "-1 0 5\n"} {
		if first, last, ok := probe.LargestRange(text); ok {
			t.Errorf("%q: %d %d", text, first, last)
		}
	}
}

func FuzzLargestRange(f *testing.F) {
	f.Add("         0          0 4294967295\n")
	f.Add("0 1001 1\n1 100000 65536\n")
	f.Fuzz(func(t *testing.T, text string) {
		if first, last, ok := probe.LargestRange(text); ok && first > last {
			t.Errorf("%q: %d to %d", text, first, last)
		}
	})
}

// Six architectures take a fraction of a second.
func BenchmarkRun(b *testing.B) {
	native := emulation.Arches()[:1]
	for b.Loop() {
		if _, err := probe.Run(b.Context(), probe.Options{Arches: native}); err != nil {
			b.Fatal(err)
		}
	}
}
