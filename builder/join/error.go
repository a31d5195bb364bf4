package join

import (
	"errors"
	"fmt"
	"strings"
)

// ErrSources is matched by errors about sources that can be joined when they are
// named differently.
var ErrSources = errors.New("the sources can't be joined as they are named")

// choiceError is a mistake in what was chosen.
type choiceError struct{ text string }

func (e *choiceError) Error() string { return e.text }

// Is makes the error match ErrSources.
func (e *choiceError) Is(err error) bool { return err == ErrSources }

func choicef(format string, args ...any) error {
	return &choiceError{fmt.Sprintf(format, args...)}
}

// PartialError says which tags were written before one could not be.
type PartialError struct {
	Done, Left []string
	Err        error
}

func (e *PartialError) Error() string {
	return fmt.Sprintf("%v\nWritten: %s. Not written: %s. Run the command again to finish.",
		e.Err, strings.Join(e.Done, ", "), strings.Join(e.Left, ", "))
}

// Unwrap returns why the first of those that are left was not written.
func (e *PartialError) Unwrap() error { return e.Err }
