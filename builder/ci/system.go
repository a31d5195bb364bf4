package ci

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// System is a CI system. It decides how something is written, never what is built.
type System string

// The systems.
const (
	Plain     System = "plain" // none of the others, or none at all
	GitHub    System = "github"
	GitLab    System = "gitlab"
	Buildkite System = "buildkite"
	TeamCity  System = "teamcity"
	Azure     System = "azure"
	Tekton    System = "tekton"
)

// Annotates reports whether annotations have a place of their own, beside the log.
func (s System) Annotates() bool { return s == GitHub || s == Azure || s == TeamCity }

// Lookup finds a variable of the environment, as os.LookupEnv does.
type Lookup func(name string) (value string, found bool)

// value is empty for what is not set.
func (l Lookup) value(name string) string {
	value, _ := l(name)
	return value
}

// SystemVariable names the system where it cannot be found out, or is another one:
// Tekton sets no variable of its own.
const SystemVariable = "MABUILD_CI"

// Detect finds the system by the variables that its runners set.
func Detect(lookup Lookup) (System, error) {
	if name := lookup.value(SystemVariable); name != "" {
		systems := []System{Plain, GitHub, GitLab, Buildkite, TeamCity, Azure, Tekton}
		if system := System(strings.ToLower(name)); slices.Contains(systems, system) {
			return system, nil
		}
		return Plain, fmt.Errorf("%s=%s is no CI system; use one of %v", SystemVariable, name, systems)
	}
	switch {
	case lookup.on("GITHUB_ACTIONS"): // Gitea's, Forgejo's and act's runners set it as well
		return GitHub, nil
	case lookup.on("GITLAB_CI"):
		return GitLab, nil
	case lookup.on("BUILDKITE"):
		return Buildkite, nil
	case lookup.value("TEAMCITY_VERSION") != "":
		return TeamCity, nil
	case lookup.on("TF_BUILD"): // True, with a capital
		return Azure, nil
	}
	return Plain, nil
}

func (l Lookup) on(name string) bool {
	on, err := strconv.ParseBool(l.value(name))
	return err == nil && on
}
