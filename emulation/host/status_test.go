package host_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/host"
)

// tableOf makes a directory that looks like a table.
func tableOf(t testing.TB, status string, handlers ...emulation.Handler) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/register", "")
	write(t, dir+"/status", status+"\n")
	for _, h := range handlers {
		write(t, filepath.Join(dir, h.Name), string(h.Status()))
	}
	return dir
}

func inspect(t testing.TB, dir string) host.Status {
	t.Helper()
	status, err := host.Inspect(t.Context(), host.StatusOptions{Table: dir, Foreign: true, Sources: host.Sources{
		Systemd: []string{}, Support: "/nowhere", Offered: "/nowhere",
	}})
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// The JSON is an interface: this is all of it.
func TestStatusJSON(t *testing.T) {
	gone := arch(t, "s390x").Handler("/nowhere/qemu-s390x")
	off := emulation.Handler{Name: "python3.11", Interpreter: "/usr/bin/python3.11", Magic: []byte("\xa7\r\r\n")}
	status := inspect(t, tableOf(t, "enabled", gone, off))
	status.Dir, status.Kernel, status.Missing = "DIR", "6.18.0", nil
	got, err := json.MarshalIndent(status, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
  "dir": "DIR",
  "access": "writable",
  "enabled": true,
  "kernel": "6.18.0",
  "handlers": [
    {
      "name": "python3.11",
      "kind": "other",
      "enabled": false,
      "interpreter": "/usr/bin/python3.11",
      "flags": "",
      "owner": {
        "name": "unknown"
      },
      "level": "ok",
      "verdicts": []
    },
    {
      "name": "qemu-s390x",
      "kind": "qemu",
      "enabled": true,
      "interpreter": "/nowhere/qemu-s390x",
      "flags": "POCF",
      "platform": "linux/s390x",
      "owner": {
        "name": "unknown"
      },
      "level": "note",
      "verdicts": [
        {
          "code": "interpreter-gone",
          "level": "note",
          "text": "its interpreter is not on disk: it runs the file that was opened when it was registered, until it is removed"
        }
      ]
    }
  ],
  "missing": null
}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// case 24: three different reasons why a table is of no use.
func TestStatusAccess(t *testing.T) {
	empty := inspect(t, t.TempDir())
	if empty.Access != host.NotMounted || !strings.Contains(empty.Hint, "mount -t binfmt_misc") || empty.Handlers == nil {
		t.Errorf("not mounted: %+v", empty)
	}
	if os.Geteuid() != 0 {
		dir := tableOf(t, "enabled")
		for path, want := range map[string]host.Access{dir + "/register": host.NoPermission, dir + "/status": host.Unreadable} {
			if err := os.Chmod(path, 0); err != nil {
				t.Fatal(err)
			}
			if got := inspect(t, dir); got.Access != want || got.Problem == "" || got.Hint == "" {
				t.Errorf("%s: %+v", path, got)
			}
		}
	}
	off := inspect(t, tableOf(t, "disabled", arch(t, "s390x").Handler("/nowhere/qemu-s390x")))
	if off.Access != host.Writable || off.Enabled || off.Handlers[0].Level != emulation.Broken {
		t.Errorf("switched off: %+v", off)
	}
	missing := len(emulation.Arches()) - len(slices.DeleteFunc(emulation.Arches(), func(a emulation.Arch) bool { return !a.Native() }))
	for what, s := range map[string]host.Status{"not mounted": empty, "switched off": off} {
		if len(s.Missing) != missing {
			t.Errorf("%s: missing %v", what, s.Missing)
		}
	}
}

// Rosetta and others are in the list, and run what they run.
func TestStatusOfOthers(t *testing.T) {
	a := slices.DeleteFunc(emulation.Arches(), emulation.Arch.Native)[0]
	rosetta := a.Handler("/run/rosetta/rosetta")
	rosetta.Name, rosetta.Flags = "rosetta", "CF"
	status := inspect(t, tableOf(t, "enabled", rosetta))
	if len(status.Handlers) != 1 || status.Handlers[0].Kind != emulation.Rosetta || len(status.Handlers[0].Verdicts) != 0 {
		t.Errorf("%+v", status.Handlers)
	}
	if slices.ContainsFunc(status.Missing, func(p string) bool { return strings.HasPrefix(p, "linux/"+a.Platform.Architecture) }) {
		t.Errorf("missing %v, though Rosetta runs it", status.Missing)
	}
}

// BenchmarkInspect is the work of `mabuild emulation status` on a machine with all
// of Debian's 30 handlers.
func BenchmarkInspect(b *testing.B) {
	files, err := filepath.Glob("/usr/lib/binfmt.d/qemu-*.conf")
	if err != nil || len(files) == 0 {
		b.Skip("Debian's qemu-user-static is not installed")
	}
	var handlers []emulation.Handler
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		found, err := host.ParseConfig(text)
		if err != nil {
			b.Fatal(err)
		}
		handlers = append(handlers, found...)
	}
	dir := tableOf(b, "enabled", handlers...)
	for b.Loop() {
		status, err := host.Inspect(b.Context(), host.StatusOptions{Table: dir, Foreign: true})
		if err != nil || len(status.Handlers) != len(handlers) {
			b.Fatal(err)
		}
	}
}
