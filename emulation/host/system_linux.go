package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mabuild/mabuild/emulation"
)

// checkTrusted returns an error for a program that others than root can change, or
// put another one in its place. With the flag C it runs with root's rights.
func checkTrusted(path string) error {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	for at := resolved; ; at = filepath.Dir(at) {
		var stat unix.Stat_t
		if err := unix.Stat(at, &stat); err != nil {
			return &os.PathError{Op: "stat", Path: at, Err: err}
		}
		// In a folder like /tmp, others cannot touch what is root's.
		shared := stat.Mode&0o022 != 0 && (at == resolved || stat.Mode&unix.S_ISVTX == 0)
		if stat.Uid != 0 || shared {
			return &emulation.Error{
				Op:   fmt.Sprintf("trusting %q to run with root's rights", path),
				Err:  fmt.Errorf("%w: others than root can change %q", emulation.ErrInvalid, at),
				Hint: "install QEMU where only root can write: run `apt-get install qemu-user-static`",
			}
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

// statusChange is when the file got the content or the name that it has.
func statusChange(info os.FileInfo) time.Time {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(stat.Ctim.Unix())
	}
	return info.ModTime()
}

// poll is how often a waiting process tries the lock again: flock(2) cannot be
// waited for together with a context.
const poll = 10 * time.Millisecond

// lock waits until no other process works with the state file. The lock ends
// with the process, however that ends.
func lock(ctx context.Context, state string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(state), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(state+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(err, file.Close())
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("waiting for another mabuild that changes handlers: %w", context.Cause(ctx)), file.Close())
		}
	}
}
