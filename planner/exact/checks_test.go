package exact_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/planner/exact"
)

// TestBuildKitRules holds that BuildKit's own rules are heard for every platform,
// and reported once.
func TestBuildKitRules(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		dockerfile string
		args       map[string]string
		want       string // "LINE RULE LEVEL PLATFORMS"
	}{
		"all platforms": {
			dockerfile: "FROM base\nMAINTAINER me\n",
			want:       "2 MaintainerDeprecated warning linux/amd64 linux/arm64",
		},
		"the second platform only": {
			dockerfile: "FROM base AS b-amd64\nFROM base AS b-arm64\nWORKDIR src\nARG TARGETARCH\nFROM b-$TARGETARCH\n",
			want:       "3 WorkdirRelativePath warning linux/arm64",
		},
		"skipped": {
			dockerfile: "# check=skip=MaintainerDeprecated\nFROM base\nMAINTAINER me\n",
		},
		"skipped by argument": {
			dockerfile: "FROM base\nMAINTAINER me\n", args: map[string]string{"BUILDKIT_DOCKERFILE_CHECK": "skip=all"},
		},
		"errors": {
			dockerfile: "# check=error=true\nFROM base\nMAINTAINER me\n",
			want:       "3 MaintainerDeprecated error linux/amd64 linux/arm64",
		},
		"base-platform says it better": {
			dockerfile: "FROM amdonly\nCOPY --from=amdonly / /\n",
			want:       "1 base-platform error linux/arm64\n2 base-platform error linux/arm64",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := options(t, test.dockerfile)
			opts.Args = test.args
			var got []string
			for _, f := range plan(t, opts).Findings {
				got = append(got, fmt.Sprintf("%d %s %s %s", f.Line, f.Rule, f.Level, strings.Join(f.Platforms, " ")))
			}
			if diff := cmp.Diff(test.want, strings.Join(got, "\n")); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBadCheckDirective holds that what BuildKit cannot read is an error with
// its line.
func TestBadCheckDirective(t *testing.T) {
	t.Parallel()
	_, err := exact.Plan(t.Context(), options(t, "# check=nonsense\nFROM base\n"))
	if err == nil || !strings.Contains(err.Error(), "Dockerfile:1: ") || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("error %v", err)
	}
}
