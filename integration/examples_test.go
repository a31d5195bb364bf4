package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/integration/testbed"
)

// machines is what `uname -m` says where an image of the platform runs. A 386
// process on an amd64 kernel sees the kernel's machine.
var machines = map[string]string{
	"linux/amd64": "x86_64", "linux/arm64": "aarch64", "linux/arm/v7": "armv7l",
	"linux/386": "x86_64", "linux/ppc64le": "ppc64le", "linux/s390x": "s390x",
}

// TestExamples builds every example, pushes it, and then runs every platform of
// what the registry has. Not beside TestCorrelate, which builds the same: of equal steps
// of two builds the daemon makes one, and tells both of it.
func TestExamples(t *testing.T) {
	tests := []struct {
		name      string
		platforms string
		// run is a Dockerfile that runs the image and keeps in /out what it says.
		run  string
		want func(platform string) string
	}{
		{
			name: "hello", platforms: six,
			run:  "FROM %s\nUSER root\nRUN sh -c \"echo \\\"Hello from $(cat /arch)\\\"\" > /out && uname -m >> /out\n",
			want: func(p string) string { return fmt.Sprintf("Hello from %[1]s\n%[1]s\n", machines[p]) },
		},
		{
			name: "go-cross", platforms: "linux/amd64,linux/arm64",
			run:  "FROM %s AS image\nFROM busybox\nCOPY --from=image /hello /hello\nRUN /hello > /out\n",
			want: func(p string) string { return strings.TrimPrefix(p, "linux/") },
		},
		{
			name: "c-emulated", platforms: "linux/amd64,linux/arm64",
			run:  "FROM %s AS image\nFROM busybox\nCOPY --from=image /hello /hello.txt /\nRUN /hello > /out && cmp /out /hello.txt\n",
			want: func(p string) string { return machines[p] },
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			store := registry(t, testbed.RegistryOptions{})
			image := store.Addr + "/examples/" + test.name + ":1"
			built := mabuild(t, "--platform", test.platforms, "-t", image, "--push", filepath.Join("..", "examples", test.name))
			digest := strings.TrimSpace(built.stdout)
			if !strings.HasPrefix(digest, "sha256:") {
				t.Fatalf("standard output is %q, want a digest alone", built.stdout)
			}
			checkIndex(t, image, digest, test.platforms)

			out := t.TempDir()
			runner := project(t, map[string]string{"Dockerfile": fmt.Sprintf(test.run, image)})
			mabuild(t, "--platform", test.platforms, "--pull", "-o", "type=local,dest="+out, runner)
			for platform := range strings.SplitSeq(test.platforms, ",") {
				got, err := os.ReadFile(filepath.Join(out, strings.ReplaceAll(platform, "/", "_"), "out"))
				if err != nil {
					t.Error(err)
				} else if want := test.want(platform); !strings.Contains(string(got), want) {
					t.Errorf("%s said %q, want %q in it", platform, got, want)
				}
			}
		})
	}
}

// checkIndex compares what inspect shows with what was built.
func checkIndex(t *testing.T, image, digest, platforms string) {
	t.Helper()
	shown := mabuild(t, "inspect", "--source=registry", image).stdout
	for _, want := range append(strings.Split(platforms, ","), "application/vnd.oci.image.index.v1+json", digest) {
		if !strings.Contains(shown, want) {
			t.Errorf("inspect does not show %q:\n%s", want, shown)
		}
	}
	if rows := strings.Count(shown, "\nlinux/"); rows != strings.Count(platforms, ",")+1 {
		t.Errorf("inspect shows %d platforms, want those of %s:\n%s", rows, platforms, shown)
	}
}
