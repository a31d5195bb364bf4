package show_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/history"
	"github.com/mabuild/mabuild/planner/pin"
	"github.com/mabuild/mabuild/planner/show"
)

func compile(t *testing.T, file string) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func validate(t *testing.T, schema *jsonschema.Schema, text []byte) map[string]any {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
	document, _ := value.(map[string]any)
	return document
}

// plans are all that there is to show.
func plans(t *testing.T) map[string]func() (*exact.Result, show.Options) {
	t.Helper()
	all := make(map[string]func() (*exact.Result, show.Options))
	for name, result := range archived(t) {
		all["exact/"+name] = func() (*exact.Result, show.Options) { return result, show.Options{File: "Dockerfile"} }
	}
	for name, in := range inputs() {
		all[name] = func() (*exact.Result, show.Options) { return planned(t, in) }
	}
	return all
}

// TestSchema holds that docs/plan.schema.json describes what JSON writes, all of it
// and nothing else.
func TestSchema(t *testing.T) {
	t.Parallel()
	schema := compile(t, filepath.FromSlash("../../docs/plan.schema.json"))
	seen := make(map[string]bool)
	for name, plan := range plans(t) {
		result, options := plan()
		var got bytes.Buffer
		if err := show.JSON(&got, result, options); err != nil {
			t.Fatal(err)
		}
		document := validate(t, schema, got.Bytes())
		if len(document["steps"].([]any)) != len(result.Steps) {
			t.Errorf("%s: steps are missing", name)
		}
		collect(seen, "", document)
	}
	for _, field := range []string{
		".dockerfile.syntax", ".steps.also.line", ".steps.mounts.sharing", ".steps.endLine", ".steps.forecast.from", ".steps.impossible",
		".steps.assist.recipe", ".steps.assist.reason", ".steps.assist.note", ".steps.programs.tools", ".stages.pin.reasons.rule",
		".bases.error", ".bases.match", ".diagnostics.url", ".diagnostics.offered", ".diagnostics.runs", ".stages.states", ".forecast.dominant.share",
	} {
		if !seen[field] {
			t.Errorf("no plan has %s", field)
		}
	}
	schemaFields(t, seen)
}

// collect notes the names of all fields.
func collect(seen map[string]bool, path string, value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, field := range value {
			seen[path+"."+name] = true
			collect(seen, path+"."+name, field)
		}
	case []any:
		for _, item := range value {
			collect(seen, path, item)
		}
	}
}

// schemaFields holds that the plans of this test have every field of a step and of a
// diagnostic, so that the schema is tried out.
func schemaFields(t *testing.T, seen map[string]bool) {
	t.Helper()
	var schema struct {
		Defs map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"$defs"`
	}
	readJSON(t, filepath.FromSlash("../../docs/plan.schema.json"), &schema)
	for def, path := range map[string]string{
		"step": ".steps.", "diagnostic": ".diagnostics.", "stage": ".stages.", "base": ".bases.",
		"assist": ".steps.assist.", "program": ".steps.programs.", "pin": ".stages.pin.", "pinReason": ".stages.pin.reasons.",
	} {
		if len(schema.Defs[def].Properties) == 0 {
			t.Errorf("the schema has no %s", def)
		}
		for name := range schema.Defs[def].Properties {
			if !seen[path+name] {
				t.Errorf("no plan has %s%s", path, name)
			}
		}
	}
}

// TestFields holds that what package exact says gets into the JSON form, so that a
// new field is not forgotten.
func TestFields(t *testing.T) {
	t.Parallel()
	var schema struct {
		Defs map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"$defs"`
	}
	readJSON(t, filepath.FromSlash("../../docs/plan.schema.json"), &schema)
	renamed := map[string]string{
		"exact.Stage.ExecPlatform": "execOn", "exact.Stage.Edges": "needs", "exact.UsedBase.Err": "error",
		"exact.Step.Args": "command", "exact.Step.Env": "command", // may hold secrets
		"exact.Step.SecretEnv": "mounts", // names of variables that mounts set
		"history.Program.Time": "ms",
	}
	// Those of the stage or the step that it is in.
	outer := []string{
		"pin.Stage.Name", "pin.Stage.Line", "assist.Step.ID", "assist.Step.Stage", "assist.Step.Line", "assist.Step.EndLine",
		"assist.Step.Command", "assist.Step.Platforms", "assist.Step.ExecPlatform",
	}
	for def, value := range map[string]any{
		"stage": exact.Stage{}, "step": exact.Step{}, "need": exact.Edge{}, "place": exact.Place{}, "mount": exact.Mount{},
		"base": exact.UsedBase{}, "diagnostic": exact.Finding{},
		"assist": assist.Step{}, "program": history.Program{}, "pin": pin.Stage{}, "pinReason": pin.Reason{},
	} {
		kind := reflect.TypeOf(value)
		for _, field := range reflect.VisibleFields(kind) {
			if field.Anonymous || slices.Contains(outer, kind.String()+"."+field.Name) {
				continue
			}
			name := renamed[kind.String()+"."+field.Name]
			if name == "" {
				name = strings.ToLower(field.Name[:1]) + field.Name[1:]
			}
			if name == "uRL" || name == "iD" {
				name = strings.ToLower(name)
			}
			if schema.Defs[def].Properties[name] == nil {
				t.Errorf("the schema's %s has no %s for %s.%s", def, name, kind.Name(), field.Name)
			}
		}
	}
}

// TestSchemaRefuses holds that the schema is no empty promise.
func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	schema := compile(t, filepath.FromSlash("../../docs/plan.schema.json"))
	result, options := planned(t, inputs()["good"])
	var text bytes.Buffer
	if err := show.JSON(&text, result, options); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(map[string]any){
		"unknown field":      func(d map[string]any) { d["new"] = 1 },
		"unknown step field": func(d map[string]any) { d["steps"].([]any)[0].(map[string]any)["new"] = 1 },
		"missing platforms":  func(d map[string]any) { delete(d, "platforms") },
		"other version":      func(d map[string]any) { d["version"] = 2 },
		"unknown state": func(d map[string]any) {
			d["stages"].([]any)[0].(map[string]any)["states"] = map[string]any{"linux/amd64": "slow"}
		},
		"unknown pin state": func(d map[string]any) {
			d["stages"].([]any)[0].(map[string]any)["pin"] = map[string]any{"state": "maybe", "reasons": []any{}}
		},
		"assisted and not": func(d map[string]any) {
			d["steps"].([]any)[0].(map[string]any)["assist"] = map[string]any{"recipe": "go", "reason": "none"}
		},
		"program without a name": func(d map[string]any) {
			d["steps"].([]any)[0].(map[string]any)["programs"] = []any{map[string]any{"ms": 1, "share": 1}}
		},
		"no digest": func(d map[string]any) { d["steps"].([]any)[0].(map[string]any)["id"] = "abc" },
	} {
		var document map[string]any
		if err := json.Unmarshal(text.Bytes(), &document); err != nil {
			t.Fatal(err)
		}
		change(document)
		if schema.Validate(document) == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

var rules = []show.Rule{
	{Name: exact.RuleBasePlatform, Level: exact.LevelError, Summary: "A base image lacks a platform that is built.", URL: "https://example.com/lints/base-platform"},
	{Name: exact.RuleArgEarly, Level: exact.LevelNote, Summary: "An ARG for the platform is declared before commands that do not use it.", URL: "https://example.com/lints/arg-early"},
}

// TestSARIF holds that what code scanning gets follows the standard's own schema.
func TestSARIF(t *testing.T) {
	t.Parallel()
	schema := compile(t, filepath.FromSlash("testdata/sarif-schema-2.1.0.json"))
	results := 0
	for _, plan := range plans(t) {
		result, options := plan()
		options.Version, options.Rules = "1.2.3", rules
		var got bytes.Buffer
		if err := show.SARIF(&got, result, options); err != nil {
			t.Fatal(err)
		}
		document := validate(t, schema, got.Bytes())
		run := document["runs"].([]any)[0].(map[string]any)
		list := run["results"].([]any)
		results += len(list)
		known := run["tool"].(map[string]any)["driver"].(map[string]any)["rules"].([]any)
		for i, r := range list {
			r := r.(map[string]any)
			index, err := r["ruleIndex"].(json.Number).Int64()
			if err != nil || known[index].(map[string]any)["id"] != r["ruleId"] || r["ruleId"] != result.Findings[i].Rule {
				t.Errorf("bad result %v", r)
			}
		}
	}
	if results < 8 {
		t.Errorf("only %d results", results)
	}
}

func TestSARIFGolden(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"diamond", "unhealthy"} {
		result, options := planned(t, inputs()[name])
		options.Version, options.Rules = "1.2.3", rules
		var got bytes.Buffer
		if err := show.SARIF(&got, result, options); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".sarif", got.Bytes())
	}
}

// TestSARIFPlaces says how paths and lines are written.
func TestSARIFPlaces(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for file, want := range map[string]string{
		"Dockerfile":                                 "Dockerfile %SRCROOT% 0",
		"./a/../docker/My Dockerfile#1":              "docker/My%20Dockerfile%231 %SRCROOT% 0",
		filepath.Join(root, "sub", "Dockerfile"):     "sub/Dockerfile %SRCROOT% 0",
		filepath.Join(filepath.Dir(root), "Outside"): "file://" + filepath.ToSlash(filepath.Join(filepath.Dir(root), "Outside")) + " <nil> 0",
		filepath.FromSlash("service:one/Dockerfile"): "./service:one/Dockerfile %SRCROOT% 0",
	} {
		options := show.Options{File: file}
		if filepath.IsAbs(file) {
			options.Root = root
		}
		var got bytes.Buffer
		if err := show.SARIF(&got, &exact.Result{Findings: []exact.Finding{{Rule: "r", Level: exact.LevelError, File: file, Message: "m"}}}, options); err != nil {
			t.Fatal(err)
		}
		var log struct {
			Runs []struct {
				Results []struct {
					Locations []struct {
						PhysicalLocation struct {
							ArtifactLocation map[string]any
							Region           *struct{ StartLine int }
						}
					}
				}
			}
		}
		if err := json.Unmarshal(got.Bytes(), &log); err != nil {
			t.Fatal(err)
		}
		at := log.Runs[0].Results[0].Locations[0].PhysicalLocation
		base, _ := at.ArtifactLocation["uriBaseId"].(string)
		if base == "" {
			base = "<nil>"
		}
		if diff := cmp.Diff(strings.TrimSuffix(want, " 0"), at.ArtifactLocation["uri"].(string)+" "+base); diff != "" || at.Region != nil {
			t.Errorf("%s: %s region %v", file, diff, at.Region)
		}
	}
}

// TestFingerprints holds that a finding is the same one after lines are added
// above it, and that two of them are not the same.
func TestFingerprints(t *testing.T) {
	t.Parallel()
	prints := func(above string) []string {
		result := plan(t, above+earlyArg+"FROM alpine:3.22\nFROM alpine:3.22\n", "linux/amd64,linux/arm64", "single alpine:3.22 linux/amd64\n"+everywhere)
		var got bytes.Buffer
		if err := show.SARIF(&got, result, show.Options{}); err != nil {
			t.Fatal(err)
		}
		var list []string
		for line := range strings.Lines(got.String()) {
			if strings.Contains(line, "primaryLocationLineHash") {
				list = append(list, strings.TrimSpace(line))
			}
		}
		return list
	}
	first, moved := prints(""), prints("# one\n# two\n")
	if diff := cmp.Diff(first, moved); diff != "" || len(first) < 1 {
		t.Errorf("fingerprints change: %s", diff)
	}
	seen := make(map[string]bool)
	for _, p := range first {
		if seen[p] {
			t.Errorf("%s is there twice", p)
		}
		seen[p] = true
	}
}
