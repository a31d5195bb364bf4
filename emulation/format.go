package emulation

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// delimiters are tried in this order. None of them is a letter, a digit or a
// backslash, so that none can be taken for a part of an escape.
const delimiters = ":,;|!~^%&=+@#*?"

// ParseHandler parses the text of an entry's file, as the kernel prints it.
// Lines that it does not know, which kernels may add, are passed over. Errors
// are [ErrInvalid].
func ParseHandler(name string, text []byte) (Handler, error) {
	h, err := parseStatus(text)
	if err != nil {
		return Handler{}, &Error{Op: "parsing the status of", Handler: name, Err: err}
	}
	h.Name = name
	return h, nil
}

func parseStatus(text []byte) (Handler, error) {
	var h Handler
	first, rest, _ := strings.Cut(string(text), "\n")
	switch first {
	case "enabled":
		h.Enabled = true
	case "disabled":
	default:
		return h, invalid("first line %q is neither enabled nor disabled", first)
	}
	seen := make(map[string]bool)
	for line := range strings.Lines(rest) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if seen[key] {
			return h, invalid("second %s line", key)
		}
		known, err := h.setStatus(key, value)
		if err != nil {
			return h, err
		}
		seen[key] = known
	}
	if !seen["flags:"] {
		return h, invalid("no flags line")
	}
	if h.Magic == nil && h.Offset != 0 {
		return h, invalid("offset %d without a magic", h.Offset)
	}
	if h.Mask != nil && len(h.Mask) != len(h.Magic) {
		return h, invalid("mask has %d bytes, magic %d", len(h.Mask), len(h.Magic))
	}
	return h, nil
}

// setStatus takes in one line; known is false for a line to be passed over.
func (h *Handler) setStatus(key, value string) (known bool, err error) {
	switch key {
	case "interpreter":
		h.Interpreter = value
	case "flags:":
		if strings.Trim(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			return true, invalid("flags %q are not capital letters", value)
		}
		h.Flags = canonicalFlags(value)
	case "extension":
		extension, dotted := strings.CutPrefix(value, ".")
		if !dotted || extension == "" {
			return true, invalid("extension %q does not begin with a dot", value)
		}
		h.Extension = extension
	case "offset":
		h.Offset, err = parseOffset(value)
	case "magic":
		h.Magic, err = parseHex(key, value)
	case "mask":
		h.Mask, err = parseHex(key, value)
	default:
		return false, nil
	}
	return true, err
}

func parseOffset(text string) (int, error) {
	offset, err := strconv.ParseInt(text, 10, 32)
	if err != nil || offset < 0 {
		return 0, invalid("offset %q is not a number from 0", text)
	}
	return int(offset), nil
}

func parseHex(key, text string) ([]byte, error) {
	data, err := hex.DecodeString(text)
	if err != nil || len(data) == 0 {
		return nil, invalid("%s %q is not hexadecimal", key, text)
	}
	return data, nil
}

// Status returns the text that the kernel has in the handler's file.
func (h Handler) Status() []byte {
	var out bytes.Buffer
	if h.Enabled {
		out.WriteString("enabled\n")
	} else {
		out.WriteString("disabled\n")
	}
	if h.Interpreter != "" {
		fmt.Fprintf(&out, "interpreter %s\n", h.Interpreter)
	}
	fmt.Fprintf(&out, "flags: %s\n", canonicalFlags(h.Flags))
	if h.Extension != "" {
		fmt.Fprintf(&out, "extension .%s\n", h.Extension)
	}
	if len(h.Magic) > 0 {
		fmt.Fprintf(&out, "offset %d\nmagic %x\n", h.Offset, h.Magic)
		if h.Mask != nil {
			fmt.Fprintf(&out, "mask %x\n", h.Mask)
		}
	}
	return out.Bytes()
}

// Registration returns the line that registers the handler when written to
// the table's "register" file, or that a file in binfmt.d has for it. Bytes of
// the magic and mask other than letters and digits are escaped; the delimiter
// is a colon unless a field has one in it. A handler that the kernel would
// refuse gives an error that is [ErrInvalid] and names the rule.
func (h Handler) Registration() (string, error) {
	line, err := h.registration()
	if err != nil {
		return "", &Error{Op: "formatting", Handler: h.Name, Err: err}
	}
	return line, nil
}

func (h Handler) registration() (string, error) {
	if err := h.validate(); err != nil {
		return "", err
	}
	at := strings.IndexFunc(delimiters, func(d rune) bool {
		return !strings.ContainsRune(h.Name+h.Extension+h.Interpreter, d)
	})
	if at < 0 {
		return "", invalid("every possible delimiter (%s) occurs in name, extension or interpreter", delimiters)
	}
	kind, offset, match := "M", "", escape(h.Magic)
	if h.Extension != "" {
		kind, match = "E", h.Extension
	}
	if h.Offset != 0 {
		offset = strconv.Itoa(h.Offset)
	}
	delimiter := delimiters[at : at+1]
	line := delimiter + strings.Join([]string{
		h.Name, kind, offset, match, escape(h.Mask), h.Interpreter, canonicalFlags(h.Flags),
	}, delimiter)
	if len(line) > maxRegistration {
		return "", invalid("the registration has %d bytes, the kernel takes %d", len(line), maxRegistration)
	}
	return line, nil
}

// ParseRegistration parses a line for the "register" file, with or without the
// newline at its end. Errors are [ErrInvalid].
func ParseRegistration(line string) (Handler, error) {
	h, err := parseRegistration(line)
	if err == nil {
		err = h.validate()
	}
	if err != nil {
		return Handler{}, &Error{Op: fmt.Sprintf("parsing registration %q", line), Err: err}
	}
	return h, nil
}

func parseRegistration(line string) (Handler, error) {
	h := Handler{Enabled: true}
	if len(line) > maxRegistration {
		return h, invalid("it has %d bytes, the kernel takes %d", len(line), maxRegistration)
	}
	line = strings.TrimSuffix(line, "\n")
	if line == "" || strings.Contains(line, "\x00") {
		return h, invalid("it is empty or has a NUL in it")
	}
	delimiter := line[0]
	if delimiter == '\\' || isAlphanumeric(delimiter) {
		return h, invalid("%q cannot be the delimiter", delimiter)
	}
	fields := strings.Split(line[1:], string(line[:1]))
	if len(fields) != 7 {
		return h, invalid("it has %d fields, not 7", len(fields))
	}
	h.Name, h.Interpreter, h.Flags = fields[0], fields[5], canonicalFlags(fields[6])
	switch fields[1] {
	case "E": // the kernel skips offset and mask
		h.Extension = fields[3]
		return h, nil
	case "M":
		return h, h.setMagic(fields[2], fields[3], fields[4])
	default:
		return h, invalid("type %q is neither M nor E", fields[1])
	}
}

func (h *Handler) setMagic(offset, magic, mask string) (err error) {
	if offset != "" {
		if h.Offset, err = parseOffset(offset); err != nil {
			return err
		}
	}
	if h.Magic, err = unescape(magic); err != nil {
		return err
	}
	h.Mask, err = unescape(mask)
	return err
}

// escape writes letters and digits as they are. Everything else, which
// includes NUL, backslash and every delimiter, becomes \xHH.
func escape(data []byte) string {
	var out strings.Builder
	for _, b := range data {
		if isAlphanumeric(b) {
			out.WriteByte(b)
		} else {
			fmt.Fprintf(&out, `\x%02x`, b)
		}
	}
	return out.String()
}

// unescape is the kernel's rule: \x and two hexadecimal digits are a byte,
// any other backslash is a backslash. An empty field gives nil.
func unescape(text string) ([]byte, error) {
	var out []byte
	for len(text) > 0 {
		digits, escaped := strings.CutPrefix(text, `\x`)
		if !escaped {
			out = append(out, text[0])
			text = text[1:]
			continue
		}
		if len(digits) < 2 {
			return nil, invalid("%q at the end lacks a hexadecimal digit", text)
		}
		b, err := hex.DecodeString(digits[:2])
		if err != nil {
			return nil, invalid("%q is not two hexadecimal digits", `\x`+digits[:2])
		}
		out = append(out, b...)
		text = digits[2:]
	}
	return out, nil
}

func isAlphanumeric(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
}
