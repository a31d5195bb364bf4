package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/integration/testbed"
)

// wrongDockerfile copies a program of the build platform into every image (case 62).
const wrongDockerfile = `FROM --platform=$BUILDPLATFORM busybox AS tools
FROM busybox
COPY --from=tools /bin/busybox /usr/bin/app
ENTRYPOINT ["app"]
`

// TestVerify holds that no tag moves to an image whose program does not run on its
// platform, whichever way the image goes, and that images anywhere can be verified.
func TestVerify(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	dir := project(t, map[string]string{"Dockerfile": wrongDockerfile})
	platforms := []string{"--platform", "linux/amd64,linux/arm64"}
	image := store.Addr + "/wrong:1"
	says := []string{"/usr/bin/app", "linux/amd64", "linux/arm64", "ENTRYPOINT", "nothing was tagged", "--verify-ignore"}
	fails(t, command(t, append(platforms, "-t", image, "--push", dir)...), 1, says...)
	fails(t, command(t, "inspect", "--source=registry", image), 6, "404")
	fails(t, command(t, append(platforms, "-t", "wrong", dir)...), 1, says...)
	fails(t, command(t, "inspect", "--source=store", "wrong"), 1, "wrong")
	archive := filepath.Join(t.TempDir(), "wrong.tar")
	fails(t, command(t, append(platforms, "-o", "type=oci,dest="+archive, dir)...), 1, says...)
	if _, err := os.Stat(archive); err == nil {
		t.Error("the archive was written")
	}

	// Who insists gets it, and finds out afterwards.
	mabuild(t, append(platforms, "--verify-ignore", "usr/bin/app", "-t", store.Addr+"/ignored:1", "--push", dir)...)
	mabuild(t, append(platforms, "--verify=off", "-t", image, "--push", dir)...)
	mabuild(t, append(platforms, "--verify=off", "-o", "type=oci,dest="+archive, dir)...)
	for _, name := range []string{image, archive} {
		found := finish(t, command(t, "verify", "--json", name))
		var reports []struct {
			Platform string
			Findings []struct{ Level, Path string }
		}
		if err := json.Unmarshal([]byte(found.stdout), &reports); err != nil || found.code != 1 {
			t.Fatalf("%s: exit code %d, %v\n%s%s", name, found.code, err, found.stdout, found.stderr)
		}
		if len(reports) != 2 || len(reports[0].Findings) != 0 || len(reports[1].Findings) != 1 || reports[1].Findings[0].Path != "/usr/bin/app" {
			t.Errorf("%s: %+v", name, reports)
		}
	}
	if good := mabuild(t, "verify", "--mode=off", image); strings.Contains(good.stdout, "error") {
		t.Errorf("verified nevertheless:\n%s", good.stdout)
	}
	fails(t, command(t, "verify", "--mode=some", image), 2, "all, entrypoint or off")
	fails(t, command(t, "verify", store.Addr+"/none:1"), 6, "404")
}

// TestPin moves a stage to the build platform for one build, and in the file.
func TestPin(t *testing.T) {
	const dockerfile = "FROM busybox AS build\nRUN echo \"$(uname -m)\" > /made\n\nFROM busybox\nCOPY --from=build /made /made\n"
	dir := project(t, map[string]string{"Dockerfile": strings.ReplaceAll(dockerfile, "uname -m", "cat /proc/sys/kernel/random/uuid")})
	out := t.TempDir()
	built := mabuild(t, "--platform", "linux/amd64,linux/arm64", "--pin-native", "build:plain", "--progress=plain", "-o", out, dir)
	var made [2]string
	for i, platform := range []string{"linux_amd64", "linux_arm64"} {
		text, err := os.ReadFile(filepath.Join(out, platform, "made"))
		if err != nil {
			t.Fatal(err)
		}
		made[i] = string(text)
	}
	if made[0] != made[1] {
		t.Errorf("a pinned stage ran twice: %q\n%s", made, built.stderr)
	}
	file := filepath.Join(dir, "Dockerfile")
	if text, err := os.ReadFile(file); err != nil || strings.Contains(string(text), "BUILDPLATFORM") {
		t.Errorf("the Dockerfile was changed: %s, %v", text, err)
	}
	patch := mabuild(t, "pin", "--pin-native", "build:plain", "--platform", "linux/amd64,linux/arm64", dir)
	if !strings.Contains(patch.stdout, "+FROM --platform=$BUILDPLATFORM busybox AS build") || !strings.Contains(patch.stderr, "STAGE") {
		t.Errorf("the patch is\n%s\n%s", patch.stdout, patch.stderr)
	}
	mabuild(t, "pin", "--write", "--pin-native", "build:plain", "--platform", "linux/amd64,linux/arm64", dir)
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), "FROM --platform=$BUILDPLATFORM busybox AS build") {
		t.Errorf("the Dockerfile was not changed: %s, %v", text, err)
	}
	fails(t, command(t, "--pin-native", "nosuch", "--platform", "linux/arm64", dir), 2, "nosuch", "choose one of")
}
