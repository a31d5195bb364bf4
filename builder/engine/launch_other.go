//go:build !linux

package engine

import "context"

func supported() error {
	return &Error{
		Op: "starting the engine", Err: ErrUnsupported,
		Hint: "Name a BuildKit daemon with --node, for example docker-container://NAME or tcp://HOST:1234.",
	}
}

func launch(context.Context, Options, Settings) error { return supported() }

func (s State) peer(context.Context) (int, error) { return 0, ErrNotRunning }

func terminate(int, bool) error { return supported() }

func kill(int) error { return supported() }

func privateSupported() bool { return false }

// HasRuntime reports whether a runc that the engine can use is on PATH.
func HasRuntime() bool { return false }

// SingleIDRuntime is the name of a runtime that other systems do not have.
const SingleIDRuntime = "mabuild-runc-single-id"

// ExecSingleID needs Linux.
func ExecSingleID([]string) error { return supported() }

// Run is the engine process; it needs Linux.
func Run(context.Context, RunOptions) error { return supported() }
