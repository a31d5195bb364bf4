package contexts

import (
	"regexp"
	"strings"
	"unicode"
)

// Error says why a build context cannot be used, and what to do about it.
type Error struct {
	URL  string // without credentials
	Err  error
	Hint string
}

func (e *Error) Error() string {
	text := "reading the build context " + e.URL + ": " + e.Err.Error()
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// credentials are what stands before the host in a URL.
var credentials = regexp.MustCompile(`://[^/\s'"<>]*@`)

// Redact replaces the credentials of all URLs in a text.
func Redact(text string) string {
	return credentials.ReplaceAllString(text, "://xxxxx@")
}

// printable redacts what another program or server says, and keeps it from
// driving the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, Redact(text))
}
