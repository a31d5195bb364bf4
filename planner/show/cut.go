package show

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// columns returns how many columns of a terminal a text takes.
func columns(text string) int {
	n := 0
	for _, r := range text {
		n += runeColumns(r)
	}
	return n
}

// runeColumns knows that East Asian characters and pictures take two columns.
func runeColumns(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3,
		r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60, r >= 0x1f300 && r <= 0x1faff, r >= 0x20000:
		return 2
	}
	return 1
}

// clean makes one line of a text, without what would move a cursor.
func clean(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
}

// head returns as much of the start of a text as fits.
func head(text string, width int) string {
	n := 0
	for i, r := range text {
		if n += runeColumns(r); n > width {
			return text[:i]
		}
	}
	return text
}

// tail returns as much of the end of a text as fits.
func tail(text string, width int) string {
	n := 0
	for i := len(text); i > 0; {
		r, size := utf8.DecodeLastRuneInString(text[:i])
		if n += runeColumns(r); n > width {
			return text[i:]
		}
		i -= size
	}
	return text
}

// cut shortens a text at its end.
func cut(text string, width int, ellipsis string) string {
	text = clean(text)
	if columns(text) <= width {
		return text
	}
	if width <= len(ellipsis) {
		return head(text, max(width, 0))
	}
	return head(text, width-columns(ellipsis)) + ellipsis
}

// cutReference shortens the name of an image in the middle, since what tells images
// apart is at the end: the last name and the tag. Of a digest, the start is enough.
func cutReference(ref string, width int, ellipsis string) string {
	ref = clean(ref)
	if columns(ref) <= width {
		return ref
	}
	if name, sum, found := strings.Cut(ref, "@"); found {
		_, hex, _ := strings.Cut(sum, ":")
		if short := head(hex, 7); short != "" && columns(name) > 8 {
			ref = name + "@" + short
		}
	}
	if columns(ref) <= width || width <= columns(ellipsis)+2 {
		return head(ref, width)
	}
	room := width - columns(ellipsis)
	last := ref[strings.LastIndexByte(ref, '/')+1:]
	if at := strings.LastIndexByte(last, ':'); columns(last) > room && at >= 0 && columns(last[at:]) <= room*2/3 {
		last = last[at:]
	}
	keep := min(columns(last), room*2/3)
	if columns(last) <= room {
		keep = columns(last)
	}
	return head(ref, room-keep) + ellipsis + tail(ref, keep)
}

// wrap breaks a text between words. Lines after the first one are indented; words
// that are too long are broken, too.
func wrap(text string, width, first, indent int) []string {
	var lines []string
	line, room := "", width-first
	for _, word := range strings.Fields(text) {
		if line != "" && columns(line)+1+columns(word) > room {
			lines, line, room = append(lines, line), "", width-indent
		}
		for line == "" && columns(word) > room {
			part := head(word, max(room, 1))
			if part == "" {
				break
			}
			lines, word, room = append(lines, part), word[len(part):], width-indent
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// paragraph writes a text after a prefix, and indents what does not fit.
func paragraph(b *strings.Builder, prefix, text string, width, indent int) {
	for i, line := range wrap(clean(text), width, columns(prefix), indent) {
		if i == 0 {
			b.WriteString(prefix)
		} else {
			b.WriteString(strings.Repeat(" ", indent))
		}
		b.WriteString(line + "\n")
	}
}

// pad fills a text up with blanks.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(width-columns(text), 0))
}

// duration writes a time as people say it: 0.4s, 41s, 3m01s, 1h02m.
func duration(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute-time.Second/2:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour-time.Second/2:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
