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

func kernelRelease() string { return "" }

func kernelArchitecture() string { return "" }
