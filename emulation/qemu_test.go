package emulation_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/emulation"
)

// qemus makes directories with programs in them: "static" is an ELF program
// without a dynamic linker, "dynamic" one with it, anything else is the text.
func qemus(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows tells programs by their extension")
	}
	dir = t.TempDir()
	static := known["amd64"]
	static.kind = 2 // ET_EXEC
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		switch text {
		case "static":
			text = string(static.header(t))
		case "dynamic":
			text = dynamic(static.header(t))
		}
		writeFile(t, path, text, 0o755)
	}
	return dir
}

// dynamic adds a program header of type PT_INTERP to a little-endian header.
func dynamic(header []byte) string {
	header[0x20] = 64 // e_phoff
	header[0x36] = 56 // e_phentsize
	header[0x38] = 1  // e_phnum
	segment := make([]byte, 56)
	segment[0] = 3 // p_type
	return string(header) + string(segment)
}

func TestFindQEMU(t *testing.T) {
	dir := qemus(t, map[string]string{
		"a/qemu-aarch64":        "static",
		"b/qemu-aarch64":        "static",
		"b/qemu-aarch64-static": "static",
		"c/qemu-aarch64-static": "dynamic",
		"d/qemu-aarch64-static": "#!/bin/sh\n",
		"e/qemu-arm-static":     "static",
	})
	notExecutable := filepath.Join(dir, "f/qemu-aarch64-static")
	if err := os.Mkdir(filepath.Dir(notExecutable), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, notExecutable, "", 0o644)

	arm64 := emulation.Arches()[1]
	for _, test := range []struct{ dirs, want, message string }{
		{dirs: "a", want: "a/qemu-aarch64"},
		{dirs: "a b", want: "b/qemu-aarch64-static"}, // the name counts more than the order
		{dirs: "c d a", want: "a/qemu-aarch64"},
		{dirs: "c", message: `c/qemu-aarch64-static" is linked dynamically`},
		{dirs: "d", message: `d/qemu-aarch64-static" is not an ELF program`},
		{dirs: "e f missing", message: "qemu-aarch64-static and qemu-aarch64 not found"},
	} {
		t.Run(test.dirs, func(t *testing.T) {
			var dirs []string
			for name := range strings.FieldsSeq(test.dirs) {
				dirs = append(dirs, filepath.Join(dir, name))
			}
			check := func(how, path string, err error) {
				t.Helper()
				if test.want != "" {
					if err != nil || path != filepath.Join(dir, test.want) {
						t.Errorf("%s = %q, %v, want %q", how, path, err, test.want)
					}
					return
				}
				if !errors.Is(err, emulation.ErrNoQEMU) || !strings.Contains(err.Error(), test.message) {
					t.Errorf("%s = %q, %v, want ErrNoQEMU with %q", how, path, err, test.message)
				}
				hint := "; run `apt-get install qemu-user-static`, the package with QEMU for linux/arm64"
				if err != nil && !strings.HasSuffix(err.Error(), hint) {
					t.Errorf("message %q does not end in the hint", err)
				}
			}
			path, err := arm64.FindQEMU(dirs...)
			check("FindQEMU(dirs)", path, err)
			t.Setenv("PATH", strings.Join(dirs, string(os.PathListSeparator)))
			path, err = arm64.FindQEMU()
			check("FindQEMU()", path, err)
		})
	}

	// What a relative entry of PATH means depends on the working directory.
	t.Chdir(filepath.Join(dir, "b"))
	t.Setenv("PATH", "."+string(os.PathListSeparator))
	if path, err := arm64.FindQEMU(); !errors.Is(err, emulation.ErrNoQEMU) {
		t.Errorf("FindQEMU = %q, %v, want ErrNoQEMU", path, err)
	}
}

func TestParseVersion(t *testing.T) {
	for output, want := range map[string]emulation.Version{
		"qemu-aarch64 version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c) 2003-2022 Fabrice Bellard\n": {
			Arch: "aarch64", Major: 7, Minor: 2, Micro: 22, Vendor: "Debian 1:7.2+dfsg-7+deb12u18+b3",
		},
		"qemu-x86_64 version 9.2.94 (v10.0.0-rc4)": {Arch: "x86_64", Major: 9, Minor: 2, Micro: 94, Vendor: "v10.0.0-rc4"},
		"qemu-arm version 2.12.0\r\n":              {Arch: "arm", Major: 2, Minor: 12},
		"qemu-s390x version 8.1":                   {Arch: "s390x", Major: 8, Minor: 1},
	} {
		t.Run(output, func(t *testing.T) {
			got, err := emulation.ParseVersion(output)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, output := range []string{
		"", "hello", "qemu-", "qemu- version 7.2", "busybox version 1.2.3", "qemu-arm version ", "qemu-arm version 7",
		"qemu-arm version 7.x", "qemu-arm version -7.2", "qemu-arm version 7.2.99999999999",
	} {
		t.Run("invalid "+output, func(t *testing.T) {
			if got, err := emulation.ParseVersion(output); err == nil {
				t.Errorf("= %+v", got)
			}
		})
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add("qemu-aarch64 version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\n")
	f.Add("qemu-arm version 2.12.0")
	f.Fuzz(func(t *testing.T, output string) {
		v, err := emulation.ParseVersion(output)
		if err != nil {
			return
		}
		text := "qemu-" + v.Arch + " version " + v.String()
		if v.Vendor != "" {
			text += " (" + v.Vendor + ")"
		}
		again, err := emulation.ParseVersion(text)
		if err != nil {
			t.Fatalf("parsing %q: %v", text, err)
		}
		if diff := cmp.Diff(v, again); diff != "" {
			t.Errorf("(-first +again):\n%s", diff)
		}
	})
}

func TestQEMUVersion(t *testing.T) {
	for _, arch := range emulation.Arches() {
		t.Run(arch.Name, func(t *testing.T) {
			path, err := arch.FindQEMU()
			if err != nil {
				unavailable(t, err.Error())
			}
			t.Setenv("QEMU_STRACE", "1") // must not reach QEMU
			version, err := emulation.QEMUVersion(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if version.Arch != arch.Name || version.Major < 4 {
				t.Errorf("version %+v", version)
			}
		})
	}
}

func TestQEMUVersionErrors(t *testing.T) {
	dir := qemus(t, map[string]string{
		"no-program": "static",
		"no-qemu":    "#!/bin/sh\necho hello\n",
		"fails":      "#!/bin/sh\nexit 3\n",
	})
	for name, message := range map[string]string{
		"no-program": "exec format error",
		"no-qemu":    `"hello" is not how QEMU answers`,
		"fails":      "exit status 3",
		"missing":    "no such file",
	} {
		t.Run(name, func(t *testing.T) {
			if name == "no-program" && runtime.GOOS != "linux" {
				t.Skip("the message is that of Linux")
			}
			version, err := emulation.QEMUVersion(t.Context(), filepath.Join(dir, name))
			if !errors.Is(err, emulation.ErrNoQEMU) || !strings.Contains(err.Error(), message) {
				t.Errorf("QEMUVersion = %+v, %v, want ErrNoQEMU with %q", version, err, message)
			}
		})
	}
}
