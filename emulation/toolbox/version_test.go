package toolbox_test

import (
	"testing"

	"github.com/mabuild/mabuild/emulation/toolbox"
)

// The versions are real ones of Debian 12, 13 and Ubuntu 24.04.
func TestTwins(t *testing.T) {
	for _, test := range []struct {
		name, target, native string
		want                 bool
	}{
		{
			"trixie's compiler", "Package: cpp-14-aarch64-linux-gnu\nVersion: 14.2.0-19\nSource: gcc-14",
			"Package: cpp-14-aarch64-linux-gnu\nVersion: 14.2.0-19cross1\nSource: gcc-14-cross (9)\nBuilt-Using: gcc-14 (= 14.2.0-19)", true,
		},
		{
			"bookworm's compiler lacks a fix", "Package: cpp-12\nVersion: 12.2.0-14+deb12u1\nSource: gcc-12",
			"Package: cpp-12-aarch64-linux-gnu\nVersion: 12.2.0-14cross1\nSource: gcc-12-cross (15)\nBuilt-Using: gcc-12 (= 12.2.0-14)", false,
		},
		{
			"noble's compiler", "Package: cpp-13-aarch64-linux-gnu\nVersion: 13.3.0-6ubuntu2~24.04\nSource: gcc-13",
			"Package: cpp-13-aarch64-linux-gnu\nVersion: 13.3.0-6ubuntu2~24.04cross1\nSource: gcc-13-cross (11)", true,
		},
		{
			"a port", "Package: cpp-14-sparc64-linux-gnu\nVersion: 14.2.0-19\nSource: gcc-14",
			"Package: cpp-14-sparc64-linux-gnu\nVersion: 14.2.0-19cross1\nSource: gcc-14-cross-ports (9)", true,
		},
		{
			"made of another source than it says", "Package: cpp-14\nVersion: 14.2.0-19\nSource: gcc-14",
			"Package: cpp-14\nVersion: 14.2.0-19cross1\nSource: gcc-14-cross (9)\nBuilt-Using: gcc-14 (= 14.2.0-18)", false,
		},
		{
			"a cross compiler without its mark", "Package: cpp-14\nVersion: 14.2.0-19\nSource: gcc-14",
			"Package: cpp-14\nVersion: 14.2.0-19\nSource: gcc-14-cross (9)", false,
		},
		{"the same", "Package: dash\nVersion: 0.5.12-12", "Package: dash\nVersion: 0.5.12-12", true},
		{"rebuilt on one side", "Package: grep\nVersion: 3.11-4+b1\nSource: grep (3.11-4)", "Package: grep\nVersion: 3.11-4", true},
		{"rebuilt, and no source named", "Package: grep\nVersion: 3.11-4+b1", "Package: grep\nVersion: 3.11-4+b2", true},
		{"a point release apart", "Package: dpkg\nVersion: 1.21.22", "Package: dpkg\nVersion: 1.21.23", false},
		{"an epoch", "Package: diffutils\nVersion: 1:3.10-4", "Package: diffutils\nVersion: 3.10-4", false},
		{"another source", "Package: awk\nVersion: 1.0\nSource: mawk", "Package: awk\nVersion: 1.0\nSource: gawk", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			target, native := toolbox.ParsePackages(test.target), toolbox.ParsePackages(test.native)
			if len(target) != 1 || len(native) != 1 {
				t.Fatalf("parsed %v and %v", target, native)
			}
			if got := toolbox.IsTwin(target[0], native[0]); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}

func TestParsePackages(t *testing.T) {
	packages := toolbox.ParsePackages("Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: arm64\nDescription: x\n Version: 9\n\n" +
		"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n" +
		"Package: half\nStatus: install ok half-installed\nVersion: 1\n\n" +
		"Package: ../evil\nVersion: 1\n\nPackage: libstdc++6\nVersion: 2\r\nSource: gcc (1)\n\nVersion: 3\n\n\n")
	if len(packages) != 2 || packages[0].Version != "1" || packages[1].Name != "libstdc++6" || packages[1].SourceVersion != "1" {
		t.Errorf("got %+v", packages)
	}
}

func FuzzParsePackages(f *testing.F) {
	f.Add("Package: cpp-14\nVersion: 14.2.0-19cross1+b2\nSource: gcc-14-cross (9)\nBuilt-Using: gcc-14 (= 14.2.0-19), x (= 1)\n\nPackage: a\nVersion: 1+b1\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, pkg := range toolbox.ParsePackages(text) {
			if pkg.Name == "" || pkg.Version == "" || pkg.Source == "" {
				t.Errorf("%+v", pkg)
			}
			if toolbox.IsTwin(pkg, toolbox.Package{Name: pkg.Name}) {
				t.Errorf("%+v is the twin of a package without a version", pkg)
			}
		}
	})
}
