package emulation_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/emulation"
)

// case 30: what is native is asked of the kernel, since mabuild itself may run
// under emulation.
func TestHostArchitecture(t *testing.T) {
	for _, test := range []struct{ kernel, program, want string }{
		{"x86_64", "amd64", "amd64"},
		{"x86_64", "arm64", "amd64"}, // emulated
		{"x86_64", "386", "amd64"},
		{"aarch64", "arm64", "arm64"},
		{"aarch64", "amd64", "arm64"}, // emulated
		{"armv7l", "arm", "arm"},
		{"arm", "amd64", "arm"},
		{"ppc64le", "ppc64le", "ppc64le"},
		{"loongarch64", "loong64", "loong64"},
		{"mips64", "mips64le", "mips64le"},
		{"mips64", "mips64", "mips64"},
		{"", "riscv64", "riscv64"}, // before Linux 6.1
		{"sparc64", "sparc64", "sparc64"},
	} {
		t.Run(test.kernel+" "+test.program, func(t *testing.T) {
			if got := emulation.HostArchitecture(test.kernel, test.program); got != test.want {
				t.Errorf("= %q, want %q", got, test.want)
			}
		})
	}
}

func TestNativePlatforms(t *testing.T) {
	for architecture, want := range map[string][]string{
		"amd64":   {"linux/amd64", "linux/386"},
		"386":     {"linux/386"},
		"arm64":   {"linux/arm64"}, // 32-bit ARM only if the caller says so
		"riscv64": {"linux/riscv64"},
	} {
		t.Run(architecture, func(t *testing.T) {
			var got []string
			for _, p := range emulation.NativePlatforms(architecture) {
				got = append(got, platforms.Format(p))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if len(emulation.Native()) == 0 {
		t.Error("this machine runs nothing")
	}
}

// case 21: P only for an interpreter that expects it.
func TestPreservesArgv0(t *testing.T) {
	for _, test := range []struct {
		release string
		major   int
		want    bool
	}{
		{"6.18.44", 7, true},
		{"5.12.0", 6, true},
		{"5.11.22-generic", 7, false},
		{"4.18.0-513.el8.x86_64", 8, false},
		{"6.1.0", 5, false},
		{"", 7, true},
	} {
		if got := emulation.PreservesArgv0(test.release, emulation.Version{Major: test.major}); got != test.want {
			t.Errorf("Linux %q with QEMU %d: %v, want %v", test.release, test.major, got, test.want)
		}
	}
}

func TestKernelAtLeast(t *testing.T) {
	for release, want := range map[string]bool{
		"6.7.0": true, "6.7-rc1": true, "6.18.44-fc": true, "7.0": true,
		"6.6.99": false, "6.1.0-18-amd64": false, "5.15.153.1-microsoft-standard-WSL2": false, "4.19": false,
		"": true, "unknown": true,
	} {
		if got := emulation.KernelAtLeast(release, 6, 7); got != want {
			t.Errorf("%q at least 6.7: %v, want %v", release, got, want)
		}
	}
}

func TestRegisterFoundReportsEachArchitecture(t *testing.T) {
	other := emulation.Arches()[9].Handler("/lat")
	table, dir := plainTable(t, map[string]string{"lat": string(other.Status())})
	dirs := []string{qemus(t, map[string]string{
		"qemu-loongarch64-static": "static", // is not even looked at
		"qemu-riscv64-static":     "static", // has no code to run
		"qemu-s390x-static":       "dynamic",
	})}
	native := platforms.MustParse("linux/mips64le")
	got, err := table.RegisterFound(t.Context(), emulation.RegisterOptions{
		Dirs:   dirs,
		Native: []ocispec.Platform{native},
		Platforms: []ocispec.Platform{
			native,
			platforms.MustParse("linux/loong64"),
			platforms.MustParse("linux/loong64"),
			platforms.MustParse("linux/riscv64"),
			platforms.MustParse("linux/s390x"),
			platforms.MustParse("linux/ppc64le"),
			platforms.MustParse("windows/amd64"),
		},
	})
	if len(got) != 1 || got[0].Arch.Name != "loongarch64" || got[0].Handler.Name != "lat" || !got[0].Existing {
		t.Errorf("RegisterFound = %+v, want just the existing handler", got)
	}
	for _, want := range []error{emulation.ErrNoQEMU, emulation.ErrUnsupported} {
		if !errors.Is(err, want) {
			t.Errorf("error is not %v: %v", want, err)
		}
	}
	for _, want := range []string{
		"qemu-riscv64-static\": no usable QEMU: ",
		"qemu-s390x-static\" is linked dynamically",
		"finding QEMU for linux/ppc64le: no usable QEMU: qemu-ppc64le-static and qemu-ppc64le not found",
		"looking up an emulator for windows/amd64",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
	if got := written(t, dir, "register"); got != "" {
		t.Errorf("registered %q", got)
	}
}

func TestRegisterFoundWithoutQEMU(t *testing.T) {
	table, dir := plainTable(t, nil)
	opts := emulation.RegisterOptions{Dirs: []string{t.TempDir()}}
	if got, err := table.RegisterFound(t.Context(), opts); len(got) != 0 || !errors.Is(err, emulation.ErrNoQEMU) {
		t.Errorf("RegisterFound = %v, %v, want ErrNoQEMU", got, err)
	}
	// Not for a platform that needs none.
	opts.Platforms = emulation.Native()
	if got, err := table.RegisterFound(t.Context(), opts); len(got) != 0 || err != nil {
		t.Errorf("RegisterFound = %v, %v", got, err)
	}
	writeFile(t, filepath.Join(dir, "status"), "disabled\n", 0o644)
	_, err := table.RegisterFound(t.Context(), opts)
	if want := "all handlers are switched off; run `echo 1 | sudo tee " + dir + "/status`"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("RegisterFound: %v, want %q", err, want)
	}
}

func TestRegisterFoundCanceled(t *testing.T) {
	arch := emulation.Arches()[5]
	if _, err := arch.FindQEMU(); err != nil {
		unavailable(t, err.Error())
	}
	table, dir := plainTable(t, nil)
	cause := errors.New("user went home")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	got, err := table.RegisterFound(ctx, emulation.RegisterOptions{Platforms: []ocispec.Platform{arch.Platform}})
	if len(got) != 0 || !errors.Is(err, cause) {
		t.Errorf("RegisterFound = %v, %v, want %v", got, err, cause)
	}
	if text := written(t, dir, "register"); text != "" {
		t.Errorf("registered %q", text)
	}
}
