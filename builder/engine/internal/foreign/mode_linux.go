package foreign

import (
	"fmt"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// off is the value of an attribute that switches something off, on the opposite.
const (
	on  = "on"
	off = "off"
)

// mode is what a build wants for its emulated steps.
type mode struct {
	assist     string
	accounting bool
	verify     float64 // how probable it is that a step is compared
}

// parseMode reads a mode from a frontend's attributes or an operation's description.
func parseMode(values map[string]string) (mode, error) {
	m := mode{assist: dispatch.AssistProven, accounting: true}
	switch assist := values[dispatch.AssistAttribute]; assist {
	case "":
	case dispatch.AssistOff, dispatch.AssistProven, dispatch.AssistAll:
		m.assist = assist
	default:
		return m, fmt.Errorf("reading %s: unknown value %q; use off, proven or all", dispatch.AssistAttribute, assist)
	}
	switch accounting := values[dispatch.AccountingAttribute]; accounting {
	case "", on:
	case off:
		m.accounting = false
	default:
		return m, fmt.Errorf("reading %s: unknown value %q; use on or off", dispatch.AccountingAttribute, accounting)
	}
	var err error
	if m.verify, err = dispatch.ParseShare(values[dispatch.AssistVerifyAttribute]); err != nil {
		return m, fmt.Errorf("reading %s: %w", dispatch.AssistVerifyAttribute, err)
	}
	return m, nil
}
