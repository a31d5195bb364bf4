package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/integration/testbed"
)

// TestPreflight is cases 3, 4, 5 and 11: bases that are not made for a platform are
// all named at once, before anything is pulled or run.
func TestPreflight(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	one := project(t, map[string]string{"Dockerfile": "FROM busybox\n"})
	single, both := store.Addr+"/single:1", store.Addr+"/both:1"
	mabuild(t, "--platform", "linux/amd64", "-t", single, "--push", one)
	mabuild(t, "--platform", "linux/amd64,linux/arm64", "-t", both, "--push", one)
	var index ocispec.Index
	if err := json.Unmarshal([]byte(mabuild(t, "inspect", "--source=registry", "--raw", both).stdout), &index); err != nil {
		t.Fatal(err)
	}
	child := both + "@" + index.Manifests[1].Digest.String()

	tests := []struct {
		name, dockerfile string
		says             []string
	}{
		{"single-platform base (case 4)", "FROM " + single + "\nRUN true\n", []string{"Dockerfile:1", "single:1", "linux/arm64", "linux/amd64"}},
		{"pinned to a child's digest (case 5)", "FROM " + child + "\nRUN true\n", []string{"Dockerfile:1", "linux/amd64"}},
		{"pinned target (case 3)", "FROM --platform=linux/amd64 busybox\nRUN true\n", []string{"Dockerfile:1", "--platform=linux/amd64", "pin only"}},
		{
			"all at once (case 11)", "FROM " + single + " AS a\nRUN true\nFROM " + both + " AS b\nFROM debian:bookworm-slim\nCOPY --from=a / /a\nCOPY --from=b / /b\n",
			[]string{"Dockerfile:1", "stage a", "linux/arm64, linux/s390x", "Dockerfile:3", "stage b", "linux/s390x", "Dockerfile:4", "debian:bookworm-slim"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := project(t, map[string]string{"Dockerfile": test.dockerfile})
			platforms := "linux/amd64,linux/arm64"
			if strings.HasPrefix(test.name, "all") {
				platforms += ",linux/s390x"
			}
			image := store.Addr + "/result:1"
			res := fails(t, command(t, "--platform", platforms, "-t", image, "--push", dir), 4, append(test.says, "nothing was pulled or run")...)
			if strings.Contains(res.stderr, "#1 ") {
				t.Errorf("BuildKit was asked to build:\n%s", res.stderr)
			}
			fails(t, command(t, "inspect", "--source=registry", image), 6, "404")
			shown := finish(t, command(t, "plan", "--platform", platforms, dir))
			if shown.code != 4 || !strings.Contains(shown.stdout, "error") {
				t.Errorf("plan: exit code %d\n%s%s", shown.code, shown.stdout, shown.stderr)
			}
		})
	}
	dir := project(t, map[string]string{"Dockerfile": "FROM " + single + "\nRUN true\n"})
	warned := mabuild(t, "--preflight=warn", "--verify=off", "--platform", "linux/amd64,linux/arm64", dir)
	if !strings.Contains(warned.stderr, "warning: the plan cannot be satisfied") {
		t.Errorf("--preflight=warn says nothing:\n%s", warned.stderr)
	}
	mabuild(t, "--preflight=off", "--verify=off", "--platform", "linux/amd64,linux/arm64", dir)
	mabuild(t, "--allow-single-base", "--verify=off", "--platform", "linux/amd64,linux/arm64", dir)
	fails(t, command(t, "--allow-single-base", "--platform", "linux/amd64,linux/arm64", dir), 1, "/bin/sh", "--verify=off")
	dir = project(t, map[string]string{"Dockerfile": "FROM --platform=linux/amd64 busybox\nRUN true\n"})
	mabuild(t, "--allow-pinned-runtime", "--verify=off", "--platform", "linux/amd64,linux/arm64", dir)
}

// TestPreflightAndEmulation holds that what cannot be emulated and what is wrong
// with bases is told together.
func TestPreflightAndEmulation(t *testing.T) {
	dir := project(t, map[string]string{"Dockerfile": "FROM busybox AS a\nRUN true\nFROM --platform=linux/amd64 busybox\nCOPY --from=a / /a\n"})
	platforms := []string{"--emulation=off", "--platform", "linux/amd64,linux/arm64"}
	fails(t, command(t, append(platforms, dir)...), 4, "runtime-pinned", "Dockerfile:2: stage a runs commands on linux/arm64, which cannot be run or emulated here")
	fails(t, command(t, append(platforms, "--allow-pinned-runtime", dir)...), 3, "Dockerfile:2: stage a runs commands on linux/arm64")
}

// TestNamedContext is case 14: an image that was just built is the base of the
// next one without a registry, per platform.
func TestNamedContext(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	next := store.Addr + "/in-no-registry:1"
	dir := project(t, map[string]string{"Dockerfile": "FROM " + next + "\nRUN cp /etc/arch /seen\n"})
	planned := finish(t, command(t, "plan", "--platform", "linux/amd64,linux/arm64", dir))
	if planned.code != 4 || !strings.Contains(strings.Join(strings.Fields(planned.stdout), " "), "by --build-context "+next+"=") {
		t.Errorf("exit code %d, and no way out:\n%s%s", planned.code, planned.stdout, planned.stderr)
	}
	base := project(t, map[string]string{"Dockerfile": "FROM busybox\nARG TARGETARCH\nRUN mkdir -p /etc && echo -n built-$TARGETARCH > /etc/arch\n"})
	image := store.Addr + "/app:1"
	mabuild(t, "--platform", "linux/amd64,linux/arm64", "-t", image, "--push", base)
	out := t.TempDir()
	mabuild(t, "--platform", "linux/amd64,linux/arm64", "--build-context", next+"=docker-image://"+image, "-o", out, dir)
	for _, arch := range []string{"amd64", "arm64"} {
		if got, err := os.ReadFile(filepath.Join(out, "linux_"+arch, "seen")); err != nil || string(got) != "built-"+arch {
			t.Errorf("%s: %q, %v", arch, got, err)
		}
	}
	// A directory for one platform only takes the place of the image there.
	dir = project(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY --from=app /etc/arch /seen\n", "own/etc/arch": "own"})
	out = t.TempDir()
	mabuild(t, "--platform", "linux/amd64,linux/arm64", "--build-context", "app=docker-image://"+image,
		"--build-context", "app::linux/arm64="+filepath.Join(dir, "own"), "-o", out, dir)
	for arch, want := range map[string]string{"amd64": "built-amd64", "arm64": "own"} {
		if got, err := os.ReadFile(filepath.Join(out, "linux_"+arch, "seen")); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", arch, got, err)
		}
	}
}

// TestPlan shows a screen, and JSON, without an engine.
func TestPlan(t *testing.T) {
	dir := project(t, map[string]string{"Dockerfile": "FROM --platform=$BUILDPLATFORM golang:1.26 AS build\nRUN go version > /v\n" +
		"FROM busybox\nCOPY --from=build /v /v\nRUN cat /v\n"})
	cmd := command(t, "plan", "--platform", "linux/amd64,linux/arm64,linux/s390x", dir)
	cmd.Env = append(cmd.Env, "MABUILD_STATE_DIR=/nonexistent", "LC_ALL=C.UTF-8")
	screen := finish(t, cmd)
	if screen.code != 0 {
		t.Fatal(screen.stderr)
	}
	for _, want := range []string{"build", "● 1 RUN  = amd64  = amd64", "● 1 RUN  ▲ 1 RUN  ▲ 1 RUN", "6 requested, 4 distinct, 2 emulated", "2 of 2 have all platforms", "0 errors"} {
		if !strings.Contains(screen.stdout, want) {
			t.Errorf("%q is not on the screen:\n%s", want, screen.stdout)
		}
	}
	var plan struct {
		Version int
		Bases   []struct{ Ref, Digest string }
		Steps   []struct{ State string }
	}
	if err := json.Unmarshal([]byte(mabuild(t, "plan", "--format=json", "--platform", "linux/amd64,linux/arm64", dir).stdout), &plan); err != nil {
		t.Fatal(err)
	}
	if plan.Version != 1 || len(plan.Bases) != 2 || !strings.HasPrefix(plan.Bases[0].Digest, "sha256:") {
		t.Errorf("the plan is %+v", plan)
	}
}
