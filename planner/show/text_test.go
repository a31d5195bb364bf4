package show_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/show"
)

func TestText(t *testing.T) {
	t.Parallel()
	for name, in := range inputs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, options := planned(t, in)
			var got bytes.Buffer
			if err := show.Text(&got, result, options); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", got.Bytes())
		})
	}
}

// TestWidths holds that every screen fits every width, with and without the letters
// of a better terminal.
func TestWidths(t *testing.T) {
	t.Parallel()
	for name, in := range inputs() {
		result, options := planned(t, in)
		options.Forecast, options.Tools = forecast(result, 0), tools
		options.Forecast.Programs = programs(result)
		for _, width := range []int{40, 41, 60, 72, 80, 100, 120, 200} {
			for _, ascii := range []bool{true, false} {
				options.Width, options.ASCII = width, ascii
				var got bytes.Buffer
				if err := show.Text(&got, result, options); err != nil {
					t.Fatal(err)
				}
				for line := range strings.Lines(got.String()) {
					line = strings.TrimSuffix(line, "\n")
					if n := utf8.RuneCountInString(line); n > width {
						t.Errorf("%s, width %d: %d columns: %s", name, width, n, line)
					}
					if ascii && len(line) != utf8.RuneCountInString(line) {
						t.Errorf("%s: not ASCII: %s", name, line)
					}
				}
			}
		}
	}
}

// TestCells holds that the table counts every command once.
func TestCells(t *testing.T) {
	t.Parallel()
	for name, result := range archived(t) {
		var got bytes.Buffer
		if err := show.Text(&got, result, show.Options{File: "Dockerfile", Width: 200}); err != nil {
			t.Fatal(err)
		}
		sum, possible := 0, 0
		for _, field := range strings.Split(got.String(), "  ") {
			var n int
			var mark string
			if _, err := fmt.Sscanf(strings.TrimSpace(field), "%s %d RUN", &mark, &n); err == nil {
				sum += n
			}
		}
		for _, s := range result.Steps {
			if s.State != "" {
				possible++
			}
		}
		if !strings.Contains(got.String(), "impossible") && sum != possible {
			t.Errorf("%s: the cells have %d of %d commands:\n%s", name, sum, possible, got.String())
		}
	}
}

// TestImpossible holds that what cannot be built is not said to be emulated.
func TestImpossible(t *testing.T) {
	t.Parallel()
	result := plan(t, webService, "linux/amd64,linux/s390x", "index golang:1.26 linux/amd64\n"+everywhere)
	var got bytes.Buffer
	if err := show.Text(&got, result, show.Options{}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got.String(), "L10") && strings.Contains(got.String(), "▲ L10") {
		t.Errorf("an impossible command is emulated:\n%s", got.String())
	}
	for _, s := range result.Steps {
		if s.Line == 10 && s.State == exact.StateEmulated {
			return
		}
	}
	t.Error("the plan has no such command; the test is for nothing")
}
