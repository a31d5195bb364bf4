package ci

// RunID is what all jobs of one build have in common and no other build has, empty
// where the system has no such thing. A job that runs again has the same.
func RunID(lookup Lookup) string {
	return first(lookup, "GITHUB_RUN_ID", "CI_PIPELINE_ID", "BUILDKITE_BUILD_ID", "BUILD_BUILDID", "BUILD_TAG")
}

// Commit is what is built, empty if the system does not say.
func Commit(lookup Lookup) string {
	return first(lookup, "GITHUB_SHA", "CI_COMMIT_SHA", "BUILDKITE_COMMIT", "BUILD_VCS_NUMBER", "BUILD_SOURCEVERSION", "GIT_COMMIT")
}

// first is the first of some variables that is set. They are those of GitHub, GitLab,
// Buildkite, TeamCity, Azure Pipelines and Jenkins.
func first(lookup Lookup, names ...string) string {
	for _, name := range names {
		if value := lookup.value(name); value != "" {
			return value
		}
	}
	return ""
}
