package emulation_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mabuild/mabuild/emulation"
)

// asOrdinaryUser runs f without root's power over files.
func asOrdinaryUser(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	// File system ids are a thread's; the kernel drops CAP_DAC_OVERRIDE from
	// the effective capabilities along with them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	setfsuid := func(uid int) (ok bool) {
		if _, err := unix.SetfsuidRetUid(uid); err != nil {
			t.Fatal(err)
		}
		now, err := unix.SetfsuidRetUid(-1) // changes nothing, tells the id
		return err == nil && now == uid
	}
	if !setfsuid(65534) {
		t.Skip("there is no second user in this namespace")
	}
	defer setfsuid(0)
	f()
}

// case 24: an ordinary user can look, and is told what it takes to change.
func TestOrdinaryUser(t *testing.T) {
	_, dir := plainTable(t, map[string]string{"jar": "enabled\ninterpreter /j\nflags: \nextension .jar\n"})
	for path, mode := range map[string]os.FileMode{
		filepath.Dir(dir): 0o755, dir + "/register": 0, dir + "/jar": 0o444,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	asOrdinaryUser(t, func() {
		table, err := emulation.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if handlers, err := table.Handlers(); err != nil || len(handlers) != 1 {
			t.Errorf("Handlers = %v, %v", handlers, err)
		}
		for op, err := range map[string]error{
			"Writable": table.Writable(),
			"Register": table.Register(magic(nil)),
			"Remove":   table.Remove("jar"),
		} {
			if !errors.Is(err, emulation.ErrPermission) || !strings.HasSuffix(err.Error(), "; run the command as root") {
				t.Errorf("%s: %v, want ErrPermission with a hint", op, err)
			}
		}
	})
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	asOrdinaryUser(t, func() {
		if _, err := emulation.Open(dir); !errors.Is(err, emulation.ErrPermission) {
			t.Errorf("Open: %v, want ErrPermission", err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil { // for t.TempDir
		t.Fatal(err)
	}
}

func TestMountErrors(t *testing.T) {
	for _, test := range []struct {
		errno         unix.Errno
		release       string
		want          error
		message, hint string
	}{
		{unix.EPERM, "6.1.0-18-amd64", emulation.ErrUnsupported, "by Linux 6.1.0-18-amd64, only from 6.7 on", "run a newer kernel"},
		{unix.EPERM, "6.6.99", emulation.ErrUnsupported, "only from 6.7 on", "run a newer kernel"},
		{unix.EPERM, "6.7.0", emulation.ErrPermission, "no permission", "start the process in a user and a mount namespace"},
		{unix.EPERM, "6.18.44", emulation.ErrPermission, "no permission", "apparmor_restrict_unprivileged_userns"},
		{unix.ENODEV, "6.18.44", emulation.ErrUnsupported, "the kernel has no binfmt_misc", "modprobe binfmt_misc"},
		{unix.ENOENT, "6.18.44", emulation.ErrUnsupported, "no such directory", "modprobe binfmt_misc"},
		{unix.EBUSY, "6.18.44", emulation.ErrExists, "mounted there", "open it"},
		{unix.ENOMEM, "6.18.44", unix.ENOMEM, "cannot allocate memory", ""},
	} {
		t.Run(test.errno.Error()+" "+test.release, func(t *testing.T) {
			err := emulation.MountError("mounting", test.errno, test.release)
			if !errors.Is(err, test.want) || !errors.Is(err, test.errno) {
				t.Errorf("error %v is not %v and %v", err, test.want, test.errno)
			}
			if text := err.Error(); !strings.Contains(text, test.message) || !strings.Contains(text, test.hint) {
				t.Errorf("message %q lacks %q or %q", text, test.message, test.hint)
			}
		})
	}
}

func TestMountPrivateInInitialNamespace(t *testing.T) {
	if namespace, err := os.Readlink("/proc/self/ns/user"); err != nil || namespace != emulation.InitialUserNamespace {
		t.Skipf("the tests run in the user namespace %q, %v", namespace, err)
	}
	if err := emulation.MountPrivate(t.TempDir()); !errors.Is(err, emulation.ErrInvalid) {
		t.Errorf("MountPrivate: %v, want ErrInvalid", err)
	}
}
