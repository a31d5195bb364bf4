package emulation_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/emulation"
)

// plainTable makes a table of ordinary files. Reading it is the same as with
// the real thing; what is written to a file just stays there.
func plainTable(t *testing.T, files map[string]string) (*emulation.Table, string) {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "register"), "", 0o600)
	writeFile(t, filepath.Join(dir, "status"), "enabled\n", 0o644)
	for name, text := range files {
		writeFile(t, filepath.Join(dir, name), text, 0o644)
	}
	table, err := emulation.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return table, dir
}

// written returns what the file has after a write to its beginning.
func written(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// case 24: a directory without the file system is not a table without handlers.
func TestOpenNotMounted(t *testing.T) {
	empty := t.TempDir()
	odd := t.TempDir()
	writeFile(t, filepath.Join(odd, "status"), "all is well\n", 0o644)
	for name, dir := range map[string]string{
		"empty":   empty,
		"missing": filepath.Join(empty, "missing"),
		"odd":     odd,
	} {
		t.Run(name, func(t *testing.T) {
			table, err := emulation.Open(dir)
			if !errors.Is(err, emulation.ErrNotMounted) || table != nil {
				t.Fatalf("Open = %v, %v, want ErrNotMounted", table, err)
			}
			if hint := "run `modprobe binfmt_misc; mount -t binfmt_misc binfmt_misc " + dir + "` as root"; !strings.HasSuffix(err.Error(), hint) {
				t.Errorf("message %q does not end in the hint", err)
			}
		})
	}
}

func TestOpenOnOtherSystems(t *testing.T) {
	if runtime.GOOS == "linux" {
		t.Skip("this is Linux")
	}
	if _, err := emulation.Open(""); !errors.Is(err, emulation.ErrUnsupported) {
		t.Errorf("Open: %v, want ErrUnsupported", err)
	}
	if err := emulation.MountPrivate(""); !errors.Is(err, emulation.ErrUnsupported) {
		t.Errorf("MountPrivate: %v, want ErrUnsupported", err)
	}
}

func TestHandlers(t *testing.T) {
	table, dir := plainTable(t, map[string]string{
		"qemu-s390x": "enabled\ninterpreter /q\nflags: F\noffset 0\nmagic 61\n",
		"jar":        "disabled\ninterpreter /j\nflags: \nextension .jar\n",
		"broken":     "what?\n",
	})
	handlers, err := table.Handlers()
	want := []emulation.Handler{
		{Name: "jar", Interpreter: "/j", Extension: "jar"},
		{Name: "qemu-s390x", Interpreter: "/q", Flags: "F", Magic: []byte("a"), Enabled: true},
	}
	if diff := cmp.Diff(want, handlers); diff != "" {
		t.Errorf("Handlers (-want +got):\n%s", diff)
	}
	if !errors.Is(err, emulation.ErrInvalid) || !strings.Contains(err.Error(), `"broken"`) {
		t.Errorf("Handlers: %v, want one about the broken one", err)
	}
	if table.Dir() != dir {
		t.Errorf("Dir = %q", table.Dir())
	}
	if _, err := table.Handler("missing"); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, emulation.ErrNotMounted) {
		t.Errorf("Handler: %v, want fs.ErrNotExist", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Handler("jar"); !errors.Is(err, emulation.ErrNotMounted) {
		t.Errorf("Handler: %v, want ErrNotMounted", err)
	}
	if _, err := table.Handlers(); !errors.Is(err, emulation.ErrNotMounted) {
		t.Errorf("Handlers: %v, want ErrNotMounted", err)
	}
}

func TestEnabled(t *testing.T) {
	table, dir := plainTable(t, nil)
	for text, want := range map[string]bool{"enabled\n": true, "disabled\n": false} {
		writeFile(t, filepath.Join(dir, "status"), text, 0o644)
		if got, err := table.Enabled(); err != nil || got != want {
			t.Errorf("Enabled with %q = %v, %v", text, got, err)
		}
	}
}

// case 23: registering what is there already is no error and changes nothing.
func TestRegisterExisting(t *testing.T) {
	const same = "enabled\ninterpreter /q\nflags: POCF\noffset 0\nmagic 616263\nmask ffffff\n"
	want := emulation.Handler{Name: "test", Interpreter: "/q", Magic: []byte("abc"), Flags: "FCP"}
	for _, test := range []struct{ name, text, difference, written string }{
		{name: "same", text: same, written: same},
		{name: "switched off", text: strings.Replace(same, "enabled", "disabled", 1), written: "1" + strings.Replace(same, "enabled", "isabled", 1)},
		{name: "interpreter", text: strings.Replace(same, "/q", "/other", 1), difference: `interpreter "/other" instead of "/q"`},
		{name: "flags", text: strings.Replace(same, "POCF", "POF", 1), difference: `flags "POF" instead of "POCF"`},
		{name: "magic", text: strings.Replace(same, "magic 61", "magic 62", 1), difference: "magic 626263 instead of 616263"},
		{name: "mask", text: strings.Replace(same, "ffffff", "ffff00", 1), difference: "mask ffff00 instead of "},
		{name: "offset", text: strings.Replace(same, "offset 0", "offset 4", 1), difference: "offset 4 instead of 0"},
		{name: "kind", text: "enabled\ninterpreter /q\nflags: POCF\nextension .abc\n", difference: `extension "abc" instead of ""`},
	} {
		t.Run(test.name, func(t *testing.T) {
			table, dir := plainTable(t, map[string]string{"test": test.text})
			err := table.Register(want)
			if test.difference == "" {
				if err != nil {
					t.Fatal(err)
				}
			} else {
				if !errors.Is(err, emulation.ErrExists) || !strings.Contains(err.Error(), "already exists with "+test.difference) {
					t.Fatalf("Register: %v, want ErrExists with %q", err, test.difference)
				}
				if !strings.HasSuffix(err.Error(), "; remove it first: run `echo -1 | sudo tee "+filepath.Join(dir, "test")+"`") {
					t.Errorf("message %q does not end in the hint", err)
				}
				test.written = test.text
			}
			if got := written(t, dir, "test"); got != test.written {
				t.Errorf("handler has %q, want %q", got, test.written)
			}
			if got := written(t, dir, "status"); got != "enabled\n" {
				t.Errorf("status has %q", got)
			}
		})
	}
}

func TestRegisterWritesOneLine(t *testing.T) {
	table, dir := plainTable(t, nil)
	arm64 := emulation.Arches()[1]
	if err := table.Register(arm64.Handler("/usr/bin/qemu-aarch64-static")); err != nil {
		t.Fatal(err)
	}
	if got := written(t, dir, "register"); got != arm64Line {
		t.Errorf("registered %q, want %q", got, arm64Line)
	}
}

// The table's own files are not handlers; -1 in status would remove everything.
func TestNamesOfTheTable(t *testing.T) {
	table, dir := plainTable(t, map[string]string{"test": "enabled\nflags: \n"})
	for _, name := range []string{"status", "register", "", ".", "..", "../" + filepath.Base(dir) + "/status", "a/b"} {
		t.Run(name, func(t *testing.T) {
			if err := table.Remove(name); !errors.Is(err, emulation.ErrInvalid) {
				t.Errorf("Remove: %v, want ErrInvalid", err)
			}
			if err := table.Register(emulation.Handler{Name: name, Interpreter: "/i", Extension: "e"}); !errors.Is(err, emulation.ErrInvalid) {
				t.Errorf("Register: %v, want ErrInvalid", err)
			}
			if _, err := table.Handler(name); !errors.Is(err, emulation.ErrInvalid) {
				t.Errorf("Handler: %v, want ErrInvalid", err)
			}
		})
	}
	if got := written(t, dir, "status"); got != "enabled\n" {
		t.Errorf("status has %q", got)
	}
	if err := table.Remove("missing"); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, emulation.ErrNotMounted) {
		t.Errorf("Remove: %v, want fs.ErrNotExist", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Remove made a file: %v", err)
	}
	if err := table.Remove("test"); err != nil || !strings.HasPrefix(written(t, dir, "test"), "-1") {
		t.Errorf("Remove: %v, file has %q", err, written(t, dir, "test"))
	}
}

// case 30: a handler for the machine's own programs would take its interpreter
// too, and then nothing runs any more.
func TestRegisterRefusesItsOwnInterpreter(t *testing.T) {
	table, dir := plainTable(t, nil)
	interpreter := filepath.Join(dir, "qemu.elf")
	header := known["arm64"]
	header.kind = 3 // ET_DYN
	writeFile(t, interpreter, string(header.header(t)), 0o755)
	for _, h := range []emulation.Handler{
		emulation.Arches()[1].Handler(interpreter),
		{Name: "any", Interpreter: interpreter, Magic: []byte("\x7fELF"), Flags: "F"},
		{Name: "any", Interpreter: interpreter, Magic: []byte{0}, Offset: 250},
		{Name: "elf", Interpreter: interpreter, Extension: "elf"},
	} {
		if err := table.Register(h); !errors.Is(err, emulation.ErrInvalid) || !strings.Contains(err.Error(), "itself a program that it takes") {
			t.Errorf("Register(%+v): %v, want ErrInvalid", h, err)
		}
	}
	if got := written(t, dir, "register"); got != "" {
		t.Errorf("registered %q", got)
	}
	if err := table.Register(emulation.Arches()[0].Handler(interpreter)); err != nil {
		t.Errorf("Register for another architecture: %v", err)
	}
}
