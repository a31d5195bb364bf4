package emulation

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Handler is one entry of a binfmt_misc table: which programs it takes, and
// the interpreter that runs them.
//
// A handler takes programs either by how they begin (Magic, Mask, Offset) or
// by the end of their name (Extension), never both.
type Handler struct {
	// Name is the entry's file name in the table.
	Name string
	// Interpreter is the absolute path of the program that runs the programs.
	Interpreter string
	// Offset is where in the program the magic is looked for.
	Offset int
	// Magic is what the program has at Offset, in the bits that are set in
	// Mask. A nil Mask means all bits.
	Magic, Mask []byte
	// Extension, without its dot, is what the program's name ends in.
	Extension string
	// Flags are letters: P keeps argv[0], O opens the program for the
	// interpreter, C takes credentials from the program, F opens the
	// interpreter at registration. The package documentation says more.
	Flags string
	// Enabled is false for a handler that is registered but switched off.
	// Registering always switches a handler on.
	Enabled bool
}

// The kernel's limits (fs/binfmt_misc.c; checked against 6.18).
const (
	maxRegistration = 1920 // MAX_REGISTER_LENGTH
	maxName         = 255  // NAME_MAX
	// maxHeader is BINPRM_BUF_SIZE, how much of a program handlers can see.
	// It was 128 up to Linux 5.0, and binfmt-misc.rst still says so.
	maxHeader = 256
)

// flagOrder is the order in which the kernel prints the flags it knows.
const flagOrder = "POCF"

// Has reports whether the handler has the flag. C implies O, as in the kernel.
func (h Handler) Has(flag byte) bool {
	return strings.IndexByte(canonicalFlags(h.Flags), flag) >= 0
}

// Matches reports whether the handler takes a program that begins with header,
// by the rule of the kernel: a program shorter than what the handler looks at
// counts as filled up with zeros. A handler that goes by extension takes no
// program by its header.
func (h Handler) Matches(header []byte) bool {
	if len(h.Magic) == 0 {
		return false
	}
	for i, want := range h.Magic {
		var got byte
		if at := h.Offset + i; at < len(header) {
			got = header[at]
		}
		if (got^want)&h.maskAt(i) != 0 {
			return false
		}
	}
	return true
}

func (h Handler) maskAt(i int) byte {
	if i >= len(h.Mask) {
		return 0xff
	}
	return h.Mask[i]
}

// Difference says in what the handler differs from the one that is wanted; ""
// if they are the same registration. That a mask of ones is spelled out, the
// order of flags and whether the handler is switched on make no difference.
func (h Handler) Difference(want Handler) string {
	flags, wantFlags := canonicalFlags(h.Flags), canonicalFlags(want.Flags)
	switch {
	case h.Interpreter != want.Interpreter:
		return fmt.Sprintf("interpreter %q instead of %q", h.Interpreter, want.Interpreter)
	case flags != wantFlags:
		return fmt.Sprintf("flags %q instead of %q", flags, wantFlags)
	case h.Extension != want.Extension:
		return fmt.Sprintf("extension %q instead of %q", h.Extension, want.Extension)
	case h.Offset != want.Offset:
		return fmt.Sprintf("offset %d instead of %d", h.Offset, want.Offset)
	case !bytes.Equal(h.Magic, want.Magic):
		return fmt.Sprintf("magic %x instead of %x", h.Magic, want.Magic)
	}
	for i := range h.Magic {
		if h.maskAt(i) != want.maskAt(i) {
			return fmt.Sprintf("mask %x instead of %x", h.Mask, want.Mask)
		}
	}
	return ""
}

// validate checks the handler against the rules of the kernel, and against two
// of our own: what cannot be read back from the kernel's text is refused, and
// so is a handler that would take every program of the machine.
func (h Handler) validate() error {
	if err := checkName(h.Name); err != nil {
		return err
	}
	if strings.ContainsAny(h.Name, "\x00\n") {
		return invalid("name %q has a NUL or newline in it", h.Name)
	}
	if !strings.HasPrefix(h.Interpreter, "/") {
		return invalid("interpreter %q is not an absolute path", h.Interpreter)
	}
	if strings.ContainsAny(h.Interpreter, "\x00\n") {
		return invalid("interpreter %q has a NUL or newline in it", h.Interpreter)
	}
	if extra := strings.Trim(h.Flags, flagOrder); extra != "" {
		return invalid("flags %q: only %s are supported", h.Flags, flagOrder)
	}
	switch {
	case len(h.Magic) > 0 && h.Extension != "":
		return invalid("it has both a magic and an extension")
	case len(h.Magic) > 0:
		return h.validateMagic()
	case h.Extension != "":
		return h.validateExtension()
	default:
		return invalid("it has neither a magic nor an extension")
	}
}

func (h Handler) validateMagic() error {
	if h.Offset < 0 {
		return invalid("offset %d is negative", h.Offset)
	}
	if len(h.Magic) > maxHeader || h.Offset > maxHeader-len(h.Magic) {
		return invalid("magic of %d bytes at offset %d lies beyond the first %d bytes of a program", len(h.Magic), h.Offset, maxHeader)
	}
	if h.Mask == nil {
		return nil
	}
	if len(h.Mask) != len(h.Magic) {
		return invalid("mask has %d bytes, magic %d", len(h.Mask), len(h.Magic))
	}
	if !slices.ContainsFunc(h.Mask, func(b byte) bool { return b != 0 }) {
		return invalid("mask is all zeros: the handler would take every program")
	}
	return nil
}

func (h Handler) validateExtension() error {
	if h.Offset != 0 || h.Mask != nil {
		return invalid("a handler that goes by extension has no offset and no mask")
	}
	if strings.ContainsAny(h.Extension, "/\x00\n") {
		return invalid("extension %q has a slash, NUL or newline in it", h.Extension)
	}
	return nil
}

// checkName makes sure that the name is one of a file in the table, and not one
// of the table's own: writing to "status" would change all handlers at once.
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return invalid("name %q", name)
	case name == "register" || name == "status":
		return invalid("name %q belongs to the table itself", name)
	case len(name) > maxName:
		return invalid("name of %d bytes is longer than %d", len(name), maxName)
	case strings.Contains(name, "/"):
		return invalid("name %q has a slash in it", name)
	}
	return nil
}

// canonicalFlags puts flags into the kernel's order, each once, with the O
// that C implies. Letters of newer kernels follow in the order given.
func canonicalFlags(flags string) string {
	var out strings.Builder
	for _, flag := range flagOrder {
		if strings.ContainsRune(flags, flag) || flag == 'O' && strings.ContainsRune(flags, 'C') {
			out.WriteRune(flag)
		}
	}
	for _, flag := range flags {
		if !strings.ContainsRune(out.String(), flag) {
			out.WriteRune(flag)
		}
	}
	return out.String()
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}
