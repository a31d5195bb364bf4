package toolbox_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/emulation/toolbox"
)

func TestPolicy(t *testing.T) {
	for _, test := range []struct {
		pkg, name string
		want      toolbox.Class // empty: no line
	}{
		{"cpp-14-aarch64-linux-gnu", "cc1", toolbox.Proven},
		{"g++-12", "cc1plus", toolbox.Proven},
		{"gcc-14-aarch64-linux-gnu", "lto1", toolbox.Proven},
		{"gcc-14-aarch64-linux-gnu", "collect2", toolbox.Never},
		{"gcc-14-aarch64-linux-gnu", "gcc-14", toolbox.Never},
		{"binutils-aarch64-linux-gnu", "ld.bfd", toolbox.Proven},
		{"binutils-aarch64-linux-gnu", "gold", ""},
		{"coreutils", "[", toolbox.Proven},
		{"coreutils", "sha256sum", toolbox.Proven},
		{"coreutils", "date", toolbox.Proven},
		{"coreutils", "sort", toolbox.Never},
		{"coreutils", "who", toolbox.Never},
		{"coreutils", "printf", toolbox.Never},
		{"coreutils", "seq", toolbox.Never},
		{"coreutils", "od", toolbox.Never},
		{"coreutils", "numfmt", toolbox.Never},
		{"coreutils", "uname", toolbox.Never},
		{"bash", "bash", toolbox.Never},
		{"make", "make", toolbox.Never},
		{"perl-base", "perl", toolbox.Never},
		{"dpkg", "dpkg", toolbox.Never},
		{"dpkg", "dpkg-deb", toolbox.Proven},
		{"apt", "apt-get", toolbox.Never},
		{"apt", "store", toolbox.Proven},
		{"libc-bin", "ldconfig", toolbox.Never},
		{"openssl", "openssl", toolbox.OptIn},
		{"rustc", "rustc", toolbox.OptIn},
		{"nodejs", "node", toolbox.OptIn},
		{"python3.13-minimal", "python3.13", toolbox.OptIn},
		{"python3-minimal", "python3", toolbox.Never},
		{"openjdk-17-jdk-headless", "javac", toolbox.OptIn},
		{"go", "compile", toolbox.Proven},
		{"go", "go", toolbox.Never},
		{"hello", "hello", ""},
	} {
		t.Run(test.pkg+"/"+test.name, func(t *testing.T) {
			rule, ok := toolbox.RuleFor(test.pkg, test.name)
			if ok != (test.want != "") || rule.Class != test.want {
				t.Errorf("got %q, want %q", rule.Class, test.want)
			}
		})
	}
}

// What was compared on one target only, or differs by the size of a word.
func TestPolicyByTarget(t *testing.T) {
	for _, test := range []struct {
		pkg, name, targets string // all others are refused
	}{
		{"cpp-14-s390x-linux-gnu", "cc1", "arm64"},
		{"binutils-arm-linux-gnueabihf", "as", "arm64"},
		{"sed", "sed", "arm64 s390x riscv64"},
		{"coreutils", "base64", "arm64 s390x riscv64"},
		{"dash", "dash", "arm64 s390x riscv64"},
		{"coreutils", "ls", "arm64 s390x riscv64"},
		{"coreutils", "cat", "arm64 armhf s390x riscv64"},
		{"zstd", "zstd", "arm64 riscv64"},
		{"coreutils", "date", "arm64"},
		{"apt", "store", "arm64"},
		{"python3.13-minimal", "python3.13", "arm64"},
		{"rustc", "rustc", ""}, // waits
		{"mawk", "mawk", ""},
	} {
		for _, target := range []string{"arm64", "armhf", "s390x", "riscv64"} {
			want := slices.Contains(strings.Fields(test.targets), target)
			if got := toolbox.IsNativeOn(target, test.pkg, test.name); got != want {
				t.Errorf("%s on %s: native is %t", test.name, target, got)
			}
		}
	}
}

// Every line says why: it is what people read who ask.
func TestPolicyHasReasons(t *testing.T) {
	for _, rule := range toolbox.Policy() {
		if rule.Reason == "" || rule.Names == "" || rule.Packages == "" {
			t.Errorf("a line without reason, packages or names: %+v", rule)
		}
		if rule.Class == toolbox.Never && rule.Unit != "" {
			t.Errorf("a unit that never is: %+v", rule)
		}
	}
	if version := toolbox.PolicyVersion(); len(version) != 12 || version != toolbox.PolicyVersion() {
		t.Errorf("the version is %q", version)
	}
}

// A tool that one line allows is allowed by none that another one forbids.
func TestPolicyIsClear(t *testing.T) {
	seen := make(map[string]toolbox.Class)
	for _, rule := range toolbox.Policy() {
		for _, pkg := range strings.Fields(rule.Packages) {
			for _, name := range strings.Fields(rule.Names) {
				if class, ok := seen[pkg+" "+name]; ok {
					t.Errorf("%s of %s is %s and %s", name, pkg, class, rule.Class)
				}
				seen[pkg+" "+name] = rule.Class
			}
		}
	}
}
