package exact_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/exact"
)

// digests are those of the commands, by text.
func digests(t *testing.T, opts exact.Options) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, step := range plan(t, opts).Steps {
		if step.Kind == "exec" {
			var list []string
			for _, d := range step.Digests {
				list = append(list, d.String())
			}
			slices.Sort(list)
			found[step.Command] += strings.Join(list, " ")
		}
	}
	return found
}

// TestAttrs: what the frontend writes into an operation is in its digest.
func TestAttrs(t *testing.T) {
	t.Parallel()
	opts := options(t, "FROM base\nRUN one\n")
	seen := map[string]string{digests(t, opts)["RUN one"]: "nothing"}
	for name, value := range map[string]string{
		"add-hosts": "build.example=192.0.2.1", "force-network-mode": "none", "shm-size": "1048576",
		"ulimit": "nofile=1024:2048", "cgroup-parent": "/builds",
	} {
		opts.Attrs = map[string]string{name: value}
		got := digests(t, opts)["RUN one"]
		if before, ok := seen[got]; ok {
			t.Errorf("%s has the digest of %s", name, before)
		}
		if got == "" {
			t.Fatal("there is no such step")
		}
		seen[got] = name
	}
	opts.Attrs = map[string]string{"ulimit": "nofile"}
	if _, err := exact.Plan(t.Context(), opts); err == nil {
		t.Error("a wrong ulimit is accepted")
	}
}

func TestPlanOverrides(t *testing.T) {
	t.Parallel()
	opts := options(t, "FROM base AS one\nARG V\nRUN one $V\nFROM one AS two\nRUN two\n")
	opts.Overrides = map[string]planner.Override{"linux/arm64": {Target: "one", Args: map[string]string{"V": "arm"}}}
	for _, step := range plan(t, opts).Steps {
		if strings.HasSuffix(step.Command, "two") && !slices.Equal(step.Platforms, []string{"linux/amd64"}) {
			t.Errorf("two is built for %v", step.Platforms)
		}
		if step.Kind == "exec" && slices.Contains(step.Platforms, "linux/arm64") && !slices.Contains(step.Env, "V=arm") {
			t.Errorf("%q has the environment %q", step.Command, step.Env)
		}
	}
}
