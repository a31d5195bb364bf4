package planner_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/planner"
)

// TestAllStages holds that stages beside the target are planned on request, with
// the images that they need.
func TestAllStages(t *testing.T) {
	t.Parallel()
	text := []byte("ARG V=1\nFROM debian:$V AS lint\nRUN --mount=from=tools true\nFROM alpine\n")
	for all, want := range map[bool][]string{false: {"alpine"}, true: {"debian:1", "tools", "alpine"}} {
		plan, err := planner.Expand(text, planner.Options{AllStages: all})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, image := range plan.Jobs[0].Images {
			got = append(got, image.Ref)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("all stages %t: images (-want +got):\n%s", all, diff)
		}
	}
}

// TestGlobals holds that a job carries the global scope of its platform.
func TestGlobals(t *testing.T) {
	t.Parallel()
	plan, err := planner.Expand([]byte("ARG A=$TARGETARCH\nARG TARGETOS=none\nARG UNSET\nARG B=1\nFROM scratch\nARG C=2\n"), planner.Options{
		Platforms: parse(t, "linux/arm64"), BuildPlatform: parse(t, "linux/amd64")[0], Args: map[string]string{"B": "2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"BUILDPLATFORM": "linux/amd64", "BUILDOS": "linux", "BUILDOSVERSION": "", "BUILDARCH": "amd64", "BUILDVARIANT": "",
		"TARGETPLATFORM": "linux/arm64", "TARGETOS": "none", "TARGETOSVERSION": "", "TARGETARCH": "arm64", "TARGETVARIANT": "",
		"TARGETSTAGE": "default", "A": "arm64", "B": "2",
	}
	if diff := cmp.Diff(want, plan.Jobs[0].Globals); diff != "" {
		t.Errorf("globals (-want +got):\n%s", diff)
	}
}

func TestRunnable(t *testing.T) {
	t.Parallel()
	machines := parse(t, "linux/amd64/v3,linux/arm/v7")
	for spec, want := range map[string]bool{
		"linux/amd64": true, "linux/amd64/v3": true, "linux/amd64/v4": false, "linux/386": false,
		"linux/arm/v6": true, "linux/arm64": false, "windows/amd64": false,
	} {
		if got := planner.Runnable(machines, parse(t, spec)[0]); got != want {
			t.Errorf("%s: %t, want %t", spec, got, want)
		}
	}
}
