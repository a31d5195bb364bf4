package show_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/show"
)

// wide is a file of as many stages as anybody writes, and more: each is FROM one
// of those before and copies from others.
func wide(stages, copies int) string {
	var b strings.Builder
	b.WriteString("FROM debian:12 AS s0\nRUN true\n")
	for i := 1; i < stages; i++ {
		fmt.Fprintf(&b, "FROM s%d AS s%d\nRUN make %d\n", i/2, i, i)
		for k := range min(copies, i) {
			fmt.Fprintf(&b, "COPY --from=s%d /%d /%d\n", i-1-k, i, k)
		}
	}
	return b.String()
}

func BenchmarkWriters(b *testing.B) {
	for _, size := range []int{60, 400} {
		result := plan(b, wide(size, 4), three, everywhere)
		options := show.Options{File: "Dockerfile"}
		for name, write := range map[string]func(*bytes.Buffer) error{
			"Text":  func(w *bytes.Buffer) error { return show.Text(w, result, options) },
			"JSON":  func(w *bytes.Buffer) error { return show.JSON(w, result, options) },
			"SVG":   func(w *bytes.Buffer) error { return show.SVG(w, result, options) },
			"SARIF": func(w *bytes.Buffer) error { return show.SARIF(w, result, options) },
			"Explain": func(w *bytes.Buffer) error {
				e, err := exact.Explain(result, result.Stages[size-1].Line+1)
				if err != nil {
					return err
				}
				return show.Explain(w, e, options)
			},
		} {
			b.Run(fmt.Sprintf("%s/%d stages", name, size), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := write(new(bytes.Buffer)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
