package planner_test

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/planner"
)

// local is what "local" and a missing half of a platform mean on this machine.
func local() (system, full string) {
	platform := platforms.Normalize(platforms.DefaultSpec())
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
		platform.OS, platform.OSVersion = "linux", ""
	}
	return platform.OS, platforms.Format(platform)
}

func TestParsePlatforms(t *testing.T) {
	t.Parallel()
	system, full := local()
	for _, tt := range []struct {
		list string
		want string
	}{
		{"linux/amd64", "linux/amd64"},
		// case 10: aliases, case, blanks and duplicates.
		{"linux/x86_64, Linux/aarch64,linux/arm64/v8,linux/amd64", "linux/amd64 linux/arm64"},
		{"\tLINUX/ARM/V7 ,linux/arm", "linux/arm/v7"},
		{"linux/s390x,linux/amd64,linux/s390x", "linux/s390x linux/amd64"},
		{"linux/x86-64,linux/i386", "linux/amd64 linux/386"},
		// case 6: arm64/v8 is arm64.
		{"linux/arm64/v8", "linux/arm64"},
		{"linux/arm64/8", "linux/arm64"},
		{"linux/arm64/v9", "linux/arm64/v9"},
		{"linux/arm64/v8.2", "linux/arm64/v8.2"},
		// case 7: the requested variant stays, a missing one is v7.
		{"linux/arm/v5,linux/arm/v6,linux/arm/v7", "linux/arm/v5 linux/arm/v6 linux/arm/v7"},
		{"linux/arm", "linux/arm/v7"},
		{"linux/arm/6", "linux/arm/v6"},
		{"linux/arm/v8", "linux/arm/v8"},
		{"linux/armhf,linux/armel", "linux/arm/v7 linux/arm/v6"},
		{"linux/amd64/v1,linux/amd64/v3", "linux/amd64 linux/amd64/v3"},
		{"linux/ppc64le/power9,linux/riscv64/rva22u64", "linux/ppc64le/power9 linux/riscv64/rva22u64"},
		{"amd64", system + "/amd64"},
		{"aarch64", system + "/arm64"},
		{"arm", system + "/arm/v7"},
		{"linux", "linux" + strings.TrimPrefix(full, system)},
		{"local", full},
		{"Local," + full, full},
		{"windows(10.0.17763)/amd64,windows/amd64", "windows(10.0.17763)/amd64 windows/amd64"},
		{"windows(10.0.17763+win32k)/amd64", "windows(10.0.17763+win32k)/amd64"},
		{"macos/arm64", "darwin/arm64"},
		{"freebsd/riscv64,wasip1/wasm,wasi/wasm", "freebsd/riscv64 wasip1/wasm wasi/wasm"},
	} {
		t.Run(tt.list, func(t *testing.T) {
			t.Parallel()
			got, err := planner.ParsePlatforms(tt.list)
			if err != nil {
				t.Fatal(err)
			}
			var formatted []string
			for _, platform := range got {
				formatted = append(formatted, platforms.FormatAll(platform))
			}
			if diff := cmp.Diff(tt.want, strings.Join(formatted, " ")); diff != "" {
				t.Error(diff)
			}
			again, err := planner.ParsePlatforms(formatted...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, again); diff != "" {
				t.Errorf("does not survive a round trip:\n%s", diff)
			}
		})
	}
}

func TestParsePlatformsErrors(t *testing.T) {
	t.Parallel()
	const shape = "write it like linux/arm64 or linux/arm/v7"
	for _, tt := range []struct {
		list string
		want string
	}{
		// case 10: these are errors before anything else happens.
		{"linux/arm/", `platform "linux/arm/": empty component; ` + shape},
		{"linux /arm", `platform "linux /arm": blank inside the item; ` + shape},
		{"linux/arm/v7/x", `platform "linux/arm/v7/x": 4 components, a platform has at most 3: os/architecture/variant; ` + shape},
		{"", `platform "": empty item in the list ""; write it like linux/amd64,linux/arm64`},
		{"linux/amd64, ,linux/386", `platform "": empty item in the list "linux/amd64, ,linux/386"; write it like linux/amd64,linux/arm64`},
		{"linux/amd64,linux/foo", `platform "linux/foo": unknown architecture "foo" for linux; write it like linux/amd64 (known: amd64 arm64 386 arm riscv64 ppc64le s390x loong64 mips64le mips64 mipsle mips ppc64 sparc64)`},
		{"linux/amd46", `platform "linux/amd46": unknown architecture "amd46" for linux; did you mean linux/amd64?`},
		{"linux/armv7", `platform "linux/armv7": unknown architecture "armv7" for linux; did you mean linux/arm/v7?`},
		{"linux/arm64v8", `platform "linux/arm64v8": unknown architecture "arm64v8" for linux; did you mean linux/arm64?`},
		{"windows/s390x", `platform "windows/s390x": unknown architecture "s390x" for windows; write it like windows/amd64 (known: amd64 arm64 386 arm)`},
		{"linux/wasm", `platform "linux/wasm": unknown architecture "wasm" for linux; write it like linux/amd64 (known: amd64 arm64 386 arm riscv64 ppc64le s390x loong64 mips64le mips64 mipsle mips ppc64 sparc64)`},
		{"linx/arm/v7", `platform "linx/arm/v7": unknown operating system "linx"; did you mean linux/arm/v7?`},
		{"unknown/unknown", `platform "unknown/unknown": unknown operating system "unknown"; write it like linux/arm64`},
		{"amd64/linux", `platform "amd64/linux": unknown operating system "amd64"; the operating system comes first: linux/amd64`},
		{"arm/v7", `platform "arm/v7": unknown operating system "arm"; the operating system comes first: linux/arm/v7`},
		{"armv6l", `platform "armv6l": "armv6l" is neither an operating system nor an architecture; did you mean linux/arm/v6?`},
		{"widnows", `platform "widnows": "widnows" is neither an operating system nor an architecture; did you mean windows?`},
		{"all", `platform "all": "all" is neither an operating system nor an architecture; ` + shape},
		{"linux/*", `platform "linux/*": wildcards not yet supported; ` + shape},
		{"linux/arm/v9", `platform "linux/arm/v9": unknown variant "v9", arm has v5 v6 v7 v8; write it like linux/arm/v5`},
		{"linux/arm/v7l", `platform "linux/arm/v7l": unknown variant "v7l", arm has v5 v6 v7 v8; did you mean linux/arm/v7?`},
		{"linux/amd64/3", `platform "linux/amd64/3": unknown variant "3", amd64 has v1 v2 v3 v4; did you mean linux/amd64/v3?`},
		{"linux/386/sse2", `platform "linux/386/sse2": 386 has no variants, got "sse2"; write linux/386`},
		{"linux/armhf/v6", `platform "linux/armhf/v6": armhf is itself a variant of arm and takes no other; write armhf or linux/arm/v7`},
		{"linux(%2C)/amd64", `platform "linux(%2C)/amd64": OS version or feature "," has characters other than letters, digits, '.', '_' and '-'; write it like windows(10.0.20348.0)/amd64`},
		{"linux/am\x00d64", `platform "linux/am\x00d64": "am\x00d64" is an invalid component of "linux/am\x00d64": platform specifier component must match "^[A-Za-z0-9_.-]+$"; ` + shape},
	} {
		t.Run(tt.list, func(t *testing.T) {
			t.Parallel()
			got, err := planner.ParsePlatforms(tt.list)
			var bad *planner.PlatformError
			if !errors.As(err, &bad) {
				t.Fatalf("got %v and error %v, want a PlatformError", got, err)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParsePlatformsSeveral(t *testing.T) {
	t.Parallel()
	got, err := planner.ParsePlatforms("linux/arm64,linux/amd64", "linux/aarch64", "linux/386")
	if err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprint(len(got), platforms.Format(got[0]), platforms.Format(got[2])); s != "3linux/arm64linux/386" {
		t.Error(s)
	}
	if got, err := planner.ParsePlatforms(); got != nil || err != nil {
		t.Errorf("no list: got %v, %v", got, err)
	}
	if _, err := planner.ParsePlatforms("linux/amd64", ""); err == nil {
		t.Error("an empty list among others is accepted")
	}
}

// TestKnownPlatforms holds the tables against the list that the OCI image
// specification refers to: what Go builds for.
func TestKnownPlatforms(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "tool", "dist", "list").Output()
	if err != nil {
		t.Skipf("no go command to ask: %v", err)
	}
	list := strings.Fields(string(out))
	if !slices.Contains(list, "linux/amd64") {
		t.Fatalf("unexpected list %q", out)
	}
	for _, item := range list {
		if _, err := planner.ParsePlatforms(item); err != nil {
			t.Error(err)
		}
	}
}
