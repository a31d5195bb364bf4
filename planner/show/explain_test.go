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

// explained are the lines of the inputs with golden explanations.
var explained = map[string][]int{
	"forecast":  {1, 4, 12, 19, 22, 24},
	"early":     {5, 8, 11, 15},
	"selecting": {2, 7, 5},
	"diamond":   {20, 19, 29},
	"lacking":   {1, 18},
	"unhealthy": {3},
	"assisted":  {2, 6, 8, 9, 10, 11, 18, 20},

	"assisted-native": {6},
	"programs":        {2, 10, 13, 15, 17},
	"programs-good":   {19},
}

func TestExplain(t *testing.T) {
	t.Parallel()
	for name, list := range explained {
		result, options := planned(t, inputs()[name])
		for _, line := range list {
			e, err := exact.Explain(result, line)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			var got bytes.Buffer
			if err := show.Explain(&got, e, options); err != nil {
				t.Fatal(err)
			}
			golden(t, fmt.Sprintf("%s-L%d.explain", name, line), got.Bytes())
		}
	}
}

// TestExplainAll holds that every line of every plan is explained on a screen that
// fits, or refused with lines that are explained.
func TestExplainAll(t *testing.T) {
	t.Parallel()
	for name, plan := range plans(t) {
		result, options := plan()
		for line := range 40 {
			e, err := exact.Explain(result, line)
			if err != nil {
				continue
			}
			for _, width := range []int{40, 100} {
				options.Width, options.ASCII = width, width == 40
				var got bytes.Buffer
				if err := show.Explain(&got, e, options); err != nil {
					t.Fatal(err)
				}
				for text := range strings.Lines(got.String()) {
					if n := utf8.RuneCountInString(strings.TrimSuffix(text, "\n")); n > width {
						t.Errorf("%s L%d: %d columns: %s", name, line, n, text)
					}
				}
			}
		}
	}
}
