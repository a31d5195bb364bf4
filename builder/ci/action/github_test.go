package action_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/builder/ci/action"
)

func TestGitContext(t *testing.T) {
	for variables, want := range map[string]string{
		"": "",
		"GITHUB_REPOSITORY=o/r GITHUB_REF=refs/heads/main GITHUB_SHA=abc":                                      "https://github.com/o/r.git#abc",
		"GITHUB_REPOSITORY=o/r GITHUB_REF=refs/pull/7/merge GITHUB_SHA=abc":                                    "https://github.com/o/r.git#refs/pull/7/merge",
		"GITHUB_REPOSITORY=o/r GITHUB_REF=refs/tags/v1":                                                        "https://github.com/o/r.git#refs/tags/v1",
		"GITHUB_REPOSITORY=o/r GITHUB_SHA=abc GITHUB_REF=main GITHUB_SERVER_URL=https://git.example.com:8443/": "https://git.example.com:8443/o/r.git#abc",
	} {
		lookup := func(name string) (string, bool) {
			for variable := range strings.FieldsSeq(variables) {
				if key, value, _ := strings.Cut(variable, "="); key == name {
					return value, true
				}
			}
			return "", false
		}
		if got := action.GitContext(lookup); got != want {
			t.Errorf("%s: %q, want %q", variables, got, want)
		}
	}
}

const (
	byRun   = ",builder-id=https://github.com/octo/shop/actions/runs/42/attempts/2"
	private = `{"repository":{"private":true}}`
	public  = `{"repository":{"private":false}}`
)

func TestAttestations(t *testing.T) {
	for _, test := range []struct {
		name, event string
		inputs      []string
		want        []string
	}{
		{"public", public, nil, []string{"type=provenance,mode=max" + byRun}},
		{"private", private, nil, []string{"type=provenance,mode=min,inline-only=true" + byRun}},
		{"unknown", `{"schedule":"0 0 * * *"}`, nil, []string{"type=provenance,mode=min,inline-only=true" + byRun}},
		{"no event", ``, nil, []string{"type=provenance,mode=min,inline-only=true" + byRun}},
		{"loaded", public, []string{"load", "true"}, nil},
		{"for docker", public, []string{"outputs", "type=local,dest=x\ntype=docker,dest=y"}, nil},
		{"only asked", public, []string{"call", "check"}, nil},
		{"loaded and asked for", public, []string{"load", "true", "provenance", "true"}, []string{"type=provenance" + byRun}},
		{"off", public, []string{"provenance", "false"}, []string{"type=provenance,disabled=true"}},
		{"on", private, []string{"provenance", "true"}, []string{"type=provenance" + byRun}},
		{"a mode", private, []string{"provenance", "mode=max"}, []string{"type=provenance,mode=max" + byRun}},
		{"a builder", private, []string{"provenance", "mode=max,builder-id=https://me"}, []string{"type=provenance,mode=max,builder-id=https://me"}},
		{"sbom", private, []string{"provenance", "false", "sbom", "true"}, []string{"type=provenance,disabled=true", "type=sbom,disabled=false"}},
		{"sbom by", private, []string{"provenance", "false", "sbom", "generator=x"}, []string{"type=provenance,disabled=true", "type=sbom,generator=x"}},
		{"attests", public, []string{"attests", "type=provenance,mode=min\ntype=sbom"}, []string{"type=provenance,mode=min" + byRun, "type=sbom"}},
		{"attests and both", public, []string{"attests", "type=provenance,mode=min\ntype=sbom,generator=y", "provenance", "mode=max", "sbom", "false"}, []string{"type=provenance,mode=max" + byRun, "type=sbom,disabled=true"}},
		{"attests sbom", public, []string{"attests", "type=sbom"}, []string{"type=provenance,mode=max" + byRun, "type=sbom"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			environ := slices.DeleteFunc(runner(test.inputs...), func(variable string) bool {
				return variable == "INPUT_PROVENANCE=false" && test.name != "off" && !slices.Contains(test.inputs, "provenance")
			})
			in, err := action.Read(action.Options{Environ: append(environ, "INPUT_CONTEXT=."), Event: []byte(test.event)})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, arg := range in.Args {
				if arg == "--attest" {
					got = append(got, in.Args[i+1])
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
