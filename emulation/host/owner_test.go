package host_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/host"
)

// arch is the architecture with QEMU's name.
func arch(t testing.TB, name string) emulation.Arch {
	t.Helper()
	a, err := emulation.ParseArch(name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func line(t testing.TB, h emulation.Handler) string {
	t.Helper()
	text, err := h.Registration()
	if err != nil {
		t.Fatal(err)
	}
	return text + "\n"
}

func TestOwner(t *testing.T) {
	dir := t.TempDir()
	sources := host.Sources{
		Systemd: []string{dir + "/etc", dir + "/run", dir + "/usr"},
		Support: dir + "/binfmts", Offered: dir + "/share",
	}
	debian := arch(t, "aarch64").Handler("/usr/libexec/qemu-binfmt/aarch64-binfmt-P")
	debian.Flags = "POF"
	override := debian
	override.Interpreter = "/opt/mine"
	write(t, dir+"/usr/qemu-aarch64.conf", line(t, debian))
	write(t, dir+"/usr/hidden.conf", ":hidden:E::hidden::/hidden:\n")
	write(t, dir+"/run/hidden.conf", "# nothing any more\n")
	write(t, dir+"/etc/override.conf", ":broken\n"+line(t, override))
	ours := arch(t, "riscv64").Handler("/usr/bin/qemu-riscv64-static")
	write(t, dir+"/etc/mabuild-qemu-riscv64.conf", host.Marker+"\n"+line(t, ours))
	write(t, dir+"/binfmts/python3.11", "python3.11\nmagic\n0\n\\xa7\\x0d\\x0d\\x0a\n\n/usr/bin/python3.11\n\n\n\n\n")
	write(t, dir+"/binfmts/short", "a\nb\n")
	write(t, dir+"/share/jar", "package openjdk-17\ninterpreter /usr/bin/jexec\nmagic PK\\x03\\x04\n")
	write(t, dir+"/share/empty", "package x\n")

	changed := debian
	changed.Flags = "F"
	for _, test := range []struct {
		name    string
		handler emulation.Handler
		owner   string
		source  string
		boot    bool
	}{
		{"systemd", debian, host.OwnerSystemd, "/usr/qemu-aarch64.conf", true},
		{"a line of its own", override, host.OwnerSystemd, "/etc/override.conf", true},
		{"the name alone is not enough", changed, host.OwnerUnknown, "", false},
		{"a hidden file", emulation.Handler{Name: "hidden", Interpreter: "/hidden", Extension: "hidden"}, host.OwnerUnknown, "", false},
		{"mabuild's, at boot", ours, host.OwnerMabuild, "/etc/mabuild-qemu-riscv64.conf", true},
		{"binfmt-support", emulation.Handler{Name: "python3.11", Interpreter: "/usr/bin/python3.11", Magic: []byte("x")}, host.OwnerBinfmtSupport, "/binfmts/python3.11", true},
		{"offered to it", emulation.Handler{Name: "jar", Interpreter: "/usr/bin/jexec", Magic: []byte("x")}, host.OwnerBinfmtSupport, "/share/jar", true},
		{"tonistiigi/binfmt", arch(t, "s390x").Handler("/usr/bin/qemu-none"), host.OwnerTonistiigi, "", false},
		{"multiarch", arch(t, "s390x").Handler("/usr/bin/qemu-none-static"), host.OwnerMultiarch, "", false},
		{"on disk", arch(t, "s390x").Handler("/bin/sh"), host.OwnerUnknown, "", false},
		{"elsewhere", arch(t, "s390x").Handler("/nowhere/qemu-s390x"), host.OwnerUnknown, "", false},
		{"another name", emulation.Handler{Name: "WSLInterop", Interpreter: "/nowhere/init", Magic: []byte("MZ")}, host.OwnerUnknown, "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := host.Owner{Name: test.owner}
			if test.source != "" {
				want.Source = dir + test.source
			}
			got := host.OwnerOf(sources, test.handler)
			if got != want || got.Persistent() != test.boot {
				t.Errorf("= %+v, persistent %t; want %+v, %t", got, got.Persistent(), want, test.boot)
			}
		})
	}
	// Without binfmt-support on the machine, nobody takes the offers.
	sources.Support = dir + "/nothing"
	if got := host.OwnerOf(sources, emulation.Handler{Name: "jar", Interpreter: "/usr/bin/jexec"}); got.Name != host.OwnerUnknown {
		t.Errorf("an offer: %+v", got)
	}
}
