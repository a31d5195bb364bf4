package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/mabuild/mabuild/builder/ci/action"
)

// TestActionInputs holds that action.yml declares what is read, and nothing else.
func TestActionInputs(t *testing.T) {
	text, err := os.ReadFile("../../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	var declared struct {
		Inputs map[string]struct{ Description string }
		Runs   struct{ Using, Main, Post string }
	}
	if err := yaml.Unmarshal(text, &declared); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name, input := range declared.Inputs {
		if names = append(names, name); input.Description == "" {
			t.Errorf("input %s has no description", name)
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff(slices.Sorted(slices.Values(action.Names())), names); diff != "" {
		t.Errorf("action.yml is not what is read (-read +declared):\n%s", diff)
	}
	for _, script := range []string{declared.Runs.Main, declared.Runs.Post} {
		if _, err := os.Stat("../../" + script); err != nil {
			t.Error(err)
		}
	}
}

// TestActionFlags holds that every input becomes a flag that there is.
func TestActionFlags(t *testing.T) {
	cmd := newBuildCommand()
	for _, flag := range action.Flags() {
		if cmd.Flags().Lookup(strings.TrimLeft(flag, "-")) == nil {
			t.Errorf("there is no flag %s", flag)
		}
	}
}

// TestMatrixExample holds what the documentation says of its length.
func TestMatrixExample(t *testing.T) {
	text, err := os.ReadFile("../../docs/ci/github-matrix.yml")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines > 20 {
		t.Errorf("the matrix has %d lines, more than 20", lines)
	}
	page, err := os.ReadFile("../../docs/ci/github.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```yaml\n"+string(text)+"```\n") {
		t.Error("docs/ci/github.md shows another matrix than docs/ci/github-matrix.yml")
	}
}

// commandLine matches a build in a file of another language, which may quote it.
var commandLine = regexp.MustCompile(`mabuild (--platform [^\n]*)`)

// TestExamplesCommands holds that the command lines of the examples are mabuild's.
func TestExamplesCommands(t *testing.T) {
	for name, want := range map[string]int{
		"gitlab-ci.yml": 1, "buildkite.yml": 1, "azure-pipelines.yml": 1, "teamcity.kts": 1, "Jenkinsfile": 1, "tekton.yaml": 1,
	} {
		text, err := os.ReadFile("../../docs/ci/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, match := range commandLine.FindAllStringSubmatch(strings.ReplaceAll(string(text), "\\\n", " "), -1) {
			line, _, _ := strings.Cut(match[1], "'''")
			lines = append(lines, strings.ReplaceAll(line, `"`, ""))
		}
		if name == "tekton.yaml" {
			_, args, _ := strings.Cut(string(text), "args: [")
			args, _, _ = strings.Cut(args, "]")
			lines = append(lines, strings.ReplaceAll(args, ",", " "))
		}
		if len(lines) != want {
			t.Errorf("%s has the command lines %q, want %d", name, lines, want)
		}
		for _, line := range lines {
			cmd := newBuildCommand()
			args := strings.Fields(strings.TrimSuffix(line, "2>&1"))
			if err := cmd.ParseFlags(args); err != nil || !slices.Equal(cmd.Flags().Args(), []string{"."}) {
				t.Errorf("%s: %s: %v, and %q is left", name, line, err, cmd.Flags().Args())
			}
		}
	}
}

// TestExamplesOfCI reads the other files as YAML.
func TestExamplesOfCI(t *testing.T) {
	for _, name := range []string{"github.yml", "github-matrix.yml", "gitlab-ci.yml", "buildkite.yml", "azure-pipelines.yml", "tekton.yaml"} {
		text, err := os.ReadFile("../../docs/ci/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var any map[string]any
		if err := yaml.Unmarshal(text, &any); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
