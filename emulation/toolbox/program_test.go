package toolbox_test

import (
	"bytes"
	"debug/elf"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/emulation/toolbox"
)

const testID = "00112233445566778899aabbccddeeff00112233"

func TestBuildID(t *testing.T) {
	for _, test := range []struct {
		name string
		elf  testELF
		want string
	}{
		{"plain", testELF{machine: elf.EM_AARCH64, buildID: testID}, testID},
		{"behind the notes, as Go's linker has it", testELF{machine: elf.EM_AARCH64, buildID: testID, behind: true}, testID},
		{"none", testELF{machine: elf.EM_S390}, ""},
		{"too short to be one", testELF{machine: elf.EM_ARM, buildID: "00112233"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := toolbox.BuildIDOf(test.elf.bytes(t))
			if err != nil || got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestBindLoader(t *testing.T) {
	data := testELF{machine: elf.EM_X86_64, interp: "/lib64/ld-linux-x86-64.so.2", needs: []string{"libc.so.6"}}.bytes(t)
	before := len(data)
	if err := toolbox.BindLoader(data); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(data, []byte("/dev/.mabuild/t/ld.so\x00\x00\x00\x00\x00\x00\x00")) || bytes.Contains(data, []byte("lib64")) || len(data) != before {
		t.Errorf("the loader is not bound: %q", data)
	}
	short := testELF{machine: elf.EM_X86_64, interp: "/lib/ld.so.1"}.bytes(t)
	if err := toolbox.BindLoader(short); err == nil {
		t.Error("a name was written over what is behind the old one")
	}
	static := testELF{machine: elf.EM_X86_64}.bytes(t)
	if err := toolbox.BindLoader(static); err != nil {
		t.Errorf("a program without a loader: %v", err)
	}
}

func TestBindDirectories(t *testing.T) {
	old := "\x00/lib/x86_64-linux-gnu/\x00/usr/lib/x86_64-linux-gnu/\x00/etc/ld.so.cache\x00/etc/ld.so.preload\x00"
	want := "\x00/dev/.mabuild/t/lib/x/\x00/dev/.mabuild/t/usr/lib/x/\x00/dev/.mabuild/tc\x00/dev/.mabuild/tp\x00\x00\x00"
	data := []byte(old)
	if err := toolbox.BindDirectories(data); err != nil || string(data) != want {
		t.Errorf("got %q, %v", data, err)
	}
	if err := toolbox.BindDirectories([]byte("musl")); err == nil || !strings.Contains(err.Error(), "/lib/x86_64-linux-gnu/") {
		t.Errorf("a loader that is not known: %v", err)
	}
}

const (
	crossDirs  = "/usr/lib/gcc-cross/aarch64-linux-gnu/14/include\x00/usr/lib/gcc-cross/\x00/usr/lib/gcc-cross/aarch64-linux-gnu/14/../../../../aarch64-linux-gnu/include/c++/14/aarch64-linux-gnu\x00/usr/lib/gcc-cross/aarch64-linux-gnu/14/../../../../aarch64-linux-gnu/include/c++/14\x00/usr/lib/gcc-cross/aarch64-linux-gnu/14/../../../../aarch64-linux-gnu/include"
	nativeDirs = "/usr/lib/gcc/aarch64-linux-gnu/14/include\x00/usr/lib/gcc/\x00/usr/lib/gcc/aarch64-linux-gnu/14/../../../../include/aarch64-linux-gnu/c++/14\x00/usr/lib/gcc/aarch64-linux-gnu/14/../../../../include/c++/14\x00/usr/lib/gcc/aarch64-linux-gnu/14/../../../../aarch64-linux-gnu/include"
)

func TestRelocateCompiler(t *testing.T) {
	data, target := []byte("\x00"+crossDirs+"\x00tail"), []byte("\x00"+nativeDirs+"\x00")
	size := len(data)
	if err := toolbox.RelocateCompiler(data, target, "aarch64-linux-gnu"); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("gcc-cross")) || len(data) != size || !bytes.HasSuffix(data, []byte("\x00tail")) {
		t.Errorf("got %q", data)
	}
	for _, test := range []struct{ name, data, target string }{
		{"a directory that the target lacks", crossDirs + "\x00/usr/lib/gcc-cross/aarch64-linux-gnu/14/other", nativeDirs},
		{"a directory that only the target has", crossDirs, nativeDirs + "\x00/usr/lib/gcc/aarch64-linux-gnu/14/other"},
		{"another version", crossDirs, strings.ReplaceAll(nativeDirs, "14", "13")},
		{"nothing at all", "", nativeDirs},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := toolbox.RelocateCompiler([]byte("\x00"+test.data+"\x00"), []byte("\x00"+test.target+"\x00"), "aarch64-linux-gnu"); err == nil {
				t.Error("it was not refused")
			}
		})
	}
}

func TestReplaceString(t *testing.T) {
	data := []byte("\x00/long/name\x00/long/name/more\x00/long/name\x00")
	if err := toolbox.ReplaceString(data, "/long/name", "/short"); err != nil || string(data) != "\x00/short\x00\x00\x00\x00\x00/long/name/more\x00/short\x00\x00\x00\x00\x00" {
		t.Errorf("got %q, %v", data, err)
	}
	if err := toolbox.ReplaceString(data, "/short", "/longer"); err == nil {
		t.Error("a longer string was written")
	}
}

func FuzzReadProgram(f *testing.F) {
	f.Add(testELF{machine: elf.EM_AARCH64, buildID: testID, interp: "/lib/ld-linux-aarch64.so.1", needs: []string{"libz.so.1", "libc.so.6"}}.bytes(f))
	f.Add(testELF{machine: elf.EM_X86_64, behind: true}.bytes(f))
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if id, err := toolbox.BuildIDOf(data); err == nil && id != "" && (len(id) < 16 || len(id) > 64) {
			t.Errorf("the build-id is %q", id)
		}
		size := len(data)
		_ = toolbox.BindLoader(data)
		_ = toolbox.BindDirectories(data)
		if len(data) != size {
			t.Error("the size changed")
		}
	})
}

func FuzzRelocateCompiler(f *testing.F) {
	f.Add([]byte("\x00"+crossDirs+"\x00"), []byte("\x00"+nativeDirs+"\x00"), "aarch64-linux-gnu")
	f.Fuzz(func(t *testing.T, data, target []byte, triplet string) {
		size := len(data)
		if err := toolbox.RelocateCompiler(data, target, triplet); err == nil && bytes.Contains(data, []byte("\x00/usr/lib/gcc-cross/")) && bytes.HasSuffix(data, []byte{0}) {
			t.Errorf("a directory of the cross compiler is left in %q", data)
		}
		if len(data) != size {
			t.Error("the size changed")
		}
	})
}
