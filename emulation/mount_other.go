//go:build !linux

package emulation

import (
	"fmt"
	"runtime"
)

// MountPrivate needs Linux: the error is [ErrUnsupported].
func MountPrivate(dir string) error {
	if dir == "" {
		dir = DefaultDir
	}
	return &Error{
		Op:   "mounting a private binfmt_misc on " + dir,
		Err:  fmt.Errorf("%w by %s", ErrUnsupported, runtime.GOOS),
		Hint: "build on a remote node or in a Linux virtual machine",
	}
}

// MountHost needs Linux: the error is [ErrUnsupported].
func MountHost(dir string) error { return MountPrivate(dir) }

// InUserNamespace is always false where there are none.
func InUserNamespace() (bool, error) { return false, nil }

func mountedReadOnly(string) bool { return false }

// KernelRelease needs Linux; it returns "".
func KernelRelease() string { return "" }

func kernelArchitecture() string { return "" }
