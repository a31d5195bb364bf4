//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package history

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// Whoever holds the exclusive lock is done within milliseconds, unless it was stopped or
// the machine is busy.
const (
	lockTries = 200
	lockWait  = 5 * time.Millisecond
)

// lockShared waits until nobody replaces the file, but not for ever.
func lockShared(f *os.File) error {
	for try := 1; ; try++ {
		err := flock(f, syscall.LOCK_SH)
		if unsupported(err) {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		if try == lockTries {
			return errors.New("another process has it locked")
		}
		time.Sleep(lockWait)
	}
}

// lockExclusive reports whether nobody else has the file.
func lockExclusive(f *os.File) (bool, error) {
	err := flock(f, syscall.LOCK_EX)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	if unsupported(err) {
		return true, nil
	}
	return err == nil, err
}

func flock(f *os.File, how int) error {
	for {
		if err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// unsupported tells file systems without locks. A record may get lost there when the
// file is cut at that very moment.
func unsupported(err error) bool {
	return errors.Is(err, syscall.ENOLCK) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS)
}
