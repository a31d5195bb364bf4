package output

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// unpacking is an archive on its way into a directory.
type unpacking struct {
	pipe *io.PipeWriter
	done chan struct{}
	err  error // to be read when done is closed
}

// Unpack takes an archive of the files that come into the i-th place, as BuildKit's
// tar exporter writes it, and unpacks it while it comes. Close reports whether all of
// it was unpacked; what was not leaves nothing in [Files.Stage]. A second archive for
// a place replaces the first one.
//
// Who writes may be stopped at any moment and never close the archive. [Files.Close]
// ends what is being unpacked then, and later writes are errors.
func (f *Files) Unpack(i int) (io.WriteCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.staged[i]
	if f.closed {
		return nil, fmt.Errorf("unpacking the files for %s: %w", s.place, fs.ErrClosed)
	}
	if s.unpacking != nil {
		s.unpacking.abandon()
	}
	err := removeAll(s.dir)
	if err == nil {
		err = os.Mkdir(s.dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("creating a directory for the files of %s: %w", s.place, err)
	}
	reader, writer := io.Pipe()
	u := &unpacking{pipe: writer, done: make(chan struct{})}
	s.unpacking = u
	dir, place := s.dir, s.place
	go func() {
		defer close(u.done)
		if u.err = untar(dir, reader); u.err != nil {
			_ = removeAll(dir) // or Files.Close does, and says why it cannot
		}
		if errors.Is(u.err, syscall.ENOSPC) { // which, told by a daemon, would be about its own disk
			u.err = fmt.Errorf("unpacking the files for %s: the disk is full: make room on it, or choose another dest", place)
		}
		_ = reader.CloseWithError(u.err) // writes fail with what the unpacking failed with
	}()
	return u, nil
}

func (u *unpacking) Write(p []byte) (int, error) { return u.pipe.Write(p) }

// Close returns when the archive is unpacked.
func (u *unpacking) Close() error {
	_ = u.pipe.Close() // is never an error
	<-u.done
	return u.err
}

// abandon ends an unpacking that has not come to its end.
func (u *unpacking) abandon() {
	_ = u.pipe.CloseWithError(fs.ErrClosed) // is never an error
	<-u.done
}

// abandonAll returns when nothing is being unpacked.
func (f *Files) abandonAll() {
	for _, s := range f.staged {
		if s.unpacking != nil {
			s.unpacking.abandon()
		}
	}
}
