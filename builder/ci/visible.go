package ci

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// escapes matches what programs say to a terminal: colours, movements, titles, and the
// strings in which Buildkite's agent finds times and links.
var escapes = regexp.MustCompile(`\x1b(?:\[[0-9;:?<=>]*[ -/]*[@-~]|[\]P_^X][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-OQ-WYZ\\])`)

// colours matches the escapes that every system draws.
var colours = regexp.MustCompile(`\x1b\[[0-9;:]*m`)

const noColour = "\x1b[0m"

// clean makes one line of output harmless to look at. What is left of escapes are
// colours, which end with the line; of what a carriage return overwrote nothing is;
// characters that hide, or turn others around, are shown by their number.
func clean(line string) string {
	line = escapes.ReplaceAllStringFunc(strings.ToValidUTF8(line, "\uFFFD"), func(escape string) string {
		if colours.FindString(escape) == escape {
			return escape
		}
		return ""
	})
	line = strings.TrimRight(line, "\r\n")
	line = line[strings.LastIndexByte(line, '\r')+1:]
	if strings.IndexFunc(line, strange) < 0 {
		return line
	}
	var b strings.Builder
	end := 0
	for _, at := range colours.FindAllStringIndex(line, -1) {
		show(&b, line[end:at[0]])
		b.WriteString(line[at[0]:at[1]])
		end = at[1]
	}
	show(&b, line[end:])
	if end > 0 && !strings.HasSuffix(line, noColour) {
		b.WriteString(noColour)
	}
	return b.String()
}

// uncoloured takes the colours from a clean line.
func uncoloured(line string) string { return colours.ReplaceAllString(line, "") }

// plain is a clean line without colours.
func plain(line string) string { return uncoloured(clean(line)) }

// Visible is text as it looks, of which nothing acts on a terminal or hides: without
// escapes, without what was overwritten, with characters that cannot be seen shown by
// their number. Lines are kept, but not the last end of one.
func Visible(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = plain(line)
	}
	return strings.Join(lines, "\n")
}

// OneLine is visible text with its words on one line.
func OneLine(text string) string { return strings.Join(strings.Fields(Visible(text)), " ") }

// show writes strange characters by their number. What joins letters and emoji is
// strange where it joins nothing: after ASCII and white space.
func show(b *strings.Builder, text string) {
	joinable := false
	for _, c := range text {
		if strange(c) && (!joinable || !joins(c)) {
			fmt.Fprintf(b, "⟨U+%04X⟩", c)
			joinable = false
			continue
		}
		b.WriteRune(c)
		joinable = c >= utf8.RuneSelf && !unicode.IsSpace(c)
	}
}

// strange is true for what cannot be seen. Runners compare text by the rules of a
// language, in which such characters count for nothing.
func strange(c rune) bool {
	switch c {
	case '\t', ' ':
		return false
	case '\u2028', '\u2029':
		return true
	}
	return unicode.IsControl(c) || unicode.In(c, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

func joins(c rune) bool {
	return c == '\u200c' || c == '\u200d' || unicode.Is(unicode.Variation_Selector, c)
}
