package integration

import (
	"encoding/json"
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
	warned := mabuild(t, "--preflight=warn", "--platform", "linux/amd64,linux/arm64", dir)
	if !strings.Contains(warned.stderr, "warning: the plan cannot be satisfied") {
		t.Errorf("--preflight=warn says nothing:\n%s", warned.stderr)
	}
	mabuild(t, "--preflight=off", "--platform", "linux/amd64,linux/arm64", dir)
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
	for _, want := range []string{"build", "● 1 RUN   = amd64   = amd64", "● 1 RUN   ▲ 1 RUN   ▲ 1 RUN", "6 requested, 4 distinct, 2 emulated", "2 of 2 have all platforms", "0 errors"} {
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
