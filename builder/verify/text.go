package verify

import (
	"fmt"
	"io"
	"strings"
)

// shown is how many findings of one kind in one directory are written out.
const shown = 5

// Text writes reports for people to read: a line for each platform, and what was
// found below it, the worst first. Many findings of a kind in one directory are
// summed up. The error is that of w.
func Text(w io.Writer, reports ...*Report) error {
	var b strings.Builder
	for _, r := range reports {
		r.text(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) text(b *strings.Builder) {
	platform := r.Platform
	if platform == "" {
		platform = "unknown platform"
	}
	fmt.Fprintf(b, "%s: %s in %s and %s", platform, plural(r.ELF, "program or library", "programs and libraries"),
		plural(r.Files, "file", "files"), plural(r.Layers, "layer", "layers"))
	var counts []string
	for _, level := range []Level{Error, Warning, Note} {
		if n := r.Count(level); n > 0 {
			counts = append(counts, plural(n, string(level), string(level)+"s"))
		}
	}
	if len(counts) == 0 {
		b.WriteString(", all for it\n")
		return
	}
	fmt.Fprintf(b, ": %s\n", strings.Join(counts, ", "))
	for i := 0; i < len(r.Findings); {
		n := r.alike(i)
		for _, f := range r.Findings[i : i+min(n, shown)] {
			f.text(b)
		}
		if n > shown {
			f := r.Findings[i]
			fmt.Fprintf(b, "  %s: %s: %d more like that\n", f.Level, parent(f.Path)+"/", n-shown)
		}
		i += n
	}
	if r.Omitted > 0 {
		fmt.Fprintf(b, "  and %d more\n", r.Omitted)
	}
}

// alike returns how many findings from i on are of the same kind and directory.
func (r *Report) alike(i int) int {
	first := r.Findings[i]
	n := 1
	for _, f := range r.Findings[i+1:] {
		if f.Level != first.Level || f.Rule != first.Rule || parent(f.Path) != parent(first.Path) || f.Message != first.Message {
			break
		}
		n++
	}
	return n
}

func (f Finding) text(b *strings.Builder) {
	fmt.Fprintf(b, "  %s: ", f.Level)
	if f.Path != "" {
		b.WriteString(printable(f.Path))
		if f.Layer > 0 {
			fmt.Fprintf(b, " (layer %d)", f.Layer)
		}
		b.WriteByte(' ')
	}
	b.WriteString(printable(f.Message))
	b.WriteByte('\n')
	if len(f.Via) > 0 {
		fmt.Fprintf(b, "    started by: %s\n", printable(strings.Join(f.Via, " > ")))
	}
	if f.Fix != "" {
		fmt.Fprintf(b, "    fix: %s\n", printable(f.Fix))
	}
}

// printable keeps what an image calls its files from talking to the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, text)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
