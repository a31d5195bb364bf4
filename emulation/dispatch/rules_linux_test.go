package dispatch_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// What is in the environment of a program may be a reason to emulate it.
func TestEnvironment(t *testing.T) {
	inBoxes(t, func(t *testing.T, b box) {
		for want, variables := range map[dispatch.Kind][]string{
			dispatch.Environment: {
				"LD_PRELOAD=/missing.so", "LD_LIBRARY_PATH=/x", "LD_AUDIT=/x", "LD_DEBUG=", "LD_DEBUG_OUTPUT=/x",
				"LD_TRACE_LOADED_OBJECTS=1", "GLIBC_TUNABLES=glibc.malloc.check=3", "MALLOC_ARENA_MAX=1",
				"LOCPATH=/x", "GCONV_PATH=/x", "GETCONF_DIR=/x", "QEMU_CPU=max", "MABUILD_ASSIST=0",
			},
			dispatch.Locale: {
				"LANG=de_DE", "LANG=de_DE.ISO-8859-1", "LC_ALL=de_DE@euro", "LC_CTYPE=ja_JP.eucJP", "LC_MESSAGES=ru_RU.KOI8-R",
				"LANG=UTF-8", "LANG=c", "LC_ALL=C.",
			},
			dispatch.Native: {
				"PATH=/", "LD_RUN_PATH=/x", "LDFLAGS=-lm", "XLD_PRELOAD=/x", "MABUILD_ASSIST=1", "LANGUAGE=de", "LANG=", "LANG=C",
				"LC_ALL=POSIX", "LANG=C.UTF-8", "LANG=C.utf8", "LANG=de_DE.UTF-8", "LC_ALL=en_US.utf8", "LC_CTYPE=C.UTF8",
			},
		} {
			for _, variable := range variables {
				cmd := b.command(t, "/program", "program")
				cmd.Env = append(cmd.Env, variable)
				b.expect(t, want, cmd)
			}
		}
	})
}

// LC_ALL decides alone; the files of locales have a byte order.
func TestLocale(t *testing.T) {
	inBoxes(t, func(t *testing.T, b box) {
		for _, test := range []struct {
			path        string
			environment string
			want        dispatch.Kind
		}{
			{"/program", "LC_ALL=C LANG=de_DE", dispatch.Native},
			{"/program", "LANG=de_DE LC_ALL=C", dispatch.Native},
			{"/program", "LC_ALL= LANG=de_DE", dispatch.Locale},
			{"/program", "LC_ALL=de_DE LANG=C", dispatch.Locale},
			{"/program", "LC_CTYPE=C LANG=de_DE", dispatch.Locale}, // the other categories
			{"/program", "LANG=C LC_COLLATE=de_DE", dispatch.Locale},
			{"/big", "LANG=", dispatch.Native},
			{"/big", "LC_ALL=C", dispatch.Native},
			{"/big", "LANG=POSIX", dispatch.Native},
			{"/big", "LC_ALL=C.UTF-8 LANG=de_DE.UTF-8", dispatch.Native},
			{"/big", "LC_ALL=C.utf8", dispatch.Native},
			{"/big", "LANG=de_DE.UTF-8", dispatch.Locale},
			{"/big", "LANG=C.UTF-8 LC_TIME=de_DE.UTF-8", dispatch.Locale},
		} {
			cmd := b.command(t, test.path, "program")
			cmd.Env = append(cmd.Env, strings.Fields(test.environment)...)
			b.expect(t, test.want, cmd)
		}
	})
}

// The root file system must have the libraries that the tool was made with.
func TestClosure(t *testing.T) {
	inBoxes(t, func(t *testing.T, b box) {
		b.write(t, "/lib/known.so", program(t, "arm64", knownID), 0o644)
		b.write(t, "/lib/big.so", program(t, "s390x", unknownID), 0o644)
		b.write(t, "/lib/text.so", []byte(strings.Repeat("not ELF ", 100)), 0o644)
		if err := syscall.Mkfifo(b.root+"/lib/pipe.so", 0o666); err != nil {
			t.Fatal(err)
		}
		const known, big = knownID + " /lib/known.so\n", unknownID + " /lib/big.so\n"
		for text, want := range map[string]dispatch.Kind{
			"":                                       dispatch.Native,
			known:                                    dispatch.Native,
			known + big:                              dispatch.Native,
			big + known + known:                      dispatch.Native,
			strings.Repeat(known, 8191/len(known)):   dispatch.Native,
			strings.Repeat(known, 8192/len(known)+1): dispatch.Closure, // too long
			known[:len(known)-1]:                     dispatch.Closure, // cut off
			known + "\n":                             dispatch.Closure,
			knownID:                                  dispatch.Closure,
			unknownID + " /lib/known.so\n":           dispatch.Closure,
			knownID[:38] + " /lib/known.so\n":        dispatch.Closure,
			knownID + "00 /lib/known.so\n":           dispatch.Closure,
			" /lib/text.so\n":                        dispatch.Closure,
			knownID + " /lib/missing.so\n":           dispatch.Closure,
			knownID + " /lib\n":                      dispatch.Closure,
			knownID + " /lib/pipe.so\n":              dispatch.Closure,
			known + unknownID + " /lib/known.so\n":   dispatch.Closure,
		} {
			b.write(t, tool(dispatch.ClosureName), []byte(text), 0o644)
			b.expect(t, want, b.command(t, "/program", "program", text[:min(len(text), 80)]))
		}
		b.remove(t, tool(dispatch.ClosureName))
		b.write(t, tool(dispatch.ClosureName)+"/x", nil, 0o644)
		b.expect(t, dispatch.Closure, b.command(t, "/program", "a directory"))
	})
}

// A second tool for the program is for root file systems with other libraries, and
// keeps to its own rules.
func TestOtherClosure(t *testing.T) {
	other := func(name string) string { return dispatch.OtherDir + "/" + knownID + "/" + name }
	inBoxes(t, func(t *testing.T, b box) {
		b.write(t, "/lib/known.so", program(t, "arm64", knownID), 0o644)
		const fits, old = knownID + " /lib/known.so\n", unknownID + " /lib/known.so\n"
		b.write(t, tool(dispatch.ClosureName), []byte(old), 0o644)
		b.expect(t, dispatch.Closure, b.command(t, "/program", "no other"))
		b.write(t, other(dispatch.ClosureName), []byte(fits), 0o644)
		b.expect(t, dispatch.Closure, b.command(t, "/program", "other libraries, and no tool"))
		if err := os.Symlink("../../id/"+knownID+"/_", b.root+other(dispatch.AnyName)); err != nil {
			t.Fatal(err)
		}
		b.expect(t, dispatch.Native, b.command(t, "/program", "other"))
		b.write(t, other(dispatch.RulesName), []byte("?"), 0o644)
		b.expect(t, dispatch.Arguments, b.command(t, "/program", "damaged rules"))
		b.remove(t, other(dispatch.RulesName))
		b.write(t, other(dispatch.ClosureName), []byte(old), 0o644)
		b.expect(t, dispatch.Closure, b.command(t, "/program", "neither"))
		b.write(t, tool(dispatch.ClosureName), []byte(fits), 0o644)
		b.expect(t, dispatch.Native, b.command(t, "/program", "the first"))
	})
}

// A library that is loaded into every program is one of the target's.
func TestPreload(t *testing.T) {
	inBoxes(t, func(t *testing.T, b box) {
		b.expect(t, dispatch.Native, b.command(t, "/program", "program"))
		b.write(t, "/etc/ld.so.preload", []byte("/x.so\n"), 0o644)
		b.expect(t, dispatch.Preload, b.command(t, "/program", "program"))
	})
}

// Whatever is wrong with the tools, the program runs.
func TestDamage(t *testing.T) {
	inBoxes(t, func(t *testing.T, b box) {
		native := program(t, "amd64", unknownID)
		damage := func(path string, text []byte, mode os.FileMode, want dispatch.Kind) {
			t.Helper()
			b.remove(t, filepath.Dir(tool("")))
			b.write(t, path, text, mode)
			b.expect(t, want, b.command(t, "/program", "program"))
		}
		damage(tool("other"), native, 0o755, dispatch.Unknown)
		damage(tool(dispatch.AnyName), native, 0o755, dispatch.Native)
		damage(tool("program"), native, 0o644, dispatch.Unknown)
		damage(tool("program"), native[:100], 0o755, dispatch.ExecFailed)
		damage(tool("program"), nil, 0o755, dispatch.ExecFailed)
		damage(tool("program")+"/directory", native, 0o755, dispatch.ExecFailed)
		damage(filepath.Dir(tool("")), native, 0o755, dispatch.Unknown) // no directory
		// It would be executed in its own place for ever.
		b.remove(t, filepath.Dir(tool("")))
		b.write(t, tool("program"), program(t, "arm64", knownID), 0o755)
		got := b.run(t, b.command(t, "/program", "program"))
		if want := []dispatch.Kind{dispatch.Native, dispatch.Unknown}; got.View.Arch != "arm64" || !slices.Equal(want, got.Kinds) {
			t.Errorf("a tool of the target's own architecture: %+v", got)
		}
		b.remove(t, dispatch.Dir)
		b.expect(t, dispatch.Unknown, b.command(t, "/program", "program"))
	})
}

// Nothing depends on the log.
func TestLog(t *testing.T) {
	inBoxes(t, func(t *testing.T, b box) {
		text := program(t, "arm64", knownID)
		long := "/" + strings.Repeat("directory/", 20)
		b.write(t, long+"program", text, 0o755)
		for _, path := range []string{"/program", long + "program"} {
			if out, err := b.command(t, path, path).Output(); err != nil || len(out) == 0 {
				t.Fatalf("%s: %v", path, err)
			}
		}
		file, err := os.Open(b.root + dispatch.LogPath)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		log, err := dispatch.ReadRecords(file, 1<<20)
		if err != nil || len(log.Records) != 2 {
			t.Fatalf("%+v, %v", log, err)
		}
		for i, path := range []string{"/program", (long + "program")[len(long+"program")-64:]} {
			r := log.Records[i]
			if r.Path != path || r.BuildID != knownID || r.PID <= 1 || r.PPID != os.Getpid() || r.Time <= 0 || r.CPU <= 0 {
				t.Errorf("record %d: %+v", i, r)
			}
		}
		if log.Records[0].Time > log.Records[1].Time {
			t.Error("the clock goes backwards")
		}
		b.kinds(t)

		// A signal would end the process if it wrote.
		got := b.run(t, b.command(t, "/native", "native", "fsize", "/program"))
		if got.View.Arch != "amd64" || len(got.Kinds) != 0 {
			t.Errorf("with a limit for files: %+v", got)
		}
		for name, make := range map[string]func(path string) error{
			"nothing":     func(string) error { return nil },
			"a directory": func(path string) error { return os.Mkdir(path, 0o777) },
			"a pipe":      func(path string) error { return syscall.Mkfifo(path, 0o666) },
			"a link":      func(path string) error { return os.Symlink("/program", path) },
		} {
			b.remove(t, dispatch.LogPath)
			if err := make(b.root + dispatch.LogPath); err != nil {
				t.Fatal(err)
			}
			for path, want := range map[string]string{"/program": "amd64", "/unknown": "arm64"} {
				cmd := b.command(t, path, path)
				out, err := cmd.Output()
				if err != nil || !strings.Contains(string(out), want) {
					t.Errorf("with %s for the log, %s: %s, %v", name, path, out, err)
				}
			}
		}
	})
}

// A root directory without /dev and /proc, and QEMU started by hand.
func TestElsewhere(t *testing.T) {
	inBoxes(t, func(t *testing.T, b box) {
		text := program(t, "arm64", knownID)
		b.write(t, "/inner/program", text, 0o755)
		cmd := b.command(t, "/program", "program")
		cmd.SysProcAttr.Chroot += "/inner"
		if got := b.run(t, cmd); got.View.Arch != "arm64" || len(got.Kinds) != 0 {
			t.Errorf("in an empty root directory: %+v", got)
		}
		_, path := qemu(t, "arm64")
		qemu, err := os.ReadFile(injected(t, path))
		if err != nil {
			t.Fatal(err)
		}
		b.write(t, "/qemu", qemu, 0o755)
		got := b.run(t, b.command(t, "/qemu", "qemu", "/program", "one", "two"))
		if got.View.Arch != "arm64" || len(got.Kinds) != 0 {
			t.Errorf("by hand: %+v", got)
		}
	})
}
