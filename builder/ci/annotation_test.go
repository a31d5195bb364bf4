package ci_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/ci"
	"github.com/mabuild/mabuild/builder/report"
)

const amd, arm, ppc = "linux/amd64", "linux/arm64", "linux/ppc64le"

func TestAnnotations(t *testing.T) {
	platforms := []report.Platform{{Name: amd}, {Name: arm}, {Name: ppc}}
	failed := func(platform, problem string, log ...string) report.Step {
		return report.Step{Name: "RUN make", Line: 6, Error: problem, Platforms: []string{platform}, Log: log}
	}
	missing := func(platform, image string) report.Step {
		problem := "not found"
		if image == "docker.io/library/none:latest" {
			problem = image + ": " + problem
		}
		return report.Step{Name: "[internal] load metadata for " + image, Error: problem, Platforms: []string{platform}}
	}
	for name, test := range map[string]struct {
		build report.Build
		want  []ci.Annotation
	}{
		"nothing": {report.Build{Platforms: platforms}, nil},
		"the same on two platforms": {
			report.Build{Error: "all of it", Platforms: platforms, Steps: []report.Step{failed(amd, "exit code: 2", "1", "2", "3", "\x1b[31m4\x1b[0m"), failed(arm, "exit code: 2", "other")}},
			[]ci.Annotation{{Level: ci.Error, File: "app/Dockerfile", Line: 6, Title: amd + ", " + arm, Message: "RUN make: exit code: 2\n2\n3\n4"}},
		},
		"another on each": {
			report.Build{Platforms: platforms, Steps: []report.Step{failed(amd, "exit code: 2"), failed(arm, "exit code: 3")}},
			[]ci.Annotation{
				{Level: ci.Error, File: "app/Dockerfile", Line: 6, Title: amd, Message: "RUN make: exit code: 2"},
				{Level: ci.Error, File: "app/Dockerfile", Line: 6, Title: arm, Message: "RUN make: exit code: 3"},
			},
		},
		"all platforms": {
			report.Build{Platforms: platforms, Steps: []report.Step{failed(amd, "x"), failed(arm, "x"), failed(ppc, "x")}},
			[]ci.Annotation{{Level: ci.Error, File: "app/Dockerfile", Line: 6, Title: "all platforms", Message: "RUN make: x"}},
		},
		"no step failed": {
			report.Build{Error: "pushing: denied\nlog in", Platforms: []report.Platform{{Name: amd, Error: "pushing: denied"}, {Name: arm, Error: "pushing: denied"}, {Name: ppc}}},
			[]ci.Annotation{{Level: ci.Error, Title: amd + ", " + arm, Message: "pushing: denied"}},
		},
		"no platform failed": {
			report.Build{Error: "pushing: denied\nlog in", Platforms: platforms},
			[]ci.Annotation{{Level: ci.Error, Message: "pushing: denied\nlog in"}},
		},
		"findings of a build that failed": {
			report.Build{Error: "x", Platforms: []report.Platform{{Name: amd, Error: "x"}}, Findings: []report.Finding{{Rule: "warn", Level: "warning", Line: 1, Message: "m"}, {Rule: "bad", Level: "error", Line: 2, Message: "n"}}},
			[]ci.Annotation{
				{Level: ci.Error, Title: amd, Message: "x"},
				{Level: ci.Error, File: "app/Dockerfile", Line: 2, Message: "n\nbad"},
				{Level: ci.Warning, File: "app/Dockerfile", Line: 1, Message: "m\nwarn"},
			},
		},
		"a plan that cannot be": {
			report.Build{Error: "the plan cannot be satisfied\nDockerfile:2: no image for it [bad]", Platforms: platforms, Findings: []report.Finding{{Rule: "bad", Level: "error", Line: 2, Message: "no image for it"}}},
			[]ci.Annotation{{Level: ci.Error, File: "app/Dockerfile", Line: 2, Message: "no image for it\nbad"}},
		},
		"a base that is not there": {
			report.Build{
				Error: "x", Platforms: platforms,
				Steps: []report.Step{missing(amd, "docker.io/library/none:latest"), missing(arm, "docker.io/library/none:latest"), missing(arm, "docker.io/none/none:1")},
				Findings: []report.Finding{
					{Rule: "base-unavailable", Level: "error", Line: 7, Platforms: []string{amd, arm}, Message: "none cannot be looked up: no such host", Fix: "check it"},
				},
			},
			[]ci.Annotation{
				{Level: ci.Error, File: "app/Dockerfile", Title: arm, Message: "[internal] load metadata for docker.io/none/none:1: not found"},
				{Level: ci.Error, File: "app/Dockerfile", Line: 7, Title: amd + ", " + arm, Message: "docker.io/library/none:latest: not found\ncheck it"},
			},
		},
		"findings, worst first": {
			report.Build{Platforms: platforms, Findings: []report.Finding{
				{Rule: "note", Level: "note", Line: 1, Message: "a note"},
				{Rule: "warn", Level: "warning", Line: 9, Message: "a\nwarning", Platforms: []string{arm}},
				{Rule: "warn", Level: "warning", Line: 3, Message: "first", Fix: "do this", URL: "https://example.com/warn"},
				{Rule: "warn", Level: "warning", Line: 9, Message: "a\nwarning", Platforms: []string{amd}},
				{Rule: "bad", Level: "error", Line: 12, Message: "wrong"},
			}},
			[]ci.Annotation{
				{Level: ci.Warning, File: "app/Dockerfile", Line: 3, Message: "first\ndo this\nwarn https://example.com/warn"},
				{Level: ci.Warning, File: "app/Dockerfile", Line: 9, Title: arm + ", " + amd, Message: "a warning\nwarn"},
				{Level: ci.Warning, File: "app/Dockerfile", Line: 12, Message: "wrong\nbad"}, // the build went well
				{Level: ci.Notice, File: "app/Dockerfile", Line: 1, Message: "a note\nnote"},
			},
		},
	} {
		if diff := cmp.Diff(test.want, ci.Annotations(&test.build, "./app/Dockerfile")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestLimit: GitHub shows ten of a level and says nothing of the others.
func TestLimit(t *testing.T) {
	for count, want := range map[int]string{0: "", 1: "1", 10: "10", 11: "9 and 2 more", 500: "9 and 491 more"} {
		var list []ci.Annotation
		for i := range count {
			list = append(list, ci.Annotation{Level: ci.Warning, File: "Dockerfile", Line: i + 1, Message: "m"})
		}
		list = append(list, ci.Annotation{Level: ci.Error, Message: "e"})
		var out bytes.Buffer
		ci.NewLog(&out, ci.LogOptions{System: ci.GitHub}).Annotate(list)
		got := ""
		if shown := strings.Count(out.String(), "::warning file="); shown > 0 {
			got = fmt.Sprint(shown)
		}
		if _, more, found := strings.Cut(out.String(), "::warning::and "); found {
			more, _, _ = strings.Cut(more, ";")
			got += " and " + more
		}
		if got != want || !strings.Contains(out.String(), "::error::e\n") {
			t.Errorf("of %d: %q, want %q\n%s", count, got, want, out.String())
		}
		out.Reset()
		ci.NewLog(&out, ci.LogOptions{System: ci.GitLab}).Annotate(list)
		if got := strings.Count(out.String(), "warning: "); got != count {
			t.Errorf("elsewhere %d of %d", got, count)
		}
	}
}

func TestEscapes(t *testing.T) {
	a := ci.Annotation{Level: ci.Error, File: "a,b:c%.Dockerfile", Line: 2, Title: "x; y]", Message: "100%\nit's [done] | 50%0A"}
	for system, want := range map[ci.System]string{
		ci.GitHub:   "::error file=a%2Cb%3Ac%25.Dockerfile,line=2,title=x; y]::100%25%0Ait's [done] | 50%250A\n",
		ci.Azure:    "##vso[task.logissue type=error;sourcepath=a,b:c%AZP25.Dockerfile;linenumber=2;]x; y]: 100%AZP25%0Ait's [done] | 50%AZP250A\n",
		ci.TeamCity: "##teamcity[message text='a,b:c%.Dockerfile:2: error: x; y|]: 100%|nit|'s |[done|] || 50%0A' status='ERROR']\n",
		ci.Plain:    "a,b:c%.Dockerfile:2: error: x; y]: 100%\n  it's [done] | 50%0A\n",
	} {
		var out bytes.Buffer
		ci.NewLog(&out, ci.LogOptions{System: system}).Annotate([]ci.Annotation{a})
		if got := out.String(); got != want {
			t.Errorf("%s: %q, want %q", system, got, want)
		}
	}
}
