package lint_test

import (
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// TestGitLabExample holds that GitLab would read the example, by GitLab's own schema. What
// is wrong with the others was found by it, or shows that it looks.
func TestGitLabExample(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("testdata/gitlab-ci.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../docs/ci/gitlab-ci.yml")
	if err != nil {
		t.Fatal(err)
	}
	example := string(text)
	if err := validate(schema, example); err != nil {
		t.Error(err)
	}
	for name, wrong := range map[string]string{
		"a job with the name of a keyword": strings.Replace(example, "build-image:", "image:", 1),
		"an unknown key":                   strings.Replace(example, "script:", "scripts:", 1),
		"a report that is none":            strings.Replace(example, "dotenv: build.env", "dotenv: { file: build.env }", 1),
	} {
		t.Run(name, func(t *testing.T) {
			if wrong == example {
				t.Fatal("the example has no such thing any more")
			}
			if err := validate(schema, wrong); err == nil {
				t.Errorf("it is not refused:\n%s", wrong)
			}
		})
	}
}

func validate(schema *jsonschema.Schema, text string) error {
	var document any
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return err
	}
	return schema.Validate(document)
}
