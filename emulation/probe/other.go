//go:build !linux

package probe

import (
	"context"
	"fmt"
	"runtime"

	"github.com/mabuild/mabuild/emulation"
)

// Run needs Linux: the error is [emulation.ErrUnsupported].
func Run(context.Context, Options) ([]Result, error) { return nil, unsupported() }

// Version needs Linux: the error is [emulation.ErrUnsupported].
func Version(context.Context, emulation.Arch) (emulation.Version, error) {
	return emulation.Version{}, unsupported()
}

func unsupported() error {
	return &emulation.Error{
		Op:   "running programs of other architectures",
		Err:  fmt.Errorf("%w by %s", emulation.ErrUnsupported, runtime.GOOS),
		Hint: "build on a remote node or in a Linux virtual machine",
	}
}
