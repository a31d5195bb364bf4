package report_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/builder/report"
	"github.com/mabuild/mabuild/builder/report/reporttest"
)

// open opens the page of a build. With REPORT_SHOTS, pictures are kept in that folder.
func open(t *testing.T, b *report.Build, opts reporttest.Options) *reporttest.Page {
	t.Helper()
	path := filepath.Join(t.TempDir(), "build.html")
	if err := os.WriteFile(path, page(t, b, report.Options{}), 0o600); err != nil {
		t.Fatal(err)
	}
	return reporttest.Open(t, path, opts)
}

func shoot(t *testing.T, p *reporttest.Page, name string, whole bool) {
	t.Helper()
	picture := p.Screenshot(whole)
	if len(picture) < 5000 {
		t.Errorf("a picture of %d bytes", len(picture))
	}
	if dir := os.Getenv("REPORT_SHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// bar selects the bar of a step in an open lane.
func bar(b *report.Build, matches func(report.Step) bool) string {
	return fmt.Sprintf(`#chart .lane:not(.folded *) button[data-step="%d"]`, slices.IndexFunc(b.Steps, matches))
}

func compiles(s report.Step) bool {
	return strings.HasPrefix(s.Name, "RUN go build") && slices.Contains(s.Platforms, "linux/s390x")
}

func wantText(t *testing.T, p *reporttest.Page, selector string, parts ...string) {
	t.Helper()
	text := p.Text(selector)
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s does not say %q:\n%s", selector, part, text)
		}
	}
}

func TestBrowserClicks(t *testing.T) {
	b := service(true)
	p := open(t, b, reporttest.Options{})
	shoot(t, p, "failed", true)
	wantText(t, p, "#error", "uncaught target signal 11", "212 before them are left out", "exit code: 139")

	compile := bar(b, compiles)
	p.Hover(compile)
	wantText(t, p, "#tip", "RUN --mount=type=cache", "1m 28s", "failed, emulated", "critical path")
	p.Click(compile)
	wantText(t, p, "#panel", "RUN --mount=type=cache,target=/root/.cache/go-build go build", "1m 28s", "linux/s390x", "build, line 6", "failed, emulated", "Segmentation fault (core dumped)", "exit code: 139")
	if got := p.Eval("location.hash"); got == "" {
		t.Error("the address does not name the step")
	}
	shoot(t, p, "panel", false)

	// What it waited for is a click away, and Escape closes.
	p.Click(`#panel tr:nth-child(5) .link, #panel .side .link`)
	wantText(t, p, "#panel h2", "COPY . .")
	p.Press("Escape")
	if text := p.Text("#panel"); text != "" {
		t.Errorf("the panel is still open:\n%s", text)
	}
	// The lists lead there, too.
	p.Click(`.slowest [data-step]`)
	wantText(t, p, "#panel h2", "RUN go build")
	p.Click("#panel .close")
	p.Click("#error .failure .link")
	wantText(t, p, "#panel h2", "RUN go build")
}

func TestBrowserKeyboard(t *testing.T) {
	b := service(false)
	p := open(t, b, reporttest.Options{Dark: true})
	shoot(t, p, "dark", true)
	p.Eval(`document.querySelector('#chart .track > button[tabindex="0"]').focus()`)
	name := func() string {
		text, _ := p.Eval("document.activeElement.getAttribute('aria-label')").(string)
		return text
	}
	for _, step := range [][2]string{
		{"", "FROM docker.io/library/golang:1.26, build, linux/amd64, cached"},
		{"ArrowRight", "WORKDIR /src, build, linux/amd64"},
		{"ArrowRight", "COPY go.mod go.sum ./"},
		{"ArrowRight", "RUN go mod download, build, linux/amd64, native, 4.0s"},
		{"ArrowLeft", "COPY go.mod go.sum ./"},
		{"ArrowDown", "RUN apk add --no-cache ca-certificates tzdata, runtime"},
		{"ArrowDown", "[internal] load build context, BuildKit"},
		{"ArrowDown", "FROM docker.io/library/golang:1.26, build, linux/arm64"},
		{"ArrowUp", "[internal] load build context, BuildKit, linux/amd64"},
	} {
		if step[0] != "" {
			p.Press(step[0])
		}
		if got := name(); !strings.HasPrefix(got, step[1]) {
			t.Fatalf("after %s: %q, want %q", step[0], got, step[1])
		}
	}
	p.Press("Enter")
	wantText(t, p, "#panel", "[internal] load build context", "Shared by", "linux/amd64, linux/arm64, linux/s390x")
	p.Press("Escape")
	if got := name(); !strings.HasPrefix(got, "[internal] load build context") {
		t.Errorf("closing gives the focus to %q", got)
	}
	width := func() float64 {
		w, _ := p.Eval("document.getElementById('chart').clientWidth").(float64)
		return w
	}
	before := width()
	p.Press("+")
	if got := width(); got < 1.4*before {
		t.Errorf("zoomed from %g to %g", before, got)
	}
	p.Press("0")
	if got := width(); got != before {
		t.Errorf("fitted to %g, was %g", got, before)
	}
	p.Drag("#chart .group:nth-of-type(3) .platform .track", 0.5, 0.6)
	if got := width(); got < 5*before {
		t.Errorf("dragging zoomed from %g to %g", before, got)
	}
}

func TestBrowserLarge(t *testing.T) {
	b := large()
	p := open(t, b, reporttest.Options{Width: 1440, Height: 900})
	shoot(t, p, "large", true)
	count := func(selector string) float64 {
		n, _ := p.Eval(fmt.Sprintf("[...document.querySelectorAll(%q)].filter(e => e.offsetParent).length", selector)).(float64)
		return n
	}
	if got := count("#chart .track > button"); got != 8*60 {
		t.Errorf("%g bars, want %d", got, 8*60)
	}
	if got := count("#chart .track > button.critical"); got < 50 {
		t.Errorf("%g bars are on the critical path", got)
	}
	p.Click("#fold")
	if got := count("#chart .lane"); got != 8 {
		t.Errorf("%g lanes when all platforms are folded, want 8", got)
	}
	shoot(t, p, "folded", false)
	p.Click("#fold")

	// Filters dim bars and leave rows out.
	p.Click("#filter")
	p.Call("Input.insertText", map[string]any{"text": "ui-3"}, nil)
	if got := count("#chart .track > button:not(.off)"); got != 8 {
		t.Errorf("%g bars match, want 8", got)
	}
	p.Click("#all summary")
	if got := count("#table tbody tr"); got != 1 {
		t.Errorf("%g rows match, want 1", got)
	}
	p.Eval("document.getElementById('filter').value = ''; document.getElementById('filter').dispatchEvent(new Event('input'))")
	p.Click("#legend button:nth-child(3)")
	if got := count("#table tbody tr"); got != 204 {
		t.Errorf("%g rows are emulated, want 204", got)
	}
}

// TestBrowserSizes opens builds of all kinds in windows of all kinds: nothing is wider
// than the window.
func TestBrowserSizes(t *testing.T) {
	builds := map[string]*report.Build{"small": small(), "empty": {}, "service": service(false), "large": large(), "hostile": hostile(strings.Join(attacks, " "))}
	for name, b := range builds {
		t.Run(name, func(t *testing.T) {
			p := open(t, b, reporttest.Options{Fragment: "step=0"})
			for _, width := range []int{390, 1920} {
				p.Resize(width, 900)
				p.Reload()
				shoot(t, p, fmt.Sprintf("%s-%d", name, width), false)
				if got, _ := p.Eval("document.documentElement.scrollWidth").(float64); got > float64(width) {
					t.Errorf("the page is %g wide, the window %d", got, width)
				}
				if len(b.Steps) > 0 && p.Text("#panel") == "" {
					t.Error("the step in the address is not open")
				}
				if p.Text("h1") == "" || p.Text(".facts") == "" {
					t.Error("there is no summary")
				}
			}
		})
	}
}

// TestBrowserWithoutScripts: viewers of CI artefacts often forbid them.
func TestBrowserWithoutScripts(t *testing.T) {
	p := open(t, service(true), reporttest.Options{})
	p.Call("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
	p.Reload()
	shoot(t, p, "static", true)
	wantText(t, p, "body", "Failed", "Segmentation fault", "linux/s390x", "Critical path", "Slowest steps", "RUN go mod download", "13.8 MB", "apk add", "JSONArgsRecommended")
	if text := p.Text("body"); strings.Contains(text, "Timeline") || strings.Contains(text, "All steps") {
		t.Errorf("empty sections are shown:\n%s", text)
	}
}
