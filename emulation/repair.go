package emulation

import (
	"errors"
	"io/fs"
)

// Repaired is a handler that [Table.Repair] has put right.
type Repaired struct {
	Handler Handler
	// Reason says what was wrong: "was missing", "was switched off", or in what
	// it differed.
	Reason string
}

// Repair makes the table have the expected handlers as they are: it registers
// those that are missing and replaces those that something has changed since.
// Handlers of other names are not touched. It costs a few reads when nothing is
// wrong, and several processes may do it at once.
//
// It is for a table of the caller's own, which others have no business in: on
// the host's it would fight with whoever changes it. One handler that cannot be
// repaired does not stop the others; the error joins those of [Table.Register]
// and [Table.Remove]. A table that is switched off as a whole stays so.
func (t *Table) Repair(expected []Handler) ([]Repaired, error) {
	var repaired []Repaired
	var errs []error
	for _, want := range expected {
		reason, err := t.repair(want)
		switch {
		case err != nil:
			errs = append(errs, err)
		case reason != "":
			repaired = append(repaired, Repaired{Handler: want, Reason: reason})
		}
	}
	return repaired, errors.Join(errs...)
}

// repair returns "" if there was nothing to do.
func (t *Table) repair(want Handler) (reason string, err error) {
	have, err := t.Handler(want.Name)
	difference := ""
	switch {
	case errors.Is(err, ErrNotMounted):
		return "", err
	case errors.Is(err, fs.ErrNotExist):
		return "was missing", t.Register(want)
	case errors.Is(err, ErrInvalid): // no handler of ours, then
		difference = "text that cannot be read"
	case err != nil:
		return "", err
	default:
		difference = have.Difference(want)
	}
	if difference == "" {
		if have.Enabled {
			return "", nil
		}
		return "was switched off", t.Register(want)
	}
	if err := t.Remove(want.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return "had " + difference, t.Register(want)
}
