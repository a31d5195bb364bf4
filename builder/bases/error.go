package bases

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// ErrOffline is matched by errors about something that would have to be fetched.
var ErrOffline = errors.New("not in the cache, and no registry is asked while offline")

// Error is the error of [Resolver.Resolve] and [Resolver.Config]. Its message ends
// in the hint, if there is one.
type Error struct {
	Op   string // what was being done, such as "looking up base image"
	Ref  string // the reference in full, docker.io/library/alpine:latest
	Err  error  // what the registry's client says, or why the answer is no use
	Hint string // what to do about it; may be empty
}

// Error says what failed, why, and what to do.
func (e *Error) Error() string {
	text := e.Err.Error()
	// The registry's client names the reference itself.
	if !strings.Contains(text, e.Ref) {
		text = e.Ref + ": " + text
	}
	text = e.Op + " " + text
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

const offlineHint = "run it once without --offline"

// unreachable reports whether err says that the registry gave no answer, or asks to
// come back later.
func unreachable(err error) bool {
	var passing interface{ Transient() bool }
	if errors.As(err, &passing) && passing.Transient() {
		return true
	}
	// A request that got no answer has a cause that errors.As doesn't see.
	var broken interface {
		error
		Cause() error
	}
	if errors.As(err, &broken) {
		err = broken.Cause()
	}
	var network net.Error
	return errors.As(err, &network)
}

// ago says how long ago something was, for messages.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}
