//go:build !linux

package host

import (
	"context"
	"os"
	"time"

	"github.com/mabuild/mabuild/emulation"
)

func checkTrusted(string) error { return emulation.ErrUnsupported }

func statusChange(info os.FileInfo) time.Time { return info.ModTime() }

// lock is never reached: opening the table comes first and needs Linux.
func lock(context.Context, string) (unlock func(), err error) {
	return nil, emulation.ErrUnsupported
}
