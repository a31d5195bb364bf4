package report_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/mabuild/mabuild/builder/report"
)

var update = flag.Bool("update", false, "write the golden files")

func page(t testing.TB, b *report.Build, opts report.Options) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := report.HTML(&out, b, opts); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

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

// assets matches the style and the script, which are files of the package.
var assets = regexp.MustCompile(`(?s)(<style>).*(</style>)|(<script>).*(</script>)|sha256-(?:[0-9A-Za-z/+]|&#43;){43}=`)

func TestGolden(t *testing.T) {
	for name, b := range map[string]*report.Build{"small": small(), "service": service(false), "failed": service(true), "empty": {}} {
		t.Run(name, func(t *testing.T) {
			golden(t, name+".html", assets.ReplaceAll(page(t, b, report.Options{}), []byte("$1$2$3$4")))
			var out bytes.Buffer
			if err := report.JSON(&out, b); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".json", out.Bytes())
		})
	}
}

func TestSameBytes(t *testing.T) {
	if !bytes.Equal(page(t, large(), report.Options{}), page(t, large(), report.Options{})) {
		t.Error("two pages of the same build differ")
	}
}

// TestSize holds that a page of 60 steps on each of 8 platforms can be sent around,
// also if all of them say a lot.
func TestSize(t *testing.T) {
	b := large()
	if size := len(page(t, b, report.Options{})); size > 300<<10 {
		t.Errorf("a page of %d steps has %d bytes", len(b.Steps), size)
	}
	for i := range b.Steps {
		for k := range 200 {
			b.Steps[i].Log = append(b.Steps[i].Log, strings.Repeat(string(rune('a'+(i+k)%26)), 120))
		}
	}
	if size := len(page(t, b, report.Options{})); size > 400<<10 {
		t.Errorf("a page of %d steps with much output has %d bytes", len(b.Steps), size)
	}
}

// TestLogs: what failed tells all of its output before others tell any.
func TestLogs(t *testing.T) {
	b := service(true)
	for i := range b.Steps {
		b.Steps[i].Log = []string{strings.Repeat("x", 500), "the last line"}
	}
	text := string(page(t, b, report.Options{MaxLog: 2100}))
	if n := strings.Count(text, strings.Repeat("x", 500)); n != 2 { // in the data and in the list of failed steps
		t.Errorf("the output of a failed step is there %d times, want 2", n)
	}
	if !strings.Contains(text, "213 before them are left out") && !strings.Contains(text, "212 before them are left out") {
		t.Error("the page does not say how much is left out")
	}
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	if err := report.JSON(&out, service(false)); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Version      int
		Seconds      float64
		CriticalPath struct {
			Steps                    []string
			WorkSeconds, WaitSeconds float64
		}
		report.Build
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != report.Version || got.Seconds < 100 || len(got.CriticalPath.Steps) != 9 || got.CriticalPath.WorkSeconds < 100 {
		t.Errorf("version %d, seconds %f, critical path %+v", got.Version, got.Seconds, got.CriticalPath)
	}
	if diff := cmp.Diff(service(false), &got.Build); diff != "" {
		t.Errorf("read again (-want +got):\n%s", diff)
	}
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "build.html")
	for range 2 {
		if err := report.WriteFile(path, small(), report.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(text, page(t, small(), report.Options{})) {
		t.Errorf("another page, error %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("beside it is %v, error %v", entries, err)
	}
	if err := report.WriteFile(os.DevNull, small(), report.Options{}); err != nil {
		t.Error(err)
	}
	err = report.WriteFile(filepath.Join(path, "none"), small(), report.Options{})
	if err == nil || !strings.Contains(err.Error(), "writing the report") {
		t.Errorf("error %v", err)
	}
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                    "plain",
		"a\tb\nc":                  "a\tb\nc",
		"\x1b[31mred\x1b[0m":       "red",
		"\x1b]0;title\x07text":     "text",
		"10%\r50%\r100%":           "100%",
		"line\r\nnext\r":           "line\nnext",
		"\x00":                     "⟨U+0000⟩",
		"bell\a":                   "bell⟨U+0007⟩",
		"a\u202eb":                 "a⟨U+202E⟩b", // turns the rest around
		"a\u2066b\ufeff":           "a⟨U+2066⟩b⟨U+FEFF⟩",
		"\xff\x1b[1mx":             "\uFFFDx",
		"\x1b[38;5;4":              "⟨U+001B⟩[38;5;4", // cut short
		"👩\u200d💻 und Grüße":       "👩\u200d💻 und Grüße",
		"\u2028":                   "⟨U+2028⟩",
		"\x1b[2K\x1b[1Gdone\x1b(B": "done⟨U+001B⟩(B",
	} {
		if got := report.Visible(in); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	for in, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", time.Millisecond: "<0.01s", 420 * time.Millisecond: "0.42s", 59940 * time.Millisecond: "59.9s",
		59950 * time.Millisecond: "1m 00s", 187 * time.Second: "3m 07s", 3599700 * time.Millisecond: "1h 00m", 25*time.Hour + time.Minute: "25h 01m",
	} {
		if got := report.FormatDuration(in); got != want {
			t.Errorf("%s gives %q, want %q", in, got, want)
		}
	}
	for in, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_951: "1.0 MB", 27_100_000: "27.1 MB", 5_000_000_000_000_000: "5000.0 TB"} {
		if got := report.FormatSize(in); got != want {
			t.Errorf("%d gives %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"RUN /bin/sh -c make # buildkit":                        "RUN make",
		"RUN |2 A=1 B=a b /bin/sh -c make   install # buildkit": "RUN make install",
		`/bin/sh -c #(nop)  CMD ["sh"]`:                         `CMD ["sh"]`,
		"/bin/sh -c apt-get update":                             "RUN apt-get update",
		"COPY /out /usr/bin # buildkit":                         "COPY /out /usr/bin",
		"debian.sh --arch 'arm64' out/ 'trixie'":                "debian.sh --arch 'arm64' out/ 'trixie'",
		"RUN bash -c '/bin/sh -c x' # buildkit":                 "RUN bash -c '/bin/sh -c x'",
		"":                                                      "",
	} {
		if got := report.Instruction(in); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
}

func TestLayers(t *testing.T) {
	const manifest = `{"layers":[{"digest":"sha256:aa","size":10},{"digest":"sha256:bb","size":20}]}`
	for config, want := range map[string][]report.Layer{
		`{"history":[{"created_by":"ADD x"},{"created_by":"ENV a","empty_layer":true},{"created_by":"RUN y"}]}`: {{"sha256:aa", 10, "ADD x"}, {"sha256:bb", 20, "RUN y"}},
		`{"history":[{"created_by":"ADD x"}]}`: {{"sha256:aa", 10, ""}, {"sha256:bb", 20, ""}},
		`{}`:                                   {{"sha256:aa", 10, ""}, {"sha256:bb", 20, ""}},
	} {
		got, err := report.Layers([]byte(manifest), []byte(config))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", config, diff)
		}
	}
	for _, bad := range [][2]string{{"", "{}"}, {"{}", "["}} {
		if _, err := report.Layers([]byte(bad[0]), []byte(bad[1])); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// elements walks a page.
func elements(n *html.Node, visit func(*html.Node)) {
	if n.Type == html.ElementNode {
		visit(n)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		elements(c, visit)
	}
}

// checkPage holds that nothing of a build is anything but text.
func checkPage(t *testing.T, text []byte) (script, data string) {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]int)
	elements(root, func(n *html.Node) {
		counts[n.Data]++
		for _, a := range n.Attr {
			switch {
			case strings.HasPrefix(a.Key, "on"), a.Key == "style", a.Key == "src", a.Key == "srcdoc", a.Key == "xlink:href":
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			case a.Key == "href" && !strings.HasPrefix(a.Val, "https://") && !strings.HasPrefix(a.Val, "http://") && a.Val != "#ZgotmplZ" && strings.Contains(a.Val, ":"):
				t.Errorf("a link to %q", a.Val)
			}
		}
		if n.Data == "script" && len(n.Attr) == 0 {
			script = n.FirstChild.Data
		} else if n.Data == "script" {
			data = n.FirstChild.Data
		}
	})
	for _, name := range []string{"script", "style", "img", "iframe", "object", "base", "link", "meta", "form", "html", "body", "svg"} {
		want := map[string]int{"script": 2, "style": 1, "meta": 5, "html": 1, "body": 1, "svg": counts["svg"]}[name]
		if counts[name] != want {
			t.Errorf("%d <%s>, want %d", counts[name], name, want)
		}
	}
	if strings.ContainsAny(data, "<>&\u2028\u2029") || !json.Valid([]byte(data)) {
		t.Errorf("the data is %s", data)
	}
	return script, data
}

// hostile says the same everywhere.
func hostile(text string) *report.Build {
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	return &report.Build{
		ID: text, Mabuild: text, File: text, Context: text, Target: text, Builder: text, Started: start, Completed: at(9), Names: []string{text}, Digest: text, Error: text + "!",
		Platforms: []report.Platform{{Name: text, Digest: text, Layers: []report.Layer{{Digest: text, Size: 1, CreatedBy: text}}, Started: start, Completed: at(8), Error: text}},
		Steps: []report.Step{{
			ID: text, Name: text, Command: text, Kind: text, Stage: text, Platforms: []string{text}, ExecPlatform: text, State: report.State(text), Note: text,
			Inputs: []string{text}, Intervals: []report.Interval{{Started: at(1), Completed: at(5)}}, Error: text, Log: []string{text},
		}},
		Findings: []report.Finding{{Rule: text, Level: text, Stage: text, Platforms: []string{text}, Message: text, Fix: text, URL: text}},
	}
}

var attacks = []string{
	"</script><script>alert(1)</script>", "<!--<script>", "]]>", "</style><style>*{}", `" onmouseover="alert(1)`, "' onfocus=alert(1) '", "<img src=x onerror=alert(1)>",
	"javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,<script>alert(1)</script>", "{{.Data}}", "{{template \"step\"}}", "\u2028alert(1)", "\x00<\x00s", "\xff\xfe", "&lt;script&gt;",
	"</title><script>alert(1)</script>", "<svg/onload=alert(1)>", "\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07", "`${alert(1)}`", "\\\"</script>", "<base href=//evil.example>",
}

func TestHostile(t *testing.T) {
	want, _ := checkPage(t, page(t, small(), report.Options{}))
	for _, attack := range attacks {
		t.Run(attack, func(t *testing.T) {
			if script, _ := checkPage(t, page(t, hostile(attack), report.Options{})); script != want {
				t.Error("the script is another one")
			}
		})
	}
}

func FuzzHTML(f *testing.F) {
	for _, attack := range attacks {
		f.Add(attack)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want, _ := checkPage(t, page(t, small(), report.Options{}))
		if script, _ := checkPage(t, page(t, hostile(text), report.Options{})); script != want {
			t.Error("the script is another one")
		}
	})
}
