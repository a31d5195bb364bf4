package ci_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/ci"
)

func results() ci.Results {
	return ci.Results{
		Digest: "sha256:aa", ImageID: "sha256:bb", Metadata: "{\n  \"image.name\": \"ghcr.io/example/app:1\"\n}\n", Names: []string{"ghcr.io/example/app:1"},
		Platforms: []ci.PlatformResult{{Platform: amd, Digest: "sha256:cc", Seconds: 1.5}, {Platform: "linux/arm/v7", Digest: "sha256:dd", Seconds: 9, Emulated: 3, Assisted: 2}, {Platform: ppc, Error: "exit code: 1"}},
	}
}

func outputs(t *testing.T, r ci.Results) []ci.Output {
	t.Helper()
	list, err := r.Outputs()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// readGitHub reads a file of commands as FileCommandManager.cs of the runner does.
func readGitHub(t *testing.T, text string) map[string]string {
	t.Helper()
	values := make(map[string]string)
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		name, delimiter, found := strings.Cut(lines[i], "<<")
		if !found || name == "" || delimiter == "" {
			t.Fatalf("line %d is %q", i, lines[i])
		}
		var value []string
		for i++; ; i++ {
			if i == len(lines) {
				t.Fatalf("%s has no end", name)
			}
			if lines[i] == delimiter {
				break
			}
			value = append(value, lines[i])
		}
		values[name] = strings.Join(value, "\n")
	}
	return values
}

func TestWriteGitHub(t *testing.T) {
	r := results()
	r.ImageID = "x\ndigest<<EOF\nevil\nEOF\nghadelimiter_\n"
	var out bytes.Buffer
	if err := ci.WriteGitHub(&out, "K7Q", outputs(t, r)); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"digest": "sha256:aa", "imageid": r.ImageID, "metadata": r.Metadata, "digest-linux-amd64": "sha256:cc", "digest-linux-arm-v7": "sha256:dd",
		"platforms": `[{"platform":"linux/amd64","digest":"sha256:cc","seconds":1.5,"emulated":0,"assisted":0,"cached":0},{"platform":"linux/arm/v7","digest":"sha256:dd","seconds":9,"emulated":3,"assisted":2,"cached":0},{"platform":"linux/ppc64le","seconds":0,"emulated":0,"assisted":0,"cached":0,"error":"exit code: 1"}]`,
	}
	if diff := cmp.Diff(want, readGitHub(t, out.String())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := ci.WriteGitHub(&out, "K7Q", []ci.Output{{Name: "x", Value: "a\nghadelimiter_K7Q\nb"}}); err == nil {
		t.Error("a value may hold the delimiter")
	}
}

func TestDotenv(t *testing.T) {
	var out bytes.Buffer
	left, err := ci.WriteDotenv(&out, outputs(t, results()))
	if err != nil || len(left) > 0 {
		t.Fatal(left, err)
	}
	want := `MABUILD_DIGEST=sha256:aa
MABUILD_IMAGEID=sha256:bb
MABUILD_METADATA={"image.name":"ghcr.io/example/app:1"}
MABUILD_PLATFORMS=[{"platform":"linux/amd64","digest":"sha256:cc","seconds":1.5,"emulated":0,"assisted":0,"cached":0},{"platform":"linux/arm/v7","digest":"sha256:dd","seconds":9,"emulated":3,"assisted":2,"cached":0},{"platform":"linux/ppc64le","seconds":0,"emulated":0,"assisted":0,"cached":0,"error":"exit code: 1"}]
MABUILD_DIGEST_LINUX_AMD64=sha256:cc
MABUILD_DIGEST_LINUX_ARM_V7=sha256:dd
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestLimits: what does not fit is told, and what fits is whole.
func TestLimits(t *testing.T) {
	r := results()
	r.Metadata = `{"x":"` + strings.Repeat("m", 6000) + `"}`
	for i := range 30 {
		r.Platforms = append(r.Platforms, ci.PlatformResult{Platform: fmt.Sprint("linux/p", i), Digest: "sha256:" + strings.Repeat("e", 64)})
	}
	var out bytes.Buffer
	left, err := ci.WriteDotenv(&out, outputs(t, r))
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out.String(), "\n"); out.Len() > ci.MaxDotenv || lines > ci.MaxDotenvVariables || lines+len(left) != 36 {
		t.Errorf("%d variables of %d bytes, without %d", lines, out.Len(), len(left))
	}
	if left[0] != "MABUILD_METADATA" || !strings.HasPrefix(out.String(), "MABUILD_DIGEST=sha256:aa\n") {
		t.Errorf("left out %q; is there:\n%s", left, out.String())
	}

	files, left, err := r.Tekton()
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		Key   string `json:"key"`
		Value string `json:"value"`
		Type  int    `json:"type"`
	}
	var message []result
	for _, f := range files {
		message = append(message, result{f.Name, f.Value, 1})
	}
	body, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	if len(body) > ci.MaxTekton+2 || files[0] != (ci.Output{Name: "IMAGE_URL", Value: "ghcr.io/example/app:1"}) || files[1].Name != "IMAGE_DIGEST" || left[0] != "metadata" {
		t.Errorf("%d bytes, without %q: %v", len(body), left, files)
	}
}

func TestBuildkite(t *testing.T) {
	got := ci.BuildkiteMetaData([]ci.Output{{"digest", "sha256:aa"}, {"imageid", ""}, {"metadata", "{\n}"}})
	want := [][]string{{"buildkite-agent", "meta-data", "set", "mabuild:digest", "sha256:aa"}, {"buildkite-agent", "meta-data", "set", "mabuild:metadata", "{}"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDescribe(t *testing.T) {
	for system, want := range map[ci.System]string{
		ci.Azure:    "##vso[task.setvariable variable=mabuild.digest;isOutput=true;]sha256:aa\n",
		ci.TeamCity: "##teamcity[setParameter name='mabuild.digest' value='sha256:aa']\n",
		ci.GitHub:   "",
	} {
		var out bytes.Buffer
		ci.NewLog(&out, ci.LogOptions{System: system}).Describe([]ci.Output{{"digest", "sha256:aa"}, {"imageid", ""}})
		if out.String() != want {
			t.Errorf("%s: %q, want %q", system, out.String(), want)
		}
	}
}
