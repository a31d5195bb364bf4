package engine

import (
	"errors"
	"strings"
)

var (
	// ErrUnsupported is returned where the engine cannot run: it needs Linux.
	ErrUnsupported = errors.New("the built-in engine needs Linux")
	// ErrNotRunning is returned by [Stop] and [Inspect] when no engine runs.
	ErrNotRunning = errors.New("no engine is running")
	// ErrBusy is returned when another build uses an engine that would have to
	// be replaced first.
	ErrBusy = errors.New("the engine is in use with other settings")
	// ErrNoRuntime is returned when no usable runc is found.
	ErrNoRuntime = errors.New("no usable runc")
	// ErrConfig is returned for a buildkitd.toml that cannot be honoured.
	ErrConfig = errors.New("invalid engine configuration")
)

// Error says what the engine could not do and what the user can do about it.
type Error struct {
	Op   string // what was being done, as a gerund: "starting the engine"
	Err  error
	Hint string // an action, may be empty
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	if e.Hint != "" {
		b.WriteString("\n")
		b.WriteString(e.Hint)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }
