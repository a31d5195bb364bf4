package foreign

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

const (
	// logSize is what a log may hold that has not been read yet: 32 768 records. It
	// is read several times a second.
	logSize = 4 << 20
	// drainAt is how much there must be for a read between the first and the last.
	drainAt = logSize / 16
	// maxPrograms bounds what is remembered of a log. Whoever writes more different
	// records than that is no build.
	maxPrograms = 20_000
)

// logs makes the log of each step: a file in a file system in memory of its own.
// The kernel holds a step to the size of that, whatever it writes and however fast,
// which no check after the fact could; and when the engine dies, its mounts are gone
// with its mount namespace. Only empty directories can be left behind.
type logs struct{ dir string }

// newLogs removes what an engine that was killed has left.
func newLogs(dir string) (logs, error) {
	if err := os.RemoveAll(dir); err != nil {
		return logs{}, fmt.Errorf("removing the logs of an earlier engine: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return logs{}, fmt.Errorf("making the directory of the steps' logs: %w", err)
	}
	return logs{dir}, nil
}

// create makes the log of the step in a container.
func (l logs) create(container string) (_ *stepLog, err error) {
	dir := filepath.Join(l.dir, container)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the step's log: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(dir))
		}
	}()
	if err := unix.Mount("mabuild", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC,
		fmt.Sprintf("mode=0700,nr_inodes=2,size=%d", logSize)); err != nil {
		return nil, fmt.Errorf("mounting a file system for the step's log: %w", err)
	}
	// Users of the container without rights of root write to it as well. The engine
	// has no umask.
	file, err := os.OpenFile(filepath.Join(dir, "log"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making the step's log: %w", err), unix.Unmount(dir, unix.MNT_DETACH))
	}
	return &stepLog{file: file, counts: map[dispatch.Exec]int{}}, nil
}

// stepLog is the log of one step, and what has been read of it.
type stepLog struct {
	mu     sync.Mutex
	file   *os.File
	read   int64 // up to where
	counts map[dispatch.Exec]int
	cut    bool
}

func (l *stepLog) path() string { return l.file.Name() }

// drain takes over what has been written since the last time, if that is at least
// so much, and frees its memory. Writers append behind, undisturbed.
func (l *stepLog) drain(least int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	info, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("reading the step's log: %w", err)
	}
	if info.Size() < l.read { // the step has truncated it
		l.read = 0
	}
	// A hole takes no memory: a step can make the file look longer than it is.
	fresh := info.Size() - l.read
	if fresh < least || fresh == 0 {
		return nil
	}
	if fresh > logSize {
		l.cut, fresh = true, logSize
	}
	data := make([]byte, fresh)
	n, err := l.file.ReadAt(data, l.read)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the step's log: %w", err)
	}
	l.read = info.Size()
	log, err := dispatch.ReadRecords(bytes.NewReader(data[:n]), logSize)
	if err != nil {
		return err
	}
	l.count(log.Execs())
	const flags = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	if err := unix.Fallocate(int(l.file.Fd()), flags, 0, l.read); err != nil {
		return fmt.Errorf("emptying the step's log: %w", err)
	}
	return nil
}

func (l *stepLog) count(execs []dispatch.Exec) {
	for _, exec := range execs {
		n := exec.Count
		exec.Count = 0
		if _, known := l.counts[exec]; !known && len(l.counts) >= maxPrograms {
			l.cut = true
			continue
		}
		l.counts[exec] += n
	}
}

// fill puts what was read into the record of the step.
func (l *stepLog) fill(step *dispatch.Step) {
	l.mu.Lock()
	defer l.mu.Unlock()
	step.Partial = l.cut
	for exec, n := range l.counts {
		exec.Count = n
		step.Execs = append(step.Execs, exec)
		if exec.Kind == dispatch.Native {
			step.Hits += n
			continue
		}
		if step.Misses == nil {
			step.Misses = map[dispatch.Kind]int{}
		}
		step.Misses[exec.Kind] += n
	}
}

// remove ends the log.
func (l *stepLog) remove() error {
	dir := filepath.Dir(l.path())
	err := errors.Join(l.file.Close(), unix.Unmount(dir, unix.MNT_DETACH), os.Remove(dir))
	if err != nil {
		return fmt.Errorf("removing the step's log: %w", err)
	}
	return nil
}
