package summary

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/mabuild/mabuild/builder/ci"
)

// meaning is what has a meaning in Markdown or HTML, or makes a link, a mention or an
// emoji of words. As an entity it has none: an entity is always text.
var meaning = regexp.MustCompile("[\\\\`*_\\[\\]<>#|~$@:&]|(?i:www\\.)")

// markdown makes text of anything, on one line, wherever it stands.
func markdown(text string) string {
	return meaning.ReplaceAllStringFunc(ci.OneLine(text), func(match string) string {
		if len(match) > 1 { // www.
			return match[:3] + "&#46;"
		}
		return fmt.Sprintf("&#%d;", match[0])
	})
}

// code is text in the font of code.
func code(text string) string {
	if text = markdown(text); text == "" {
		return ""
	}
	return "<code>" + text + "</code>"
}

// cut shortens a text to a number of characters.
func cut(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return strings.TrimSpace(string(runes[:most-1])) + "…"
}

var backticks = regexp.MustCompile("`+")

// fence is a block of lines as they are. Its fences are longer than any row of
// backticks in it, so that nothing in it can end it.
func fence(lines []string) string {
	var b strings.Builder
	longest := 2
	for _, line := range lines {
		line = ci.Visible(line)
		for _, row := range backticks.FindAllString(line, -1) {
			longest = max(longest, len(row))
		}
		b.WriteString(line + "\n")
	}
	marks := strings.Repeat("`", longest+1)
	return marks + "text\n" + b.String() + marks + "\n"
}

// table is one of GitHub's. The cells are Markdown.
type table struct {
	head []string // "x:" is a column of numbers
	rows [][]string
}

func (t table) String() string {
	var b strings.Builder
	rules := make([]string, len(t.head))
	heads := make([]string, len(t.head))
	for i, head := range t.head {
		name, number := strings.CutSuffix(head, ":")
		heads[i], rules[i] = name, "---"
		if number {
			rules[i] = "---:"
		}
	}
	for _, row := range append([][]string{heads, rules}, t.rows...) {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
	}
	return b.String()
}
