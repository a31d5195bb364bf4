package show_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/pin"
	"github.com/mabuild/mabuild/planner/show"
)

// assists decides as recipe go would if the images of a plan were real: they have
// no layers here that could be compared.
func assists(plan *exact.Result) []assist.Step {
	var list []assist.Step
	for _, s := range plan.Steps {
		if s.State != exact.StateEmulated {
			continue
		}
		decided := assist.Step{ID: s.ID, Place: s.Place, Command: s.Command, Platforms: s.Platforms, ExecPlatform: s.ExecPlatform}
		switch {
		case !strings.Contains(s.Command, "go ") && !strings.Contains(s.Command, "make "):
			decided.Reason = "no recipe knows the image"
			if strings.Contains(s.Command, "apt-get") {
				decided.Reason = "it does not use what recipe go makes faster"
			}
		case strings.Contains(s.Command, "go tool dist"):
			decided.Reason = "go tool dist describes the toolchain"
		case s.ExecPlatform == "linux/arm/v7" && s.Line == 10:
			decided.Reason = "the configuration of golang:1.26 cannot be read"
		case strings.Contains(s.Command, "make "):
			decided.Recipe, decided.Note = "go", "what make runs is not known"
		default:
			decided.Recipe = "go"
		}
		list = append(list, decided)
	}
	return list
}

// TestAssistCells holds that every emulated command is counted as assisted or is
// not, in all forms alike.
func TestAssistCells(t *testing.T) {
	t.Parallel()
	result, options := planned(t, inputs()["assisted"])
	want := 0
	for _, a := range options.Assists {
		if a.Recipe != "" {
			want++
		}
	}
	var text, document bytes.Buffer
	if err := show.JSON(&document, result, options); err != nil {
		t.Fatal(err)
	}
	var plan struct {
		Stages []struct {
			Name   string
			States map[string]string
			Pin    *struct{ State string }
		}
		Steps []struct {
			Assist *struct{ Recipe, Reason string }
		}
	}
	if err := json.Unmarshal(document.Bytes(), &plan); err != nil {
		t.Fatal(err)
	}
	got, all := 0, 0
	for _, s := range plan.Steps {
		if s.Assist == nil {
			continue
		}
		all++
		if s.Assist.Recipe != "" {
			got++
		}
	}
	if got != want || all != len(options.Assists) {
		t.Errorf("the document has %d assisted of %d, not %d of %d", got, all, want, len(options.Assists))
	}
	for _, s := range plan.Stages {
		if s.Pin == nil || s.States["linux/arm64"] == "assisted" {
			t.Errorf("stage %s: pin %v, states %v", s.Name, s.Pin, s.States)
		}
	}
	options.Width = 200
	if err := show.Text(&text, result, options); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(text.String(), "--pin-native="); n != 3 {
		t.Errorf("%d pins are shown:\n%s", n, text.String())
	}
}

// TestAssistNothing holds that nothing is said of native tools and pins where there
// is nothing to emulate.
func TestAssistNothing(t *testing.T) {
	t.Parallel()
	result, options := planned(t, inputs()["assisted-native"])
	if len(options.Pins) == 0 {
		t.Fatal("no pins")
	}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"text": func(b *bytes.Buffer) error { return show.Text(b, result, options) },
		"json": func(b *bytes.Buffer) error { return show.JSON(b, result, options) },
		"svg":  func(b *bytes.Buffer) error { return show.SVG(b, result, options) },
	} {
		var got bytes.Buffer
		if err := write(&got); err != nil {
			t.Fatal(err)
		}
		if at := regexp.MustCompile(`pin-native|"pin"|"assist"|assisted<`).FindString(got.String()); at != "" {
			t.Errorf("%s says %s:\n%s", name, at, got.String())
		}
	}
}

// TestAssistMounts holds that mounts of native tools are no part of any command,
// also if the plan is that of the edited file.
func TestAssistMounts(t *testing.T) {
	t.Parallel()
	const mount = "--mount=type=bind,from=mabuild-assist-0,source=/usr/local/go/pkg/tool/linux_amd64,target=/usr/local/go/pkg/tool/linux_arm64 "
	result, options := planned(t, inputs()["assisted"])
	for i, s := range result.Steps {
		result.Steps[i].Command = strings.Replace(s.Command, "RUN ", "RUN "+mount, 1)
	}
	before := result.Steps[len(result.Steps)-1].Command
	writers := map[string]func(*bytes.Buffer) error{
		"text": func(b *bytes.Buffer) error { return show.Text(b, result, options) },
		"json": func(b *bytes.Buffer) error { return show.JSON(b, result, options) },
		"dot":  func(b *bytes.Buffer) error { return show.DOT(b, result, options) },
	}
	for _, line := range []int{6, 7} {
		e, err := exact.Explain(result, line)
		if err != nil {
			t.Fatal(err)
		}
		writers[e.Command] = func(b *bytes.Buffer) error { return show.Explain(b, e, options) }
	}
	for name, write := range writers {
		var got bytes.Buffer
		if err := write(&got); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(got.String(), "mabuild-assist") {
			t.Errorf("%s has the mount:\n%s", name, got.String())
		}
	}
	if result.Steps[len(result.Steps)-1].Command != before {
		t.Error("the plan was changed")
	}
}

// TestPinForeign holds that pins of another plan do no harm.
func TestPinForeign(t *testing.T) {
	t.Parallel()
	result, options := planned(t, inputs()["good"])
	options.Pins = []pin.Stage{{Name: "x\x1b[2J", Line: 999, State: pin.Candidate, Runs: 1}, {Name: "y", Line: 1, State: "other", Runs: 1, Reasons: []pin.Reason{{Text: "a\x1bb"}}}}
	var got bytes.Buffer
	if err := show.Text(&got, result, options); err != nil {
		t.Fatal(err)
	}
	e, err := exact.Explain(result, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := show.Explain(&got, e, options); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got.String(), "x?") || strings.Contains(got.String(), "\x1b") {
		t.Errorf("a foreign pin is shown:\n%s", got.String())
	}
}
