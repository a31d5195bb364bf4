package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// WriteTable prints the rows as an aligned table. The name of a case is printed
// once; unknown values are dashes.
func WriteTable(w io.Writer, rows []Row) error {
	lines := [][]string{{"CASE", "TOOL", "MEDIAN s", "MIN s", "MAX s", "PEAK MiB", "RATIO"}}
	last := ""
	for _, row := range rows {
		name := row.Case
		if name == last {
			name = ""
		}
		last = row.Case
		lines = append(lines, []string{
			name, row.Tool,
			number(row.Median, 3), number(row.Min, 3), number(row.Max, 3),
			number(row.PeakMiB, 1), number(row.Ratio, 2),
		})
	}
	if _, err := io.WriteString(w, align(lines)); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}

// WriteBeside prints a line for every comparison of a program with another one.
func WriteBeside(w io.Writer, rows []Row) error {
	var out strings.Builder
	for _, row := range rows {
		for _, b := range row.Beside {
			fmt.Fprintf(&out, "%s: %s takes %.3f of the time of %s (%+.3f s)", row.Case, row.Tool, b.Ratio, b.Tool, b.Added)
			if b.CPU != 0 {
				fmt.Fprintf(&out, ", %.3f of its processors' time", b.CPU)
			}
			out.WriteByte('\n')
		}
	}
	if out.Len() == 0 {
		return nil
	}
	if _, err := io.WriteString(w, "\n"+out.String()); err != nil {
		return fmt.Errorf("writing the comparisons: %w", err)
	}
	return nil
}

func number(value float64, decimals int) string {
	if value == 0 {
		return "-"
	}
	return fmt.Sprintf("%.*f", decimals, value)
}

// align pads the cells: the first two columns are text and start left, the others
// are numbers.
func align(lines [][]string) string {
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var out strings.Builder
	for _, line := range lines {
		for i, cell := range line {
			if i > 0 {
				out.WriteString("  ")
			}
			padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i < 2 {
				out.WriteString(cell + padding)
			} else {
				out.WriteString(padding + cell)
			}
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// WriteJSON prints the rows as a JSON array; unknown values are left out.
func WriteJSON(w io.Writer, rows []Row) error {
	if rows == nil {
		rows = []Row{}
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	if err := out.Encode(rows); err != nil {
		return fmt.Errorf("writing the rows as JSON: %w", err)
	}
	return nil
}
