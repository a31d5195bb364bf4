package emulation_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/mabuild/mabuild/emulation"
)

func TestError(t *testing.T) {
	cause := fmt.Errorf("%w: %w", emulation.ErrPermission, fs.ErrPermission)
	for want, err := range map[string]*emulation.Error{
		`removing handler "qemu-arm": no permission: permission denied; run the command as root`: {
			Op: "removing", Handler: "qemu-arm", Err: cause, Hint: "run the command as root",
		},
		"opening /x: no permission: permission denied": {Op: "opening /x", Err: cause},
	} {
		t.Run(want, func(t *testing.T) {
			if err.Error() != want {
				t.Errorf("message %q", err)
			}
			if !errors.Is(err, emulation.ErrPermission) || !errors.Is(err, fs.ErrPermission) {
				t.Errorf("%v does not wrap its cause", err)
			}
		})
	}
}
