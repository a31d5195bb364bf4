package ci_test

import (
	"strings"
	"testing"

	"github.com/mabuild/mabuild/builder/ci"
)

func environment(variables string) ci.Lookup {
	return func(name string) (string, bool) {
		for variable := range strings.SplitSeq(variables, " ") {
			if key, value, _ := strings.Cut(variable, "="); key == name {
				return value, true
			}
		}
		return "", false
	}
}

func TestDetect(t *testing.T) {
	for variables, want := range map[string]ci.System{
		"":                                  ci.Plain,
		"CI=true":                           ci.Plain,
		"CI=true GITHUB_ACTIONS=true":       ci.GitHub,
		"GITHUB_ACTIONS=false":              ci.Plain,
		"GITHUB_ACTIONS=":                   ci.Plain,
		"GITLAB_CI=true":                    ci.GitLab,
		"BUILDKITE=true":                    ci.Buildkite,
		"TEAMCITY_VERSION=2025.11":          ci.TeamCity,
		"TF_BUILD=True":                     ci.Azure,
		"MABUILD_CI=tekton":                 ci.Tekton,
		"MABUILD_CI=Plain TF_BUILD=True":    ci.Plain,
		"MABUILD_CI= GITLAB_CI=true":        ci.GitLab,
		"GITHUB_ACTIONS=yes BUILDKITE=true": ci.Buildkite,
	} {
		if got, err := ci.Detect(environment(variables)); got != want || err != nil {
			t.Errorf("%q is %s (%v), want %s", variables, got, err, want)
		}
	}
	if got, err := ci.Detect(environment("MABUILD_CI=jenkins")); err == nil || got != ci.Plain || !strings.Contains(err.Error(), "use one of [plain github") {
		t.Errorf("a system that is unknown: %s, %v", got, err)
	}
}
