package testbed_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/integration/testbed"
)

func TestBusyboxApplets(t *testing.T) {
	tests := []struct {
		binary string
		want   []string
		fails  string
	}{
		{"ELF\x00[\x00[[\x00ash\x00zcat\x00\x00more\x00", []string{"[", "[[", "ash", "zcat"}, ""},
		{"ELF", nil, "no table"},
		{"\x00[\x00[[\x00ash", nil, "doesn't end"},
		{"\x00[\x00[[\x00usage: ash\x00\x00", nil, `"usage: ash" is none`},
	}
	for _, test := range tests {
		t.Run(test.binary, func(t *testing.T) {
			got, err := testbed.BusyboxApplets([]byte(test.binary))
			if (err != nil) != (test.fails != "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("got the error %v, want %q", err, test.fails)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("the names differ (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzBusyboxApplets(f *testing.F) {
	f.Add([]byte("ELF\x00[\x00[[\x00ash\x00zcat\x00\x00"))
	f.Add([]byte("\x00[\x00[[\x00"))
	f.Fuzz(func(t *testing.T, binary []byte) {
		applets, err := testbed.BusyboxApplets(binary)
		if (err == nil) != (len(applets) >= 2) {
			t.Errorf("got %d names and the error %v", len(applets), err)
		}
	})
}

func TestBusyboxEntries(t *testing.T) {
	entries, err := testbed.BusyboxEntries([]byte("ELF\x00[\x00[[\x00busybox\x00env\x00sh\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]byte{}
	for _, file := range entries {
		if _, twice := found[file.Name]; twice {
			t.Errorf("%s is there twice", file.Name)
		}
		found[file.Name] = file.Type
	}
	for name, kind := range map[string]byte{
		"bin/busybox": tar.TypeReg, "bin/sh": tar.TypeLink, "bin/[[": tar.TypeLink, "usr/bin/env": tar.TypeSymlink,
		"tmp": tar.TypeDir, "root": tar.TypeDir, "etc/passwd": tar.TypeReg, "etc/group": tar.TypeReg,
	} {
		if found[name] != kind {
			t.Errorf("%s has the type %q, want %q", name, found[name], kind)
		}
	}
}

func TestToolchainEntries(t *testing.T) {
	const module = "golang.org/toolchain@v0.0.1-go1.26.8.linux-arm64"
	var packed bytes.Buffer
	archive := zip.NewWriter(&packed)
	for _, name := range []string{
		"VERSION", "bin/go", "lib/go_js_wasm_exec", "lib/time/update.bash", "pkg/tool/linux_arm64/compile",
		"src/_go.mod", "src/cmd/_go.mod", "src/os/os.go",
	} {
		w, err := archive.Create(module + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	reader, err := zip.NewReader(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := testbed.ToolchainEntries(reader, module)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, file := range entries {
		if _, twice := got[file.Name]; twice {
			t.Errorf("%s is there twice", file.Name)
		}
		got[file.Name] = file.Mode
	}
	want := map[string]int64{
		"usr/local/go": 0o755, "usr/local/go/VERSION": 0o644,
		"usr/local/go/bin": 0o755, "usr/local/go/bin/go": 0o755,
		"usr/local/go/lib": 0o755, "usr/local/go/lib/go_js_wasm_exec": 0o755,
		"usr/local/go/lib/time": 0o755, "usr/local/go/lib/time/update.bash": 0o755,
		"usr/local/go/pkg": 0o755, "usr/local/go/pkg/tool": 0o755, "usr/local/go/pkg/tool/linux_arm64": 0o755,
		"usr/local/go/pkg/tool/linux_arm64/compile": 0o755,
		"usr/local/go/src":                          0o755, "usr/local/go/src/go.mod": 0o644, "usr/local/go/src/os": 0o755,
		"usr/local/go/src/cmd": 0o755, "usr/local/go/src/cmd/go.mod": 0o644, "usr/local/go/src/os/os.go": 0o644,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the modes differ (-want +got):\n%s", diff)
	}
	if _, err := testbed.ToolchainEntries(reader, "golang.org/toolchain@v0.0.1-other"); err == nil {
		t.Error("files of another module were taken")
	}
}

func TestGoVersion(t *testing.T) {
	for machine, want := range map[string]string{
		"go1.26.3":                  "1.26.3",
		"go1.26.9 X:loopvar":        "1.26.9",
		"go1.26":                    "1.26.8",
		"go1.26rc1":                 "1.26.8",
		"go1.261.0":                 "1.26.8",
		"go1.27.1":                  "1.26.8",
		"devel go1.28-0123456 2026": "1.26.8",
	} {
		t.Run(machine, func(t *testing.T) {
			if got := testbed.GoVersion(machine); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestLeftOut(t *testing.T) {
	in := []string{
		"bin", "dev", "etc/passwd", "etc/apt/sources.list.d", "etc/hosts", "usr/share/doc", "usr/share/doc/bash",
		"usr/share/doc/bash/copyright", "usr/share/man", "usr/share/locale", "var/cache/apt/archives/partial",
		"var/lib/apt/lists", "var/lib/dpkg/status", "var/log/apt", "var/log/lastlog", "tmp",
	}
	out := []string{
		"dev/null", "etc/apt/sources.list", "etc/hostname", "etc/resolv.conf", "etc/passwd-", "usr/share/doc/bash/README",
		"usr/share/man/man1", "usr/share/locale/de", "usr/share/lintian/overrides/bash", "var/cache/apt/pkgcache.bin",
		"var/cache/apt/archives/bash_5.deb", "var/cache/ldconfig/aux-cache", "var/lib/apt/lists/partial", "var/lib/dpkg/status-old",
		"var/log/bootstrap.log", "run/lock", "tmp/x",
	}
	for _, name := range slices.Concat(in, out) {
		if got, want := testbed.LeftOut(name), slices.Contains(out, name); got != want {
			t.Errorf("leftOut(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestUndated(t *testing.T) {
	got := string(testbed.Undated([]byte("root:*:20600:0:99999:7:::\nbin:*:20601:0\nodd\n")))
	if want := "root:*:20454:0:99999:7:::\nbin:*:20454:0\nodd\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
