package emulation_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/emulationtest"
)

// cases 19 and 25: whatever happens to a table of our own, it is put right.
func TestRepair(t *testing.T) {
	if !emulationtest.InNamespace(t) {
		return
	}
	table := emulationtest.Table(t)
	var expected []emulation.Handler
	registered, err := table.RegisterFound(t.Context(), emulation.RegisterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range registered {
		expected = append(expected, r.Handler)
	}
	foreign := emulation.Handler{Name: "jar", Interpreter: "/bin/sh", Extension: "jar", Enabled: true}
	if err := table.Register(foreign); err != nil {
		t.Fatal(err)
	}
	name := expected[0].Name
	replace := func(change func(*emulation.Handler)) error {
		h := expected[0]
		change(&h)
		return errors.Join(table.Remove(name), table.Register(h))
	}
	for _, test := range []struct {
		damage string
		do     func() error
		reason string
	}{
		{"none", func() error { return nil }, ""},
		{"removed", func() error { return table.Remove(name) }, "was missing"},
		{"switched off", func() error { return table.Disable(name) }, "was switched off"},
		{"other flags", func() error { return replace(func(h *emulation.Handler) { h.Flags = "F" }) }, `had flags "F" instead of "POCF"`},
		{"other interpreter", func() error {
			return replace(func(h *emulation.Handler) { h.Interpreter = expected[1].Interpreter })
		}, "had interpreter"},
		{"other programs", func() error {
			return replace(func(h *emulation.Handler) { h.Magic, h.Mask, h.Extension = nil, nil, "x" })
		}, `had extension "x" instead of ""`},
	} {
		t.Run(test.damage, func(t *testing.T) {
			if err := test.do(); err != nil {
				t.Fatal(err)
			}
			// Builds that start at the same time repair at the same time.
			var group sync.WaitGroup
			var mutex sync.Mutex
			var reasons []string
			for range 4 {
				group.Go(func() {
					repaired, err := table.Repair(expected)
					mutex.Lock()
					defer mutex.Unlock()
					if err != nil {
						t.Error(err)
					}
					for _, r := range repaired {
						reasons = append(reasons, r.Handler.Name+" "+r.Reason)
					}
				})
			}
			group.Wait()
			if (len(reasons) == 0) != (test.reason == "") {
				t.Errorf("repaired %q, want %q", reasons, test.reason)
			}
			if test.reason != "" && !slices.ContainsFunc(reasons, func(r string) bool { return strings.HasPrefix(r, name+" "+test.reason) }) {
				t.Errorf("repaired %q, want %q", reasons, test.reason)
			}
			handlers, err := table.Handlers()
			want := append(slices.Clone(expected), foreign)
			slices.SortFunc(want, func(a, b emulation.Handler) int { return strings.Compare(a.Name, b.Name) })
			if diff := cmp.Diff(want, handlers); err != nil || diff != "" {
				t.Errorf("Handlers: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestRepairErrors(t *testing.T) {
	if !emulationtest.InNamespace(t) {
		return
	}
	table := emulationtest.Table(t)
	gone := guest().Handler("/nowhere/qemu")
	fine := emulation.Handler{Name: "jar", Interpreter: "/bin/sh", Extension: "jar", Enabled: true}
	repaired, err := table.Repair([]emulation.Handler{gone, fine})
	if !errors.Is(err, fs.ErrNotExist) || len(repaired) != 1 || repaired[0].Handler.Name != "jar" {
		t.Errorf("Repair = %v, %v, want one repaired and ErrNotExist", repaired, err)
	}
	// case 19: the mount itself is gone.
	if err := unix.Unmount(emulation.DefaultDir, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Repair([]emulation.Handler{fine}); !errors.Is(err, emulation.ErrNotMounted) {
		t.Errorf("Repair: %v, want ErrNotMounted", err)
	}
	// What install --mount does, here with the namespace's instance.
	if err := emulation.MountHost(""); err != nil {
		t.Fatal(err)
	}
	if err := emulation.MountHost(""); !errors.Is(err, emulation.ErrExists) {
		t.Errorf("MountHost: %v, want ErrExists", err)
	}
	if _, err := table.Repair([]emulation.Handler{fine}); err != nil {
		t.Error(err)
	}
}

// case 24: read-only is told from no permission, to root and to others.
func TestWritableReadOnly(t *testing.T) {
	if !emulationtest.InNamespace(t) {
		return
	}
	table := emulationtest.Table(t)
	if err := table.Writable(); err != nil {
		t.Fatal(err)
	}
	if emulationtest.HasUsers(t) {
		asOrdinaryUser(t, func() {
			if err := table.Writable(); !errors.Is(err, emulation.ErrPermission) {
				t.Errorf("as an ordinary user: %v, want ErrPermission", err)
			}
		})
	}
	const flags = unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("", emulation.DefaultDir, "", flags, ""); err != nil {
		t.Fatal(err)
	}
	check := func(who string) {
		if err := table.Writable(); !errors.Is(err, emulation.ErrReadOnly) || errors.Is(err, emulation.ErrPermission) {
			t.Errorf("%s, read-only: %v, want ErrReadOnly", who, err)
		}
	}
	check("as root")
	if emulationtest.HasUsers(t) {
		asOrdinaryUser(t, func() { check("as an ordinary user") })
	}
}

func TestNamespaceOfRoot(t *testing.T) {
	if !emulationtest.InNamespace(t) {
		return
	}
	dir := t.TempDir()
	emulationtest.Table(t)
	if err := emulation.MountScratch(dir); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "script")
	writeFile(t, script, "#!/bin/sh\nid -u\n", 0o755)
	if out, err := exec.CommandContext(t.Context(), script).Output(); err != nil || string(out) != "0\n" {
		t.Errorf("= %q, %v, want root", out, err)
	}
	if _, err := emulation.EnterNamespace(); !errors.Is(err, emulation.ErrExists) {
		t.Errorf("EnterNamespace once more: %v, want ErrExists", err)
	}
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("below the scratch file system: %v, %v", entries, err)
	}
}

func TestNamespaceErrors(t *testing.T) {
	for errno, want := range map[unix.Errno]error{
		unix.EPERM: emulation.ErrPermission, unix.EACCES: emulation.ErrPermission,
		unix.ENOSPC: emulation.ErrPermission, unix.EUSERS: emulation.ErrPermission,
		unix.EINVAL: emulation.ErrUnsupported, unix.ENOMEM: unix.ENOMEM,
	} {
		err := emulation.NamespaceError("starting", errno)
		if !errors.Is(err, want) || !errors.Is(err, errno) {
			t.Errorf("%v: %v, want %v", errno, err, want)
		}
	}
}

func TestParseIDMap(t *testing.T) {
	for text, want := range map[string]string{
		"         0          0 4294967295\n": "0=0+4294967295 ",
		"         0       1001          1\n": "0=0+1 ",
		"0 1001 1\n1 100000 65536\n":         "0=0+1 1=1+65536 ",
		"":                                   "error",
		"0 0\n":                              "error",
		"0 0 x\n":                            "error",
		"0 0 0\n":                            "error",
		"0 0 4294967296\n":                   "error",
	} {
		t.Run(text, func(t *testing.T) {
			got := ""
			ids, err := emulation.ParseIDMap([]byte(text))
			for _, id := range ids {
				got += fmt.Sprintf("%d=%d+%d ", id.ContainerID, id.HostID, id.Size)
			}
			if err != nil {
				got = "error"
			}
			if got != want {
				t.Errorf("= %q, %v, want %q", got, err, want)
			}
		})
	}
}

func FuzzParseIDMap(f *testing.F) {
	f.Add("         0          0 4294967295\n")
	f.Add("0 1001 1\n1 100000 65536\n")
	f.Fuzz(func(t *testing.T, text string) {
		ids, err := emulation.ParseIDMap([]byte(text))
		if err == nil && len(ids) == 0 {
			t.Error("no ids and no error")
		}
		for _, id := range ids {
			if id.ContainerID != id.HostID || id.ContainerID < 0 || id.Size <= 0 {
				t.Errorf("%q: %+v", text, id)
			}
		}
	})
}
