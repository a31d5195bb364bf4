package show_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/show"
)

// pictured are the inputs with golden pictures, which somebody has looked at.
var pictured = []string{"one", "forecast", "diamond", "selecting", "narrow", "assisted"}

func TestSVGGolden(t *testing.T) {
	t.Parallel()
	for _, name := range pictured {
		result, options := planned(t, inputs()[name])
		golden(t, name+".svg", svg(t, result, options))
	}
}

func TestDOTGolden(t *testing.T) {
	t.Parallel()
	for _, name := range pictured {
		result, options := planned(t, inputs()[name])
		var got bytes.Buffer
		if err := show.DOT(&got, result, options); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".dot", got.Bytes())
	}
}

func svg(t testing.TB, result *exact.Result, options show.Options) []byte {
	t.Helper()
	var got bytes.Buffer
	if err := show.SVG(&got, result, options); err != nil {
		t.Fatal(err)
	}
	return got.Bytes()
}

// TestSVG holds that all plans give well-formed pictures that fetch nothing and are
// the same each time.
func TestSVG(t *testing.T) {
	t.Parallel()
	for name, plan := range plans(t) {
		result, options := plan()
		got := svg(t, result, options)
		wellFormed(t, got)
		if !bytes.Equal(got, svg(t, result, options)) {
			t.Errorf("%s: two pictures differ", name)
		}
		without := bytes.ReplaceAll(got, []byte(`xmlns="http://www.w3.org/2000/svg"`), nil)
		if regexp.MustCompile(`(href|src)=|url\([^#]|@import|<script`).Match(without) {
			t.Errorf("%s: the picture needs something else", name)
		}
		for _, s := range result.Stages {
			if len(s.ExecPlatform) > 0 && !bytes.Contains(got, []byte("stage "+s.Name+", line")) {
				t.Errorf("%s: stage %s is missing", name, s.Name)
			}
		}
	}
}

func wellFormed(t *testing.T, text []byte) {
	t.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(text))
	for {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
	}
}

// TestDOT gives all graphs to Graphviz, where it is installed.
func TestDOT(t *testing.T) {
	t.Parallel()
	dot, err := exec.LookPath("dot")
	if err != nil {
		t.Skip("dot is not on PATH; install graphviz")
	}
	all := plans(t)
	all["hostile"] = func() (*exact.Result, show.Options) { return hostile(), show.Options{File: "a\"b\\"} }
	for name, plan := range all {
		result, options := plan()
		var text, errs bytes.Buffer
		if err := show.DOT(&text, result, options); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), dot, "-Tplain")
		cmd.Stdin, cmd.Stderr = &text, &errs
		out, err := cmd.Output()
		if err != nil || errs.Len() > 0 {
			t.Errorf("%s: dot: %v: %s", name, err, errs.Bytes())
		}
		nodes := strings.Count("\n"+string(out), "\nnode ")
		if reached := reachedStages(result); nodes < reached {
			t.Errorf("%s: %d nodes for %d stages", name, nodes, reached)
		}
	}
}

func reachedStages(result *exact.Result) int {
	n := 0
	for _, s := range result.Stages {
		if len(s.ExecPlatform) > 0 {
			n++
		}
	}
	return n
}

// hostile is a plan whose names are what no file has, with an edge that leads
// forward and one that leads nowhere.
func hostile() *exact.Result {
	on := map[string]string{"linux/amd64": "linux/amd64"}
	names := []string{`<b>&"x"]]>`, "a\x00\x1b[31m\\", "名前名前", "\xff\xfe", ""}
	result := &exact.Result{Platforms: []string{"linux/amd64"}, BuildPlatform: "linux/amd64", Target: `--><svg onload="x">`}
	for i, name := range names {
		result.Stages = append(result.Stages, exact.Stage{
			Name: name, Line: i + 1, Base: name, ExecPlatform: on,
			Edges: []exact.Edge{
				{Kind: exact.EdgeFrom, Image: name + ":1", Line: i + 1, Platforms: result.Platforms},
				{Kind: exact.EdgeCopy, Stage: names[(i+1)%len(names)], Line: i + 1, Platforms: result.Platforms},
				{Kind: exact.EdgeCopy, Stage: "nowhere", Line: i + 1, Platforms: result.Platforms},
			},
		})
		result.Findings = append(result.Findings, exact.Finding{Rule: name, Level: exact.LevelError, Line: i + 1, Message: name, Fix: name})
	}
	return result
}

// TestHostile holds that no name breaks out of its place.
func TestHostile(t *testing.T) {
	t.Parallel()
	got := svg(t, hostile(), show.Options{File: "<script>"})
	wellFormed(t, got)
	if bytes.Contains(got, []byte("<script")) || bytes.Contains(got, []byte("<b>")) || bytes.Contains(got, []byte("<svg onload")) {
		t.Errorf("a name became markup:\n%s", got)
	}
	var text bytes.Buffer
	if err := show.Text(&text, hostile(), show.Options{File: "a\x1b[2Jb"}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(text.String(), "\x1b\x00") {
		t.Errorf("a name moves the cursor: %q", text.String())
	}
}
