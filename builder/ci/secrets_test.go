package ci_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/builder/ci"
)

func TestMask(t *testing.T) {
	for _, test := range []struct{ secrets, text, want string }{
		{"", "text", "text"},
		{"secret", "", ""},
		{"secret", "a secret, a secret", "a ***, a ***"},
		{"secret", "secretsecret", "***"},
		{"aba", "xababax", "x***x"},
		{"abcd|cdef", "xabcdefx", "x***x"},
		{"bc|abcd", "abcd", "***"},
		{" padded\n", "[padded]", "[***]"},
		{"one\ntwo three\n}", "one two three }", "one *** }"},
		{"first\r\nsecond", "first+second", "***+***"},
		{"a b&c", "x=a+b%26c y=a%20b&c", "x=*** y=***"},
		{`quote"d`, `{"x":"quote\"d"}`, `{"x":"***"}`},
		{"x", "xyx", "***y***"}, // short as it is, it is what the user says is secret
		{"   |\n", "a   b", "a   b"},
		{"größer", "ist größer?", "ist ***?"},
	} {
		if got := ci.NewSecrets(strings.Split(test.secrets, "|")...).Mask(test.text); got != test.want {
			t.Errorf("%q without %q is %q, want %q", test.text, test.secrets, got, test.want)
		}
	}
	if got := (*ci.Secrets)(nil).Mask("text"); got != "text" {
		t.Errorf("no secrets: %q", got)
	}
}

// TestMaskBase64: a token is also hidden in a header, whatever stands before it.
func TestMaskBase64(t *testing.T) {
	const token = "ghs_16C7e42F292c6912E7710c838347Ae178B4a"
	secrets := ci.NewSecrets(token)
	for _, user := range []string{"", "u", "us", "use", "x-access-token:", "x-access-token:1"} {
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			encoded := encoding.EncodeToString([]byte(user + token + "@"))
			got := secrets.Mask("basic " + encoded)
			if !strings.Contains(got, "***") || len(got) > len("basic ***")+len(user)*4/3+8 {
				t.Errorf("%q is shown as %q", user, got)
			}
		}
	}
}

func TestWith(t *testing.T) {
	one := ci.NewSecrets("one")
	two := one.With("two")
	if got := one.Mask("one two"); got != "*** two" {
		t.Errorf("With changed what it was called on: %q", got)
	}
	if got := two.Mask("one two"); got != "*** ***" {
		t.Errorf("with another: %q", got)
	}
}

func FuzzMask(f *testing.F) {
	f.Add("secret", "a secret")
	f.Add("aa", "aaa")
	f.Add("two\nlines", "two lines")
	f.Fuzz(func(t *testing.T, secret, text string) {
		got := ci.NewSecrets(secret).Mask(text + secret)
		if trimmed := strings.TrimSpace(secret); trimmed != "" && !strings.ContainsAny(trimmed, "\r\n") && !strings.Contains(got, "***") {
			t.Errorf("%q is in %q", secret, got)
		}
	})
}
