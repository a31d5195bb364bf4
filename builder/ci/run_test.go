package ci_test

import (
	"testing"

	"github.com/mabuild/mabuild/builder/ci"
)

func TestRun(t *testing.T) {
	for name, c := range map[string]struct {
		env         map[string]string
		run, commit string
	}{
		"github":         {map[string]string{"GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "2", "GITHUB_SHA": "ab"}, "7", "ab"},
		"gitlab":         {map[string]string{"CI_PIPELINE_ID": "8", "CI_JOB_ID": "9", "CI_COMMIT_SHA": "cd"}, "8", "cd"},
		"jenkins":        {map[string]string{"BUILD_TAG": "jenkins-app-3", "BUILD_NUMBER": "3", "GIT_COMMIT": "ef"}, "jenkins-app-3", "ef"},
		"no system":      {map[string]string{"HOME": "/"}, "", ""},
		"set, but empty": {map[string]string{"GITHUB_RUN_ID": "", "CI_PIPELINE_ID": "1"}, "1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			lookup := func(name string) (string, bool) { value, ok := c.env[name]; return value, ok }
			if run, commit := ci.RunID(lookup), ci.Commit(lookup); run != c.run || commit != c.commit {
				t.Errorf("run %q, commit %q", run, commit)
			}
		})
	}
}
