package summary_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/ci"
	"github.com/mabuild/mabuild/builder/ci/summary"
	"github.com/mabuild/mabuild/builder/report"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run go test -update", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; go test -update if that is right):\n%s", name, diff)
	}
}

func write(t testing.TB, b *report.Build, opts summary.Options) string {
	t.Helper()
	var out bytes.Buffer
	if err := summary.Write(&out, b, opts); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

var start = time.Date(2026, time.March, 4, 5, 6, 7, 0, time.UTC)

func interval(from, to float64) []report.Interval {
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	return []report.Interval{{Started: at(from), Completed: at(to)}}
}

// service is a build for two platforms, of which the second is emulated and, if it is
// to, fails.
func service(fails bool) *report.Build {
	digest := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	b := &report.Build{
		ID: "ID", File: "Dockerfile", Started: start, Completed: start.Add(95 * time.Second), Names: []string{"ghcr.io/example/shop:1.8.2", "ghcr.io/example/shop:latest"}, Digest: digest,
		Platforms: []report.Platform{
			{Name: "linux/amd64", Digest: digest, Started: start, Completed: start.Add(21 * time.Second), Layers: []report.Layer{{Size: 3_600_000}, {Size: 27_500_000}}},
			{Name: "linux/arm64", Digest: digest, Started: start, Completed: start.Add(95 * time.Second), Layers: []report.Layer{{Size: 3_700_000}, {Size: 26_100_000}}},
		},
		Steps: []report.Step{
			{ID: "0", Name: "[internal] load build definition", Kind: "internal", Platforms: []string{"linux/amd64", "linux/arm64"}, Intervals: interval(0, 0.1)},
			{ID: "1", Name: "[internal] load build context", Kind: "local", Platforms: []string{"linux/amd64", "linux/arm64"}, Intervals: interval(0.2, 1.4)},
			{ID: "2", Name: "FROM docker.io/library/golang:1.26", Kind: "image", Line: 1, Platforms: []string{"linux/amd64"}, Cached: true, Intervals: interval(0.2, 0.2)},
			{ID: "3", Name: "FROM docker.io/library/golang:1.26", Kind: "image", Line: 1, Platforms: []string{"linux/arm64"}, Intervals: interval(0.2, 6)},
			{ID: "4", Name: "RUN go build ./...", Kind: "exec", Line: 6, Platforms: []string{"linux/amd64"}, State: report.Native, Intervals: interval(1.5, 19)},
			{ID: "5", Name: "RUN go build ./...", Kind: "exec", Line: 6, Platforms: []string{"linux/arm64"}, State: report.Assisted, Intervals: interval(6.5, 28.25)},
			{ID: "6", Name: "RUN apk add --no-cache ca-certificates", Kind: "exec", Line: 9, Platforms: []string{"linux/arm64"}, State: report.Emulated, Intervals: interval(30, 93), Log: []string{"(1/2) Installing ca-certificates", "\x1b[31mOK\x1b[0m"}},
		},
		Findings: []report.Finding{
			{Rule: "cache-shared", Level: "warning", Line: 6, Platforms: []string{"linux/amd64", "linux/arm64"}, Message: "the cache mount is shared by platforms", Fix: "add id=$TARGETPLATFORM", URL: "https://example.com/lints/cache-shared.md"},
			{Rule: "arg-early", Level: "note", Line: 2, Message: "an | in text, and <b>HTML</b>"},
		},
	}
	if fails {
		b.Digest, b.Error = "", "building linux/arm64: Dockerfile:9: exit code: 99\nRun it again with --retry-emulated 2."
		b.Platforms[1].Error, b.Platforms[1].Digest, b.Platforms[1].Layers = "exit code: 99", "", nil
		b.Steps[6].Error, b.Steps[6].LogOmitted = "exit code: 99", 212
		b.Steps[6].Log = append(b.Steps[6].Log, "```", "ERROR: unable to select packages", "````", "# not a heading")
	}
	return b
}

func TestGolden(t *testing.T) {
	for name, b := range map[string]*report.Build{"service": service(false), "failed": service(true), "empty": {}} {
		t.Run(name, func(t *testing.T) { golden(t, name+".md", []byte(write(t, b, summary.Options{}))) })
	}
}

// TestInterrupted has a platform whose step failed before the build was interrupted.
func TestInterrupted(t *testing.T) {
	b := service(true)
	b.Error, b.Platforms[1].Error = "interrupted", ""
	text := write(t, b, summary.Options{})
	for _, want := range []string{"## ❌ linux/arm64 failed", "| ✅ linux/amd64 |", "| ❌ linux/arm64 |"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
}

// TestStopped has a build that somebody stopped, in which nothing failed.
func TestStopped(t *testing.T) {
	b := service(false)
	b.Error, b.Digest, b.Platforms[1].Digest = "interrupted", "", ""
	if text := write(t, b, summary.Options{}); !strings.HasPrefix(text, "## ⏹️ The build was interrupted after 1m 35s\n") {
		t.Errorf("the heading is another one:\n%s", text)
	}
}

// TestMissingBase has a base that two platforms look for in vain: it is told once.
func TestMissingBase(t *testing.T) {
	b := &report.Build{Started: start, Completed: start.Add(time.Second), Error: "not found", Platforms: []report.Platform{{Name: "linux/amd64"}, {Name: "linux/arm64"}}}
	for _, p := range b.Platforms {
		b.Steps = append(b.Steps, report.Step{ID: p.Name, Name: "[internal] load metadata for none", Kind: "internal", Platforms: []string{p.Name}, Error: "none: not found"})
	}
	text := write(t, b, summary.Options{})
	if got := strings.Count(text, "load metadata for none"); got != 1 {
		t.Errorf("the step is told %d times:\n%s", got, text)
	}
	if !strings.Contains(text, "on linux/amd64, linux/arm64: none") {
		t.Errorf("the platforms are not told:\n%s", text)
	}
	if b.Steps[0].Platforms = b.Steps[0].Platforms[:1]; len(b.Steps) != 2 {
		t.Error("the build was changed")
	}
}

// TestFindings has a finding that each platform makes: the table has it once.
func TestFindings(t *testing.T) {
	b := service(false)
	b.Findings = nil
	for _, platform := range []string{"linux/amd64", "linux/arm64", "linux/arm64"} {
		b.Findings = append(b.Findings, report.Finding{Rule: "secret-missing", Level: "warning", Line: 6, Platforms: []string{platform}, Message: "not given"})
	}
	if text := write(t, b, summary.Options{}); strings.Count(text, "secret-missing") != 1 || !strings.Contains(text, "| linux/amd64, linux/arm64 | not given |") {
		t.Errorf("not one row of two platforms:\n%s", text)
	}
}

// TestExports has a platform with two exports, which run in turns: one bar holds them.
func TestExports(t *testing.T) {
	b := service(false)
	for i, name := range []string{"exporting to image", "exporting to oci image format", "exporting to image"} {
		b.Steps = append(b.Steps, report.Step{ID: fmt.Sprint("x", i), Name: name, Kind: "internal", Platforms: []string{"linux/amd64"}, Intervals: interval(20+float64(i)*10, 30+float64(i)*10)})
	}
	text := write(t, b, summary.Options{})
	_, timeline, _ := strings.Cut(text, "```mermaid")
	if want := "step exporting to image, oci image format :2000-01-01 00:00:20.000, 30000ms\n"; !strings.Contains(timeline, want) || strings.Count(timeline, "exporting") != 1 {
		t.Errorf("not one bar %q:\n%s", want, timeline)
	}
}

// nasty are texts that want to be more than text.
var nasty = []string{
	"| x | y |\n| --- | --- |", "`code` **bold** [link](https://evil.example) ![image](https://evil.example/x.png)",
	"<script>alert(1)</script><details open>", "</code></details>", "```\n# out\n```", "``````````", "~~~\n~~~",
	"@octocat #123 :rocket: https://evil.example www.evil.example", "$math$ &lt; \\| \\", "\r\n\r\n# heading", "> quote\n- list",
	"\x1b[31mred\x1b[0m \u202egnp.exe", "click a href javascript:alert(1)", "section x\n    L1 y :crit, 2000-01-01 00:00:00.000, 1ms",
	"gantt\n title x %% comment", "task : crit, a; b # c", "%%{init: {'theme':'dark'}}%%", "---\nconfig: x\n---", "*** ___ ***", "<!-- comment", "日本語 größer 👩‍🚀",
}

// evil is a build in which every text is one of these.
func evil(text string) *report.Build {
	b := service(true)
	b.Error, b.File, b.Digest, b.Names = text, text, text, []string{text}
	for i := range b.Platforms {
		p := &b.Platforms[i]
		p.Name, p.Error, p.Digest = text, text, text
	}
	for i := range b.Steps {
		s := &b.Steps[i]
		s.Name, s.Command, s.Stage, s.Error, s.Note, s.State = text, text, text, text, text, report.State(text)
		s.Log, s.Platforms = []string{text, text}, []string{text}
	}
	for i := range b.Findings {
		f := &b.Findings[i]
		f.Rule, f.Level, f.Message, f.Fix, f.URL, f.Platforms = text, text, text, text, text, []string{text}
	}
	return b
}

var (
	opening  = regexp.MustCompile("^(`{3,})(text|mermaid)$")
	tag      = regexp.MustCompile(`<[^>]*>?`)
	rulePage = regexp.MustCompile(`\[(<code>[^<>]*</code>)\]\(https://[A-Za-z0-9./_-]*\)`)
	entity   = regexp.MustCompile(`&#\d+;`)
)

// structure lists what kinds of lines a summary has, and complains of what is of none
// of our kinds.
func structure(t *testing.T, text string) []string {
	t.Helper()
	var kinds []string
	fence, language := "", ""
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if fence != "" {
			// CommonMark ends it at a line of as many backticks, and white space.
			if strings.Trim(strings.TrimRight(strings.TrimLeft(line, " "), " \t"), "`") == "" && strings.Count(line, "`") >= len(fence) {
				kinds, fence = append(kinds, language), ""
			} else if language == "mermaid" {
				kinds = append(kinds, gantt(t, line))
			}
			continue
		}
		if found := opening.FindStringSubmatch(line); found != nil {
			fence, language = found[1], found[2]
			continue
		}
		kinds = append(kinds, kindOf(t, line))
	}
	if fence != "" {
		t.Errorf("a block has no end")
	}
	return slices.DeleteFunc(kinds, func(kind string) bool { return kind == "" })
}

func kindOf(t *testing.T, line string) string {
	t.Helper()
	for _, found := range tag.FindAllString(line, -1) {
		if !slices.Contains([]string{"<code>", "</code>", "<br>"}, found) {
			t.Errorf("the tag %q in %q", found, line)
		}
	}
	line = rulePage.ReplaceAllString(line, "$1")
	words := strings.TrimLeft(entity.ReplaceAllString(line, ""), "#")
	if strings.ContainsAny(words, "`*_~@$\\&#[]") || strings.Contains(words, "://") || strings.Contains(strings.ToLower(words), "www.") {
		t.Errorf("%q has what may mean something", line)
	}
	switch {
	case line == "":
		return ""
	case strings.HasPrefix(line, "| "):
		return fmt.Sprintf("row of %d", strings.Count(line, "|"))
	case strings.HasPrefix(line, "#"):
		return "heading"
	}
	return "text"
}

var ganttTask = regexp.MustCompile(`^ {4}(?:L\d+|step)[^:#;%\n"<>{}\[\]]* :(?:crit, |active, )?2000-01-\d\d \d\d:\d\d:\d\d\.\d{3}, \d+ms$`)

func gantt(t *testing.T, line string) string {
	t.Helper()
	switch {
	case line == "gantt", line == `%%{init: {"gantt": {"leftPadding": 120}}}%%`, strings.HasPrefix(line, "    dateFormat "), strings.HasPrefix(line, "    axisFormat "):
		return "gantt"
	case regexp.MustCompile(`^ {4}section [^:#;%\n"<>{}\[\]]*$`).MatchString(line):
		return "section"
	case ganttTask.MatchString(line):
		return "task"
	}
	t.Errorf("%q is no line of a chart", line)
	return ""
}

// TestHostile: whatever is in a build, the summary has the same form.
func TestHostile(t *testing.T) {
	want := structure(t, write(t, evil("word"), summary.Options{}))
	for _, text := range nasty {
		t.Run(text, func(t *testing.T) {
			got := write(t, evil(text), summary.Options{})
			if diff := cmp.Diff(want, structure(t, got)); diff != "" {
				t.Errorf("form (-want +got):\n%s\nof\n%s", diff, got)
			}
		})
	}
}

func FuzzSummary(f *testing.F) {
	for _, text := range nasty {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.TrimSpace(ci.Visible(text)) == "" || strings.TrimSpace(text) == "" {
			return // some lines are not there at all
		}
		want := structure(t, write(t, evil("word"), summary.Options{}))
		if diff := cmp.Diff(want, structure(t, write(t, evil(text), summary.Options{}))); diff != "" {
			t.Errorf("form (-want +got):\n%s", diff)
		}
	})
}

// TestSize: what does not fit is left out from the end, and said to be.
func TestSize(t *testing.T) {
	b := service(true)
	for i := range 60 {
		line := strings.Repeat("`long ", 200)
		step := report.Step{ID: fmt.Sprint("x", i), Name: line, Error: line, Platforms: []string{"linux/arm64"}, Intervals: interval(1, 2)}
		for range 50 {
			step.Log = append(step.Log, line)
		}
		b.Steps = append(b.Steps, step)
		b.Findings = append(b.Findings, report.Finding{Rule: "rule", Message: line, Fix: line})
		b.Names = append(b.Names, line)
	}
	whole := write(t, b, summary.Options{})
	for _, most := range []int{summary.Max, 100_000, 60_000, 20_000, 2000, 300, 1} {
		got := write(t, b, summary.Options{MaxBytes: most})
		if len(got) > most {
			t.Errorf("%d bytes of at most %d", len(got), most)
		}
		structure(t, got)
		if most > 10_000 && len(got) < len(whole) && !strings.Contains(got, "left out: ") {
			t.Errorf("of %d bytes %d are there without a word", len(whole), len(got))
		}
	}
	small := write(t, service(true), summary.Options{})
	parts := strings.Split(small, "\n### ")
	for left, want := range []string{"the timeline", "the slowest steps, the timeline", "findings, the slowest steps, the timeline"} {
		most := len(strings.Join(parts[:len(parts)-left], "\n### ")) - 1
		got := write(t, service(true), summary.Options{MaxBytes: most})
		if !strings.HasSuffix(got, "left out: "+want+"\n") {
			t.Errorf("of at most %d bytes are left out the wrong ones, not %s:\n%s", most, want, got)
		}
	}
}

func TestSecrets(t *testing.T) {
	b := evil("the pass word")
	for i := range b.Platforms {
		b.Platforms[i].Name = "linux/amd64" // names of platforms and digests stay
		b.Platforms[i].Digest, b.Digest = "", ""
	}
	for i := range b.Steps {
		b.Steps[i].Platforms, b.Steps[i].State = []string{"linux/amd64"}, report.Native
	}
	for i := range b.Findings {
		b.Findings[i].Platforms, b.Findings[i].Rule = nil, "rule"
	}
	got := write(t, b, summary.Options{Secrets: ci.NewSecrets("pass word")})
	if strings.Contains(got, "pass word") || strings.Contains(got, "L6 RUN pass") || !strings.Contains(got, "the &#42;&#42;&#42;") {
		t.Errorf("the secret is shown, or nothing for it:\n%s", got)
	}
	if b.Steps[0].Name != "the pass word" {
		t.Errorf("the build itself was changed")
	}
}
