package toolbox

import "errors"

// The errors of this package, to be tested with errors.Is.
var (
	// ErrDamaged: a toolbox is not what its box.json says, or that says what none
	// can be.
	ErrDamaged = errors.New("the toolbox is damaged")
	// ErrFormat: a toolbox was made by another version of mabuild.
	ErrFormat = errors.New("unknown format of toolbox")
	// ErrUnsuited: a base has nothing that toolboxes are made from.
	ErrUnsuited = errors.New("no toolbox is made for this base")
)

// Error is the error of every function in this package that touches files.
type Error struct {
	Op   string // what was being done, as a gerund: "installing toolbox 0123"
	Err  error  // wraps one of the sentinels above where one applies
	Hint string // what to do about it; may be empty
}

func (e *Error) Error() string {
	text := e.Op + ": " + e.Err.Error()
	if e.Hint != "" {
		text += "\n" + e.Hint
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }
