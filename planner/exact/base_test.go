package exact_test

import (
	"testing"

	digest "github.com/opencontainers/go-digest"
)

// TestBase finds the image that the stage of a command began with.
func TestBase(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ dockerfile, ref string }{
		"from it":        {"FROM base\nRUN last", "base"},
		"after others":   {"FROM base\nRUN first\nCOPY . /src\nWORKDIR /src\nRUN last", "base"},
		"through stages": {"FROM base AS one\nRUN first\nFROM one AS two\nFROM two\nRUN last", "base"},
		"not a mount's":  {"FROM app:1\nRUN --mount=from=base,target=/mnt last", "app:1"},
		"not a copy's":   {"FROM app:1\nCOPY --from=base /a /a\nRUN last", "app:1"},
		"copied whole":   {"FROM scratch\nCOPY --from=base / /\nRUN last", "base"},
		"no image":       {"FROM scratch\nCOPY . /\nRUN last", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := ""
			if test.ref != "" {
				want = full(test.ref) + "@" + digest.FromString(full(test.ref)).String()
			}
			result := plan(t, options(t, test.dockerfile))
			found := false
			for _, step := range result.Steps {
				if len(step.Args) > 0 && step.Args[len(step.Args)-1] == "last" {
					found = true
					if got := result.Base(step); got != want {
						t.Errorf("got %q, want %q", got, want)
					}
				}
			}
			if !found {
				t.Error("the command is not in the plan")
			}
		})
	}
}
