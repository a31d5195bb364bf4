package transfer

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
	"golang.org/x/sync/errgroup"
)

const (
	senders   = 4   // files that are read at a time
	waiting   = 128 // requests that are taken before the daemon has to wait
	chunkSize = 32 << 10
)

// stream is what files are sent through.
type stream interface {
	SendMsg(message any) error
	RecvMsg(message any) error
}

// request is a file that the daemon wants to have.
type request struct {
	number uint32
	path   string
}

// transfer is one directory on its way to a daemon: the names of all files, and the
// content of those that it asks for meanwhile.
type transfer struct {
	mu     sync.Mutex // of sending
	stream stream
	files  fsutil.FS
	names  names
	// first are names that hard links lead to, instead of ones that are not sent.
	first map[string]string
}

// send sends files until the daemon has all that it wants.
func send(ctx context.Context, to stream, files fsutil.FS) error {
	t := &transfer{stream: to, files: files, first: make(map[string]string)}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return t.tell(t.walk(ctx)) })
	requests := make(chan request, waiting)
	for range senders {
		group.Go(func() error {
			buffer := make([]byte, chunkSize)
			for wanted := range requests {
				if cause := context.Cause(ctx); cause != nil {
					return cause
				}
				if err := t.tell(t.content(wanted, buffer)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(requests)
		return t.listen(ctx, requests)
	})
	return group.Wait()
}

func (t *transfer) send(packet *types.Packet) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stream.SendMsg(packet)
}

// tell lets the daemon hear of an error, so that it ends the transfer: it would wait for
// a file, and listen for the daemon, for ever.
func (t *transfer) tell(err error) error {
	if err != nil {
		_ = t.send(&types.Packet{Type: types.PACKET_ERR, Data: []byte(err.Error())}) // or the connection is gone
	}
	return err
}

// listen hears what the daemon wants.
func (t *transfer) listen(ctx context.Context, requests chan<- request) error {
	for {
		var packet types.Packet
		if err := t.stream.RecvMsg(&packet); err != nil {
			return err
		}
		switch packet.Type {
		case types.PACKET_ERR:
			return fmt.Errorf("sending files: the daemon: %s", packet.Data)
		case types.PACKET_FIN:
			return t.send(&types.Packet{Type: types.PACKET_FIN})
		case types.PACKET_REQ:
			path, ok := t.names.file(packet.ID)
			if !ok {
				return fmt.Errorf("sending files: the daemon asked for number %d, which is no file", packet.ID)
			}
			select {
			case requests <- request{packet.ID, path}:
			case <-ctx.Done(): // it has not heard yet that it gets no more
			}
		}
	}
}

// content sends a file. One that has disappeared since it was listed is empty, as with
// fsutil: there is no way to take a name back, and temporary files of other programs
// shall not end builds. A file that is there and cannot be read would be a wrong one.
func (t *transfer) content(wanted request, buffer []byte) error {
	file, err := t.files.Open(wanted.path)
	switch {
	case disappeared(err):
	case err != nil:
		return unreadable(wanted.path, err)
	default:
		defer file.Close()
		if _, err := io.CopyBuffer(chunkWriter{t, wanted.number}, source{file, wanted.path}, buffer); err != nil {
			return err
		}
	}
	return t.send(&types.Packet{ID: wanted.number, Type: types.PACKET_DATA})
}

// source is a file whose errors are told from those of sending it.
type source struct {
	file io.Reader
	path string
}

func (s source) Read(buffer []byte) (int, error) {
	n, err := s.file.Read(buffer)
	if err != nil && err != io.EOF { //nolint:errorlint // a reader returns io.EOF itself
		err = unreadable(s.path, err)
	}
	return n, err
}

func unreadable(path string, err error) error {
	return fmt.Errorf("reading %s: %w; make it readable or list it in .dockerignore", path, err)
}

type chunkWriter struct {
	*transfer
	number uint32
}

func (w chunkWriter) Write(chunk []byte) (int, error) {
	if len(chunk) == 0 {
		return 0, nil
	}
	return len(chunk), w.send(&types.Packet{Type: types.PACKET_DATA, ID: w.number, Data: chunk})
}

// walk sends the names.
func (t *transfer) walk(ctx context.Context) error {
	err := t.files.Walk(ctx, string(filepath.Separator), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		stat, ok := info.Sys().(*types.Stat)
		if !ok {
			return fmt.Errorf("sending the name of %s: its description is a %T", path, info.Sys())
		}
		stat.Path, stat.Linkname = filepath.ToSlash(stat.Path), filepath.ToSlash(stat.Linkname)
		mode := fs.FileMode(stat.Mode)
		if stat.Linkname != "" && mode&fs.ModeSymlink == 0 && !mode.IsDir() {
			t.relink(stat)
		}
		t.names.add(stat.Path, mode&fs.ModeType == 0)
		return t.send(&types.Packet{Type: types.PACKET_STAT, Stat: stat})
	})
	if err != nil {
		return err
	}
	return t.send(&types.Packet{Type: types.PACKET_STAT}) // the end
}

// relink lets a hard link lead to a name that was sent: the first one may be excluded.
func (t *transfer) relink(stat *types.Stat) {
	if first, found := t.first[stat.Linkname]; found {
		stat.Linkname = first
		return
	}
	if !t.names.has(stat.Linkname) {
		t.first[stat.Linkname] = stat.Path
		stat.Linkname = ""
	}
}
