package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/integration/testbed"
)

// TestIndependence is cases 33 and 94: platforms that fail beside platforms that do
// not, told once each, to people and to programs.
func TestIndependence(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	dir := project(t, map[string]string{
		"Dockerfile": "FROM busybox AS base\nARG TARGETARCH\nRUN [ $TARGETARCH != s390x ] && [ $TARGETARCH != ppc64le ]\nRUN echo $TARGETARCH > /ok\n",
	})
	platforms := []string{"--platform", "linux/amd64,linux/s390x,linux/arm64,linux/ppc64le"}
	image, report := store.Addr+"/some:1", filepath.Join(t.TempDir(), "error.json")
	failed := fails(t, command(t, append(platforms, "--keep-going", "--error-file", report, "-t", image, "--push", dir)...), 1,
		"linux/s390x: ", "linux/ppc64le: ", "Dockerfile:3: stage base")
	for _, name := range []string{"\nlinux/ppc64le: ", "mabuild: linux/s390x: "} {
		if strings.Count(failed.stderr, name) != 1 {
			t.Errorf("%q is told %d times:\n%s", name, strings.Count(failed.stderr, name), failed.stderr)
		}
	}
	fails(t, command(t, "inspect", "--source=registry", image), 6, "404")
	var told struct {
		ExitCode int
		Class    string
		Failures []struct {
			Platform, Class, Stage string
			Line                   int
		}
	}
	text, err := os.ReadFile(report)
	if err == nil {
		err = json.Unmarshal(text, &told)
	}
	if err != nil || told.ExitCode != 1 || told.Class != "build" || len(told.Failures) != 2 ||
		told.Failures[0].Platform != "linux/s390x" || told.Failures[1].Line != 3 || told.Failures[1].Stage != "base" {
		t.Errorf("%v: %s", err, text)
	}

	meta := filepath.Join(t.TempDir(), "meta.json")
	mabuild(t, append(platforms, "--allow-missing", "linux/s390x,linux/ppc64le", "--metadata-file", meta, "-t", image, "--push", dir)...)
	shown := mabuild(t, "inspect", "--source=registry", image)
	if strings.Contains(shown.stdout, "s390x") || !strings.Contains(shown.stdout, "linux/arm64") {
		t.Errorf("pushed:\n%s", shown.stdout)
	}
	var known struct {
		Platforms map[string]struct {
			Digest, Error string
			Emulated      int
		} `json:"mabuild.platforms"`
	}
	if text, err = os.ReadFile(meta); err == nil {
		err = json.Unmarshal(text, &known)
	}
	arm, s390x := known.Platforms["linux/arm64"], known.Platforms["linux/s390x"]
	if err != nil || arm.Digest == "" || arm.Emulated != 2 || s390x.Digest != "" || !strings.Contains(s390x.Error, "Dockerfile:3") {
		t.Errorf("%v: %s", err, text)
	}
	files, archive := filepath.Join(t.TempDir(), "files"), filepath.Join(t.TempDir(), "files.tar")
	mabuild(t, append(platforms, "--allow-missing", "linux/s390x,linux/ppc64le", "-o", files, "-o", "type=tar,dest="+archive, dir)...)
	places, err := filepath.Glob(files + "/*")
	if _, statErr := os.Stat(archive); err != nil || statErr != nil || len(places) != 2 {
		t.Errorf("files of two platforms: %v %v %v", places, err, statErr)
	}
	fails(t, command(t, append(platforms, "--allow-missing", "linux/s390x", dir)...), 1, "linux/ppc64le: ")
	slow := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN sleep 60\n"})
	fails(t, command(t, "--timeout=2s", "--platform", "linux/arm64", slow), 1, "linux/arm64: the platform took longer than 2s")
}
