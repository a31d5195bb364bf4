package integration

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/integration/testbed"
)

// TestActionShards runs the jobs of a matrix one after the other, each in a runner of
// its own: the last makes the index, which is that of one build.
func TestActionShards(t *testing.T) {
	target := registry(t, testbed.RegistryOptions{})
	dir := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN uname -m > /arch\n"})
	name := target.Addr + "/app:sharded"
	job := func(shard string, args ...string) *runner {
		r := newRunner(t, map[string]string{
			"context": ".", "platforms": "linux/amd64,linux/arm64", "push": "true", "tags": name, "provenance": "false", "shard": shard,
			"shard-wait": "1s", "build-args": strings.Join(args, "\n"),
		})
		return r
	}
	first := job("linux/arm64")
	res := finish(t, first.command(t, dir))
	if res.code != 0 || !strings.Contains(res.stderr, "Waiting for linux/amd64") {
		t.Fatalf("exit code %d\n%s", res.code, res.stderr)
	}
	if digest := first.outputs(t)["digest"]; digest != "" {
		t.Errorf("the first job says that the image is %s", digest)
	}
	absent := command(t, "inspect", name)
	fails(t, absent, 6)
	fails(t, command(t, "join", "--shards", "-t", name, "--platform", "linux/amd64,linux/arm64", "--run-id", "4711", "--shard-wait", "1s"), 1, "linux/amd64")

	other := job("linux/amd64", "VERSION=2")
	res = finish(t, other.command(t, dir))
	if res.code != 4 || !strings.Contains(res.stderr, "the build arguments differ") || strings.Contains(res.stderr, "RUN uname") {
		t.Errorf("another plan: exit code %d\n%s", res.code, res.stderr)
	}

	last := job("linux/amd64")
	if res = finish(t, last.command(t, dir)); res.code != 0 {
		t.Fatalf("exit code %d\n%s", res.code, res.stderr)
	}
	whole := mabuild(t, "--platform", "linux/amd64,linux/arm64", "-o", "type=oci,dest="+filepath.Join(t.TempDir(), "x.tar"), dir)
	if digest := last.outputs(t)["digest"]; digest != strings.TrimSpace(whole.stdout) {
		t.Errorf("the image is %s, in one build %s", digest, whole.stdout)
	}

	joined := job("")
	joined.inputs["join"] = "true"
	if res = finish(t, joined.command(t, dir)); res.code != 0 {
		t.Fatalf("joining: exit code %d\n%s", res.code, res.stderr)
	}
	if outputs := joined.outputs(t); outputs["digest"] != strings.TrimSpace(whole.stdout) || outputs["digest-linux-arm64"] == "" {
		t.Errorf("outputs of joining: %v", outputs)
	}
}
