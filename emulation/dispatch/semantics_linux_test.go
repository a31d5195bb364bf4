package dispatch_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/emulation/emulationtest"
)

// nobody is a user other than root.
const nobody = 65534

// inBox runs the test in a box, with the injected QEMUs registered.
func inBox(t *testing.T, test func(t *testing.T, b box)) {
	t.Helper()
	if !inNamespace(t) {
		return
	}
	table := emulationtest.Table(t)
	for _, name := range []string{"arm64", "s390x"} {
		arch, path := qemu(t, name)
		register(t, table, arch.Handler(injected(t, path)))
	}
	test(t, newBox(t))
}

// inBoxes runs the test in a box once with all users, if there are some, and once
// with root alone.
func inBoxes(t *testing.T, test func(t *testing.T, b box)) {
	t.Helper()
	inBox(t, func(t *testing.T, b box) {
		test(t, b)
		if !emulationtest.HasUsers(t) {
			return
		}
		cmd := emulationtest.Again(t)
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("with a single user: %v\n%s", err, out)
		}
	})
}

// However a program is executed, it is as with QEMU, and native.
func TestSemantics(t *testing.T) {
	inBoxes(t, func(t *testing.T, b box) {
		b.write(t, "/dir/program", program(t, "arm64", knownID), 0o755)
		b.write(t, "/dir/unknown", program(t, "arm64", unknownID), 0o755)
		all := []string{"a", "b c", "", "-d"}
		for name, prepare := range map[string]func(path string) *exec.Cmd{
			"arguments": func(path string) *exec.Cmd { return b.command(t, path, append([]string{path}, all...)...) },
			"argv[0]":   func(path string) *exec.Cmd { return b.command(t, path, "an alias", "one") },
			"empty":     func(path string) *exec.Cmd { return b.command(t, path, "") },
			"relative": func(path string) *exec.Cmd {
				cmd := b.command(t, "."+path, "."+path)
				cmd.Dir = "/dir"
				return cmd
			},
			"pid 1": func(path string) *exec.Cmd {
				cmd := b.command(t, path, path)
				cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
				return cmd
			},
			"exit code":       func(path string) *exec.Cmd { return b.command(t, path, path, "exit", "7") },
			"vfork":           func(path string) *exec.Cmd { return b.command(t, "/native", "native", "spawn", path, "x") },
			"fexecve":         func(path string) *exec.Cmd { return b.command(t, "/native", "native", "descriptor", path, "x") },
			"fexecve O_PATH":  func(path string) *exec.Cmd { return b.command(t, "/native", "native", "opath", path, "x") },
			"fexecve CLOEXEC": func(path string) *exec.Cmd { return b.command(t, "/native", "native", "cloexec", path, "x") },
			"no_new_privs":    func(path string) *exec.Cmd { return b.command(t, "/native", "native", "nnp", path, "x") },
		} {
			t.Run(name, func(t *testing.T) {
				hit, miss := b.run(t, prepare("/program")), b.run(t, prepare("/unknown"))
				compare(t, hit, miss)
			})
		}
		t.Run("from an emulated program", func(t *testing.T) {
			for _, way := range []string{"spawn", "nnp"} {
				got := b.run(t, b.command(t, "/unknown", "unknown", way, "/program"))
				if got.View.Arch != "amd64" || !slices.Equal(got.Kinds, []dispatch.Kind{dispatch.Unknown, dispatch.Native}) {
					t.Errorf("%s: %+v", way, got)
				}
			}
		})
		t.Run("script", func(t *testing.T) {
			b.write(t, "/script", []byte("#!/program -x\n"), 0o755)
			got := b.run(t, b.command(t, "/script", "/script", "one"))
			if diff := cmp.Diff([]string{"/program", "-x", "/script", "one"}, got.View.Args); diff != "" || got.View.Arch != "amd64" {
				t.Errorf("%+v (-want +got):\n%s", got, diff)
			}
		})
		t.Run("another name", func(t *testing.T) {
			if err := os.Symlink("program", b.root+"/link"); err != nil {
				t.Fatal(err)
			}
			got := b.run(t, b.command(t, "/link", "link"))
			if got.View.Arch != "amd64" || got.View.Name != dispatch.AnyName {
				t.Errorf("%+v, want the tool for any name", got)
			}
		})
	})
}

// compare checks that a native program is what the emulated one is.
func compare(t *testing.T, hit, miss outcome) {
	t.Helper()
	if hit.View.Arch == "" && hit.Code == 0 || miss.View.Arch == "arm64" && hit.View.Arch != "amd64" {
		t.Errorf("not executed natively: %+v", hit)
	}
	if len(miss.Kinds) > 0 && (!slices.Equal(hit.Kinds, []dispatch.Kind{dispatch.Native}) ||
		!slices.Equal(miss.Kinds, []dispatch.Kind{dispatch.Unknown})) {
		t.Errorf("kinds: %v and %v", hit.Kinds, miss.Kinds)
	}
	hit.View.Arch, hit.Kinds, miss.View.Arch, miss.Kinds = "", nil, "", nil
	for _, name := range []*string{&hit.View.Name, &miss.View.Name} {
		// The last two are what a program has that is executed by a descriptor.
		if *name == "program" || *name == "unknown" || *name == dispatch.AnyName || strings.HasPrefix(*name, "qemu-") {
			*name = ""
		}
	}
	for _, o := range []*outcome{&hit, &miss} {
		for i, arg := range o.View.Args {
			if arg == "/program" || arg == "./program" {
				o.View.Args[i] = arg[:len(arg)-len("program")] + "unknown"
			}
		}
	}
	if diff := cmp.Diff(miss, hit); diff != "" {
		t.Errorf("native and emulated differ (-emulated +native):\n%s", diff)
	}
}

// Programs with other rights than who executes them are emulated; those that
// cannot be read are not.
func TestRights(t *testing.T) {
	inBox(t, func(t *testing.T, b box) {
		if !emulationtest.HasUsers(t) {
			emulationtest.Unavailable(t, "there is no user but root here")
		}
		text := program(t, "arm64", knownID)
		b.write(t, "/setuid", text, 0o755|fs.ModeSetuid)
		b.write(t, "/hidden", text, 0o111)
		for path, want := range map[string]outcome{
			"/setuid":  {View: view{Arch: "arm64", UID: nobody, EUID: 0}, Kinds: []dispatch.Kind{dispatch.Secure}},
			"/hidden":  {View: view{Arch: "amd64", UID: nobody, EUID: nobody}, Kinds: []dispatch.Kind{dispatch.Native}},
			"/program": {View: view{Arch: "amd64", UID: nobody, EUID: nobody}, Kinds: []dispatch.Kind{dispatch.Native}},
		} {
			cmd := b.command(t, path, path)
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
			got := b.run(t, cmd)
			got.View = view{Arch: got.View.Arch, UID: got.View.UID, EUID: got.View.EUID}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		}
		if got := b.run(t, b.command(t, "/setuid", "/setuid")); got.View.Arch != "amd64" {
			t.Errorf("a program that root executes as root: %+v", got)
		}
		if err := os.Chmod(b.root+dispatch.IDDir, 0); err != nil {
			t.Fatal(err)
		}
		cmd := b.command(t, "/program", "/program")
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		if got := b.run(t, cmd); got.View.Arch != "arm64" || !slices.Equal(got.Kinds, []dispatch.Kind{dispatch.Unknown}) {
			t.Errorf("with tools that cannot be reached: %+v", got)
		}
	})
}

// expect runs the program and checks where it ran, and why.
func (b box) expect(t *testing.T, kind dispatch.Kind, cmd *exec.Cmd) outcome {
	t.Helper()
	got := b.run(t, cmd)
	want := "amd64"
	if kind != dispatch.Native {
		if want = "arm64"; cmd.Path == "/big" {
			want = "s390x"
		}
	}
	kinds := []dispatch.Kind{kind}
	if kind == dispatch.ExecFailed {
		kinds = []dispatch.Kind{dispatch.Native, kind}
	}
	if got.View.Arch != want || !slices.Equal(got.Kinds, kinds) {
		t.Errorf("%s ran as %q, %v; want %v", fmt.Sprintf("%q", append(cmd.Env[1:], cmd.Args...)), got.View.Arch, got.Kinds, kinds)
	}
	if !slices.Equal(got.View.Descriptors, b.descriptors) && kind == dispatch.Native {
		t.Errorf("%q has descriptors %v, want %v", cmd.Args, got.View.Descriptors, b.descriptors)
	}
	return got
}
