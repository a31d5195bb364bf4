package report

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// terminal matches what programs say to a terminal: colours, movements, titles.
var terminal = regexp.MustCompile(`\x1b(?:\[[0-9;:?<=>]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])`)

// visible makes text what it looks like: without sequences for terminals, without what
// a carriage return overwrote, and with characters that hide or turn others around
// shown by their number. Lines and tabs are kept.
func visible(text string) string {
	if strings.IndexFunc(text, strange) < 0 {
		return text
	}
	text = terminal.ReplaceAllString(strings.ToValidUTF8(text, "\uFFFD"), "")
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		line = strings.TrimRight(line, "\r")
		lines[i] = line[strings.LastIndexByte(line, '\r')+1:]
	}
	var b strings.Builder
	for _, c := range strings.Join(lines, "\n") {
		if strange(c) {
			fmt.Fprintf(&b, "⟨U+%04X⟩", c)
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}

func strange(c rune) bool {
	switch c {
	case '\n', '\t', '\u200c', '\u200d': // the last two part and join letters and emoji
		return false
	}
	return unicode.IsControl(c) || unicode.Is(unicode.Cf, c) || c == '\u2028' || c == '\u2029'
}

// FormatDuration is for people: <0.01s, 0.30s, 12.4s, 3m 07s, 1h 02m.
func FormatDuration(d time.Duration) string {
	switch {
	case d <= 0:
		return "0s"
	case d < 10*time.Millisecond:
		return "<0.01s"
	case d < time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d < 59950*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	if d = d.Round(time.Second); d < time.Hour {
		return fmt.Sprintf("%dm %02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%dh %02dm", d/time.Hour, d%time.Hour/time.Minute)
}

// FormatSize is a number of bytes for people: 812 B, 3.4 kB, 27.1 MB.
func FormatSize(n int64) string {
	value := float64(n)
	unit := 0
	for value >= 999.95 && unit < 4 {
		value /= 1000
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %sB", value, []string{"", "k", "M", "G", "T"}[unit])
}

// Amount is a number of things: 1 step, 2 steps.
func Amount(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// percent is a part of a whole, empty if there is no whole.
func percent(part, whole time.Duration) string {
	if whole <= 0 {
		return ""
	}
	p := 100 * float64(part) / float64(whole)
	if p > 0 && p < 1 {
		return "<1 %"
	}
	return fmt.Sprintf("%.0f %%", p)
}

func shortDigest(digest string) string {
	digest = visible(digest)
	_, hex, found := strings.Cut(digest, ":")
	if !found {
		hex = digest
	}
	return hex[:min(len(hex), 12)]
}

// shell matches what BuildKit writes before a command in an image's history.
var shell = regexp.MustCompile(`^(RUN )?(\|\d+ .*?)?/bin/sh -c `)

// instruction makes of a history's entry what stands in the Dockerfile, about.
func instruction(createdBy string) string {
	text := strings.TrimSuffix(strings.TrimSpace(visible(createdBy)), " # buildkit")
	switch prefix := shell.FindString(text); {
	case prefix == "":
	case strings.HasPrefix(text[len(prefix):], "#(nop) "):
		text = strings.TrimSpace(text[len(prefix)+len("#(nop) "):])
	default:
		text = "RUN " + text[len(prefix):]
	}
	return cut(strings.Join(strings.Fields(text), " "), 240)
}
