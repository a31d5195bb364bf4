package emulation_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/mabuild/mabuild/emulation"
)

// cases 17, 21, 22 and 30: a foreign program runs as a container runs it.
func TestForeignProgram(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	handler := guestHandler(t)
	program := filepath.Join(install(t, 0o755), "program")
	if os.Getenv(levelVariable) == "2" {
		// The parent namespace has a handler. This one has no instance yet.
		if _, err := run(t, program, nil, "program"); err != nil {
			t.Errorf("with the handler of the parent namespace: %v", err)
		}
		privateTable(t)
		if _, err := run(t, program, nil, "program"); !errors.Is(err, unix.ENOEXEC) {
			t.Errorf("with an empty instance below one with the handler: %v, want ENOEXEC", err)
		}
		return
	}

	table := privateTable(t)
	if _, err := run(t, program, nil, "program"); !errors.Is(err, unix.ENOEXEC) {
		t.Fatalf("without a handler: %v, want ENOEXEC", err)
	}
	if err := table.Register(handler); err != nil {
		t.Fatal(err)
	}
	spell := func(native []ocispec.Platform) (names []string) {
		for _, p := range native {
			names = append(names, p.OS+"/"+p.Architecture)
		}
		return names
	}
	want := view{Args: []string{"an alias", "one", ""}, GOARCH: guest().Platform.Architecture}
	want.Native = spell(emulation.Native()) // the program tells this machine from QEMU's
	got, err := run(t, program, nil, want.Args...)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("in a directory: %v (-want +got):\n%s", err, diff)
	}

	// A container's root has no QEMU, and no /proc here.
	want.Native = spell(emulation.NativePlatforms(want.GOARCH))
	got, err = run(t, "/program", &syscall.SysProcAttr{Chroot: filepath.Dir(program)}, want.Args...)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("in a chroot: %v (-want +got):\n%s", err, diff)
	}

	rerun(t, syscall.CLONE_NEWUSER|syscall.CLONE_NEWNS, levelVariable+"=2")
	if err := table.Remove(handler.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, program, nil, "program"); !errors.Is(err, unix.ENOEXEC) {
		t.Errorf("after removing the handler: %v, want ENOEXEC", err)
	}
}

// What each flag is for.
func TestFlags(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	table := privateTable(t)
	handler := guestHandler(t)
	register := func(t *testing.T, flags string) {
		t.Helper()
		h := handler
		h.Flags = flags
		if err := table.Register(h); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := table.Remove(h.Name); err != nil {
				t.Error(err)
			}
		})
	}
	dir := install(t, 0o755)

	t.Run("without P", func(t *testing.T) { // case 21
		register(t, "OCF")
		got, err := run(t, dir+"/program", nil, "an alias", "one")
		if diff := cmp.Diff([]string{dir + "/program", "one"}, got.Args); err != nil || diff != "" {
			t.Errorf("args: %v (-want +got):\n%s", err, diff)
		}
	})
	t.Run("without F", func(t *testing.T) { // case 22
		register(t, "POC")
		if _, err := run(t, dir+"/program", nil, "program"); err != nil {
			t.Errorf("outside: %v", err)
		}
		_, err := run(t, "/program", &syscall.SysProcAttr{Chroot: dir}, "program")
		if !errors.Is(err, unix.ENOENT) {
			t.Errorf("in a chroot: %v, want ENOENT", err)
		}
	})

	// case 20. A single-id map has no user but root.
	const nobody = 65534
	if err := os.Chown(install(t, 0), nobody, nobody); err != nil {
		t.Logf("no second user: %v", err)
		return
	}
	other := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	for flags, want := range map[string]view{
		"POCF": {UID: nobody, EUID: 0},
		"PF":   {UID: nobody, EUID: nobody},
	} {
		t.Run("setuid with "+flags, func(t *testing.T) {
			register(t, flags)
			got, err := run(t, install(t, 0o755|fs.ModeSetuid)+"/program", other, "program")
			if diff := cmp.Diff(want, view{UID: got.UID, EUID: got.EUID}); err != nil || diff != "" {
				t.Errorf("ids: %v (-want +got):\n%s", err, diff)
			}
		})
	}
	t.Run("unreadable with O", func(t *testing.T) {
		register(t, "POF")
		if _, err := run(t, install(t, 0o711)+"/program", other, "program"); err != nil {
			t.Error(err)
		}
	})
}

// case 23: registering is idempotent, and touches just the one entry.
func TestRegister(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	table := privateTable(t)
	if err := table.Writable(); err != nil {
		t.Fatal(err)
	}
	if handlers, err := table.Handlers(); err != nil || len(handlers) != 0 {
		t.Fatalf("a fresh instance has %v, %v", handlers, err)
	}
	handler := guestHandler(t)
	other := emulation.Handler{Name: "other", Interpreter: "/bin/sh", Extension: "other", Enabled: true}
	if err := table.Register(other); err != nil {
		t.Fatal(err)
	}

	var parallel sync.WaitGroup
	for range 8 {
		parallel.Go(func() {
			if err := table.Register(handler); err != nil {
				t.Error(err)
			}
		})
	}
	parallel.Wait()
	if err := table.Register(handler); err != nil {
		t.Errorf("once more: %v", err)
	}
	want := []emulation.Handler{other, handler}
	check := func(want ...emulation.Handler) {
		t.Helper()
		got, err := table.Handlers()
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatalf("Handlers: %v (-want +got):\n%s", err, diff)
		}
	}
	check(want...)

	different := handler
	different.Flags = "F"
	if err := table.Register(different); !errors.Is(err, emulation.ErrExists) {
		t.Errorf("registering a different one: %v, want ErrExists", err)
	}
	check(want...)

	writeFile(t, emulation.DefaultDir+"/"+handler.Name, "0", 0)
	if h, err := table.Handler(handler.Name); err != nil || h.Enabled {
		t.Errorf("switched off: %+v, %v", h, err)
	}
	if err := table.Register(handler); err != nil {
		t.Errorf("registering one that is switched off: %v", err)
	}
	check(want...)

	if err := table.Remove(handler.Name); err != nil {
		t.Fatal(err)
	}
	check(other)
	if err := table.Remove(handler.Name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removing it again: %v, want fs.ErrNotExist", err)
	}
	if enabled, err := table.Enabled(); err != nil || !enabled {
		t.Errorf("Enabled = %v, %v", enabled, err)
	}
}

// The kernel's text is what Status makes, and ParseHandler reads it.
func TestReadBack(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	table := privateTable(t)
	handlers := []emulation.Handler{
		{Name: "ext", Interpreter: "/bin/sh", Extension: "tar.gz"},
		{Name: "offset", Interpreter: "/not/there", Magic: []byte("PK"), Offset: 254},
		{Name: "no colon: in here", Interpreter: "/opt/a,b;c|d:e f", Magic: []byte(":\\x00\n\x00\xff"), Flags: "P"},
		{Name: strings.Repeat("n", 255), Interpreter: "/bin/sh", Magic: []byte("long"), Mask: []byte{0xff, 0, 0xff, 1}, Flags: "COF"},
		{Name: "long", Interpreter: "/" + strings.Repeat("d/", 700), Magic: []byte("long")},
		{Name: "wide", Interpreter: "/bin/sh", Magic: []byte(strings.Repeat("A", 256)), Mask: []byte(strings.Repeat("\xff", 256))},
	}
	for _, arch := range emulation.Arches() {
		handlers = append(handlers, arch.Handler("/not/there"))
		handlers[len(handlers)-1].Flags = "POC"
	}
	for _, h := range handlers {
		t.Run(h.Name[:min(len(h.Name), 20)], func(t *testing.T) {
			line, err := h.Registration()
			if err != nil {
				t.Fatal(err)
			}
			if err := table.Register(h); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(emulation.DefaultDir, h.Name))
			if err != nil {
				t.Fatal(err)
			}
			h.Enabled = true
			if diff := cmp.Diff(string(h.Status()), string(text)); diff != "" {
				t.Errorf("the kernel's text (-Status +kernel):\n%s", diff)
			}
			parsed, err := emulation.ParseHandler(h.Name, text)
			if err != nil {
				t.Fatal(err)
			}
			registered, err := emulation.ParseRegistration(line)
			if diff := cmp.Diff(registered, parsed); err != nil || diff != "" {
				t.Errorf("read back: %v (-registered +kernel):\n%s", err, diff)
			}
			if err := table.Register(h); err != nil { // the interpreter is not there
				t.Errorf("registering again: %v", err)
			}
			if err := table.Remove(h.Name); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is wrong with an interpreter is told at registration, if F asks for it.
func TestRegisterInterpreter(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	table := privateTable(t)
	dir := t.TempDir()
	writeFile(t, dir+"/text", "", 0o644)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		interpreter string
		want        error
		hint        string
	}{
		{dir + "/missing", fs.ErrNotExist, "; install it, or name one that exists"},
		{dir + "/text", fs.ErrPermission, "; make it executable, on a file system that is not mounted noexec"},
		{self, emulation.ErrInvalid, "this machine runs such programs without it"},
	} {
		t.Run(test.hint, func(t *testing.T) {
			h := emulation.Handler{Name: "test", Interpreter: test.interpreter, Magic: []byte("\x7fELF"), Flags: "F"}
			err := table.Register(h)
			if !errors.Is(err, test.want) || errors.Is(err, emulation.ErrPermission) || errors.Is(err, emulation.ErrNotMounted) {
				t.Errorf("Register: %v, want %v", err, test.want)
			}
			if err != nil && !strings.HasSuffix(err.Error(), test.hint) {
				t.Errorf("message %q lacks the hint %q", err, test.hint)
			}
		})
	}
	if out, err := exec.CommandContext(t.Context(), "/bin/true").CombinedOutput(); err != nil {
		t.Errorf("the machine's own programs: %v: %s", err, out)
	}
}

// case 24: read-only is neither "not mounted" nor "no permission".
func TestReadOnlyTable(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	h := emulation.Handler{Name: "test", Interpreter: "/bin/sh", Extension: "test"}
	if err := privateTable(t).Register(h); err != nil {
		t.Fatal(err)
	}
	err := unix.Mount("", emulation.DefaultDir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if err != nil {
		t.Fatal(err)
	}
	table, err := emulation.Open("")
	if err != nil {
		t.Fatal(err)
	}
	if handlers, err := table.Handlers(); err != nil || len(handlers) != 1 {
		t.Errorf("Handlers = %v, %v", handlers, err)
	}
	if err := table.Register(h); err != nil {
		t.Errorf("registering what is there: %v", err)
	}
	h.Name = "second"
	for op, err := range map[string]error{
		"Writable": table.Writable(),
		"Register": table.Register(h),
		"Remove":   table.Remove("test"),
	} {
		if !errors.Is(err, emulation.ErrReadOnly) || errors.Is(err, emulation.ErrPermission) {
			t.Errorf("%s: %v, want ErrReadOnly", op, err)
		}
	}
}

func TestMountPrivate(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	if os.Getenv(levelVariable) == "2" { // a user namespace without a mount namespace
		if err := emulation.MountPrivate(""); !errors.Is(err, emulation.ErrPermission) {
			t.Errorf("MountPrivate: %v, want ErrPermission", err)
		}
		return
	}
	rerun(t, syscall.CLONE_NEWUSER, levelVariable+"=2")

	table := privateTable(t)
	if err := emulation.MountPrivate(""); !errors.Is(err, emulation.ErrExists) {
		t.Errorf("mounting on the same directory: %v, want ErrExists", err)
	}
	h := emulation.Handler{Name: "test", Interpreter: "/bin/sh", Extension: "test"}
	if err := table.Register(h); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := emulation.MountPrivate(dir); err != nil {
		t.Fatal(err)
	}
	again, err := emulation.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Handler("test"); err != nil {
		t.Errorf("a second mount is a second instance: %v", err)
	}
	if err := unix.Unmount(emulation.DefaultDir, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Handler("test"); err != nil {
		t.Errorf("the handler did not outlive the first mount: %v", err)
	}
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	if err := emulation.MountPrivate(dir); err != nil {
		t.Fatal(err)
	}
	if handlers, err := again.Handlers(); err != nil || len(handlers) != 0 {
		t.Errorf("handlers outlived the last mount: %v, %v", handlers, err)
	}
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
}
