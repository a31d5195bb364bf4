package planner

import (
	"errors"
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// Error is a Dockerfile that cannot be planned, with the place where it goes
// wrong. Err keeps BuildKit's own error where there is one, so errors.As finds
// for example *instructions.UnknownInstructionError.
type Error struct {
	File  string // name of the Dockerfile as given in Options.Filename
	Line  int    // first line of the instruction, 0 if no line is to blame
	Stage string // name of the stage as in Stage.Name, empty outside stages
	Err   error
}

// Error returns "FILE:LINE: stage NAME: what is wrong"; parts that are not
// known are left out.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Stage != "" {
		fmt.Fprintf(&b, ": stage %s", e.Stage)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return b.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// located wraps an error of BuildKit's parser. The parser repeats the line in
// its message; the LocationError inside has the same message without it.
func located(file string, err error) *Error {
	var loc *parser.LocationError
	if !errors.As(err, &loc) {
		return &Error{File: file, Err: err}
	}
	e := &Error{File: file, Err: loc}
	if len(loc.Locations) > 0 {
		e.Line = FirstLine(loc.Locations[0])
	}
	return e
}

// PlatformError is an item of a platform list that names no platform. It is a
// mistake in how the command was called, not in the Dockerfile.
type PlatformError struct {
	Item   string // the item as written
	Reason string // the rule that it breaks
	Hint   string // what to write instead
}

// Error names the item, the rule and a right spelling.
func (e *PlatformError) Error() string {
	return fmt.Sprintf("platform %q: %s; %s", e.Item, e.Reason, e.Hint)
}
