package emulation

import (
	"errors"
	"strconv"
	"strings"
)

// The errors of this package, to be tested with errors.Is.
var (
	// ErrUnsupported: this system, kernel or platform cannot do what was asked.
	ErrUnsupported = errors.New("not supported")
	// ErrNotMounted: there is no binfmt_misc file system at the directory.
	ErrNotMounted = errors.New("binfmt_misc is not mounted")
	// ErrPermission: the caller may not read or change the table.
	ErrPermission = errors.New("no permission")
	// ErrReadOnly: the table can be read, but its mount is read-only.
	ErrReadOnly = errors.New("binfmt_misc is mounted read-only")
	// ErrExists: something else has the place: a different handler of the
	// same name, or a mounted instance.
	ErrExists = errors.New("already exists")
	// ErrNoQEMU: no usable QEMU for the architecture was found.
	ErrNoQEMU = errors.New("no usable QEMU")
	// ErrInvalid: a handler, a kernel text or an argument breaks a rule; the
	// message names the rule.
	ErrInvalid = errors.New("invalid")
)

// Error is the error of every function in this package that touches the
// system. Its message ends in the hint, if there is one.
type Error struct {
	Op      string // what was being done, as a gerund: "registering"
	Handler string // the handler it was done to; empty if it concerns none
	Err     error  // wraps one of the sentinels above where one applies
	Hint    string // what to do about it; may be empty
}

func (e *Error) Error() string {
	var text strings.Builder
	text.WriteString(e.Op)
	if e.Handler != "" {
		text.WriteString(" handler " + strconv.Quote(e.Handler))
	}
	text.WriteString(": " + e.Err.Error())
	if e.Hint != "" {
		text.WriteString("; " + e.Hint)
	}
	return text.String()
}

func (e *Error) Unwrap() error { return e.Err }
