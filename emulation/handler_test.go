package emulation_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/emulation"
)

// magic returns a valid handler for the tests to spoil.
func magic(change func(*emulation.Handler)) emulation.Handler {
	h := emulation.Handler{Name: "test", Interpreter: "/bin/interpreter", Magic: []byte("abc"), Flags: "F"}
	if change != nil {
		change(&h)
	}
	return h
}

func TestInvalidHandlers(t *testing.T) {
	type handler = emulation.Handler
	for want, h := range map[string]handler{
		`name ""`:                              magic(func(h *handler) { h.Name = "" }),
		`name ".."`:                            magic(func(h *handler) { h.Name = ".." }),
		`name "a/b" has a slash`:               magic(func(h *handler) { h.Name = "a/b" }),
		`name "a\nb" has a NUL or newline`:     magic(func(h *handler) { h.Name = "a\nb" }),
		`name "status" belongs to the table`:   magic(func(h *handler) { h.Name = "status" }),
		`name "register" belongs to the table`: magic(func(h *handler) { h.Name = "register" }),
		"name of 256 bytes is longer than 255": magic(func(h *handler) { h.Name = strings.Repeat("n", 256) }),
		`interpreter "" is not an absolute`:    magic(func(h *handler) { h.Interpreter = "" }),
		`interpreter "bin/q" is not absolute`:  magic(func(h *handler) { h.Interpreter = "bin/q" }),
		`interpreter "/a\n" has a NUL`:         magic(func(h *handler) { h.Interpreter = "/a\n" }),
		`interpreter "/a\x00" has a NUL`:       magic(func(h *handler) { h.Interpreter = "/a\x00" }),
		`flags "FX": only POCF`:                magic(func(h *handler) { h.Flags = "FX" }),
		`flags "f": only POCF`:                 magic(func(h *handler) { h.Flags = "f" }),
		"both a magic and an extension":        magic(func(h *handler) { h.Extension = "exe" }),
		"neither a magic nor an extension":     magic(func(h *handler) { h.Magic = nil }),
		"offset -1 is negative":                magic(func(h *handler) { h.Offset = -1 }),
		"magic of 3 bytes at offset 254":       magic(func(h *handler) { h.Offset = 254 }),
		"magic of 257 bytes at offset 0":       magic(func(h *handler) { h.Magic = bytes.Repeat([]byte{1}, 257) }),
		"mask has 2 bytes, magic 3":            magic(func(h *handler) { h.Mask = []byte{1, 2} }),
		"mask has 0 bytes, magic 3":            magic(func(h *handler) { h.Mask = []byte{} }),
		"would take every program":             magic(func(h *handler) { h.Mask = []byte{0, 0, 0} }),
		"every possible delimiter":             magic(func(h *handler) { h.Interpreter = "/:,;|!~^%&=+@#*?" }),
		"bytes, the kernel takes 1920":         magic(func(h *handler) { h.Interpreter = "/" + strings.Repeat("x", 1920) }),
		`extension "a/b" has a slash`:          {Name: "e", Interpreter: "/i", Extension: "a/b"},
		"no offset and no mask":                {Name: "e", Interpreter: "/i", Extension: "a", Offset: 1},
	} {
		t.Run(want, func(t *testing.T) {
			line, err := h.Registration()
			if !errors.Is(err, emulation.ErrInvalid) {
				t.Fatalf("Registration = %q, %v, want ErrInvalid", line, err)
			}
			// The names of the cases are shortened messages.
			for word := range strings.FieldsSeq(want) {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("message %q lacks %q", err, word)
				}
			}
		})
	}
}

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		name, header string
		handler      emulation.Handler
		want         bool
	}{
		{"exact", "abc...", emulation.Handler{Magic: []byte("abc")}, true},
		{"different", "abd...", emulation.Handler{Magic: []byte("abc")}, false},
		{"masked", "abd...", emulation.Handler{Magic: []byte("abc"), Mask: []byte{0xff, 0xff, 0xf8}}, true},
		{"masked, different", "acd...", emulation.Handler{Magic: []byte("abc"), Mask: []byte{0xff, 0xff, 0xf8}}, false},
		{"offset", "..abc", emulation.Handler{Magic: []byte("abc"), Offset: 2}, true},
		{"offset, not at the start", "abc..", emulation.Handler{Magic: []byte("abc"), Offset: 2}, false},
		{"short program", "ab", emulation.Handler{Magic: []byte("abc")}, false},
		{"short program, zero magic", "ab", emulation.Handler{Magic: []byte("ab\x00")}, true},
		{"beyond the end", "ab", emulation.Handler{Magic: []byte{0}, Offset: 200}, true},
		{"no magic", "ab", emulation.Handler{Extension: "b"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.handler.Matches([]byte(test.header)); got != test.want {
				t.Errorf("Matches(%q) = %v", test.header, got)
			}
		})
	}
}

func TestHas(t *testing.T) {
	for flags, want := range map[string]string{
		"":     "",
		"F":    "F",
		"CF":   "OCF", // C implies O
		"OPF":  "POF",
		"FCOP": "POCF",
	} {
		t.Run(flags, func(t *testing.T) {
			var got string
			for _, flag := range []byte("POCF") {
				if (emulation.Handler{Flags: flags}).Has(flag) {
					got += string(flag)
				}
			}
			if got != want {
				t.Errorf("Has = %q, want %q", got, want)
			}
		})
	}
}
