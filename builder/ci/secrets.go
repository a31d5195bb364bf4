package ci

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mabuild/mabuild/builder/report"
)

// mask stands for a secret, as it does in GitHub's logs.
const mask = "***"

// Secrets are texts that must not be read in any output. Nil is none. They do not
// change: [Secrets.With] makes others.
type Secrets struct {
	values []string // as they were given
	forms  []string // in which they may occur
}

// NewSecrets takes the values of secrets.
func NewSecrets(values ...string) *Secrets { return (*Secrets)(nil).With(values...) }

// With returns these secrets and others.
func (s *Secrets) With(values ...string) *Secrets {
	all := &Secrets{}
	if s != nil {
		all.values, all.forms = slices.Clone(s.values), slices.Clone(s.forms)
	}
	for _, value := range values {
		if strings.TrimSpace(value) != "" && !slices.Contains(all.values, value) {
			all.values = append(all.values, value)
			all.forms = append(all.forms, forms(value)...)
		}
	}
	slices.Sort(all.forms)
	all.forms = slices.Compact(all.forms)
	return all
}

// shortLine is below what a line of a secret with several lines must be to count.
// Otherwise the braces of a key in JSON would hide all braces.
const shortLine = 4

// linesOf are the lines of a secret, which in a log are apart from each other.
func linesOf(secret string) []string {
	var lines []string
	all := strings.FieldsFunc(secret, func(c rune) bool { return c == '\n' || c == '\r' })
	for _, line := range all {
		if line = strings.TrimSpace(line); line != "" && (len(all) == 1 || utf8.RuneCountInString(line) >= shortLine) {
			lines = append(lines, line)
		}
	}
	return lines
}

// forms are a secret as it is, line by line, and as programs write it into URLs, JSON
// and headers.
func forms(secret string) []string {
	all := append(linesOf(secret), strings.TrimSpace(secret))
	for _, text := range slices.Clone(all) {
		all = append(all, url.QueryEscape(text), url.PathEscape(text))
		if quoted, err := json.Marshal(text); err == nil {
			all = append(all, strings.Trim(string(quoted), `"`))
		}
	}
	for _, text := range []string{secret, strings.TrimSpace(secret)} {
		for shift := range 3 {
			all = append(all, base64At(base64.RawStdEncoding, text, shift), base64At(base64.RawURLEncoding, text, shift))
		}
	}
	return slices.DeleteFunc(all, func(text string) bool { return text == "" })
}

// base64At is the middle of a text's base64 that does not depend on what stands before
// and after it, for each of the three ways in which it can be aligned. It is empty
// where that is too short to be told from other words.
func base64At(encoding *base64.Encoding, text string, shift int) string {
	padded := strings.Repeat("\x00", shift) + text
	encoded := encoding.EncodeToString([]byte(padded))
	if len(padded)%3 != 0 {
		encoded = encoded[:len(encoded)-1]
	}
	encoded = encoded[min([]int{0, 2, 3}[shift], len(encoded)):]
	if len(encoded) < 8 {
		return ""
	}
	return encoded
}

// Mask replaces secrets. What belongs to several that overlap is replaced once.
func (s *Secrets) Mask(text string) string {
	if s == nil || len(s.forms) == 0 || text == "" {
		return text
	}
	var found [][2]int
	for _, form := range s.forms {
		for from := 0; ; {
			at := strings.Index(text[from:], form)
			if at < 0 {
				break
			}
			found = append(found, [2]int{from + at, from + at + len(form)})
			from += at + 1
		}
	}
	if len(found) == 0 {
		return text
	}
	slices.SortFunc(found, func(a, b [2]int) int { return cmp.Or(a[0]-b[0], a[1]-b[1]) })
	var b strings.Builder
	written := 0 // of text
	for i := 0; i < len(found); {
		from, to := found[i][0], found[i][1]
		for i++; i < len(found) && found[i][0] <= to; i++ {
			to = max(to, found[i][1])
		}
		b.WriteString(text[written:from])
		b.WriteString(mask)
		written = to
	}
	b.WriteString(text[written:])
	return b.String()
}

// Redact is a build without secrets in what people and programs wrote, for reports that
// are kept or sent. Names of platforms and of rules stay, and digests. The build itself
// is not changed.
func (s *Secrets) Redact(b *report.Build) *report.Build {
	out := *b
	out.File, out.Context, out.Target, out.Error = s.Mask(b.File), s.Mask(b.Context), s.Mask(b.Target), s.Mask(b.Error)
	out.Names = s.maskAll(b.Names)
	out.Platforms = slices.Clone(b.Platforms)
	for i := range out.Platforms {
		p := &out.Platforms[i]
		p.Error = s.Mask(p.Error)
		p.Layers = slices.Clone(p.Layers)
		for k := range p.Layers {
			p.Layers[k].CreatedBy = s.Mask(p.Layers[k].CreatedBy)
		}
	}
	out.Steps = slices.Clone(b.Steps)
	for i := range out.Steps {
		step := &out.Steps[i]
		step.Name, step.Command, step.Stage = s.Mask(step.Name), s.Mask(step.Command), s.Mask(step.Stage)
		step.Note, step.Error, step.Log = s.Mask(step.Note), s.Mask(step.Error), s.maskAll(step.Log)
	}
	out.Findings = slices.Clone(b.Findings)
	for i := range out.Findings {
		f := &out.Findings[i]
		f.Message, f.Fix, f.Stage = s.Mask(f.Message), s.Mask(f.Fix), s.Mask(f.Stage)
	}
	return &out
}

func (s *Secrets) maskAll(texts []string) []string {
	out := slices.Clone(texts)
	for i, text := range out {
		out[i] = s.Mask(text)
	}
	return out
}
