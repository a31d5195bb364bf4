package integration

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/integration/testbed"
)

// TestAttestSlowPlatform empties the daemon's cache while one platform still builds:
// what attests the other one is in the registry by then.
func TestAttestSlowPlatform(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	name := store.Addr + "/slow:1"
	step, process := waitingStep()
	dir := project(t, map[string]string{"Dockerfile": "FROM busybox\nARG TARGETARCH\nRUN test $TARGETARCH = amd64 || " + step + "\n"})
	building := command(t, "--platform", pair, "--no-cache", "-t", name, "--push", "--provenance=mode=max", "--progress=plain", dir)
	stderr, err := building.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := building.Start(); err != nil {
		t.Fatal(err)
	}
	prune := func() *exec.Cmd { return command(t, "engine", "prune", "--all") }
	said, pruned := new(strings.Builder), false
	buffer := make([]byte, 32<<10)
	for {
		n, err := stderr.Read(buffer)
		said.Write(buffer[:n])
		if !pruned && strings.Contains(said.String(), "pushing manifest") {
			pruned = true
			for range 2 { // three attempts have one undisturbed
				if res := finish(t, prune()); res.code != 0 {
					t.Errorf("pruning: %s", res.stderr)
				}
			}
			endStep(t, process)
		}
		if err != nil {
			break
		}
	}
	if err := building.Wait(); err != nil || !pruned {
		t.Fatalf("%v, pruned %t\n%s", err, pruned, said)
	}
	if n := strings.Count(mabuild(t, "inspect", "--format", "{{json .Provenance}}", name).stdout, "SLSA"); n < 2 {
		t.Errorf("%d provenances", n)
	}
}
