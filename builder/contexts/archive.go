package contexts

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/moby/buildkit/util/archiveutil"
)

// archive is a tar file, plain or compressed. It is not unpacked: files are read from
// where they are in it.
type archive struct {
	path        string
	max         int64
	entries     map[string]entry
	dockerfiles []string // some, for a hint

	steps   int               // bytes of paths that were looked up to find the folders of entries
	linked  bool              // there are symbolic links
	folders map[string]string // where they are, until a symbolic link may change that
}

const (
	maxNames   = 64 << 20 // bytes of all names and links
	maxEntries = 1 << 20
	maxName    = 4096     // as for Linux
	maxSteps   = 64 << 20 // more than an archive needs that is not made for it
)

var errTooMany = &hintError{errors.New("the archive has too many files or links"), "unpack it and give the directory"}

// index reads the names in an archive.
func index(ctx context.Context, file string, limit int64) (*archive, error) {
	a := &archive{path: file, max: limit, entries: make(map[string]entry), folders: make(map[string]string)}
	names := 0
	err := a.walk(ctx, func(ordinal int, header *tar.Header, _ io.Reader) error {
		names += len(header.Name) + len(header.Linkname)
		if names > maxNames || ordinal > maxEntries || len(header.Name) > maxName || len(header.Linkname) > maxName {
			return errTooMany
		}
		return a.add(ordinal, header)
	})
	return a, err
}

// add notes an entry under the path at which it would be unpacked.
func (a *archive) add(ordinal int, header *tar.Header) error {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	clean := path.Clean(header.Name)
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return &hintError{fmt.Errorf("%q in the archive leads out of it", printable(header.Name)), "BuildKit refuses such archives; pack it anew"}
	}
	dir, base := path.Split(path.Clean("/" + header.Name)[1:])
	if base == "" {
		return nil // the root
	}
	dir, err := a.folder(dir)
	if err != nil {
		return err
	}
	name := path.Join(dir, base)
	e := entry{ordinal: ordinal}
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
	case tar.TypeDir:
		e = entry{mode: fs.ModeDir}
	case tar.TypeSymlink:
		e = entry{mode: fs.ModeSymlink, link: header.Linkname}
		a.linked = true
		clear(a.folders)
	case tar.TypeLink:
		var ok bool
		if e, ok = a.entries[path.Clean("/" + header.Linkname)[1:]]; !ok {
			return nil // BuildKit says so if it unpacks it
		}
	default:
		e = entry{mode: fs.ModeDevice}
	}
	a.entries[name] = e
	if e.mode.IsRegular() && isDockerfile(name) && len(a.dockerfiles) < maxCandidates {
		a.dockerfiles = append(a.dockerfiles, printable(name))
	}
	return nil
}

// folder finds the folder that an entry would be unpacked into.
func (a *archive) folder(dir string) (string, error) {
	if !a.linked {
		return dir, nil
	}
	if real, ok := a.folders[dir]; ok {
		return real, nil
	}
	real, err := resolve(a.loose, dir)
	if err == nil {
		a.folders[dir] = real
	}
	return real, err
}

// loose looks up an entry that may come later, or never: folders need none.
func (a *archive) loose(name string) (entry, error) {
	if a.steps += len(name); a.steps > maxSteps {
		return entry{}, errTooMany
	}
	if e, ok := a.entries[name]; ok {
		return e, nil
	}
	return entry{mode: fs.ModeDir}, nil
}

func (a *archive) lookup(name string) (entry, error) {
	if name == "" {
		return entry{mode: fs.ModeDir}, nil
	}
	if e, ok := a.entries[name]; ok {
		return e, nil
	}
	prefix := name + "/"
	for other := range a.entries { // a folder without an entry
		if strings.HasPrefix(other, prefix) {
			return entry{mode: fs.ModeDir}, nil
		}
	}
	return entry{}, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// errFound ends a walk.
var errFound = errors.New("found")

func (a *archive) read(ctx context.Context, name string, limit int64) ([]byte, error) {
	e, err := find(a.lookup, name)
	if err != nil {
		return nil, err
	}
	var content []byte
	err = a.walk(ctx, func(ordinal int, _ *tar.Header, body io.Reader) error {
		if ordinal != e.ordinal {
			return nil
		}
		var err error
		if content, err = io.ReadAll(io.LimitReader(body, limit)); err == nil {
			err = errFound
		}
		return err
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return content, err
}

// walk calls fn for every entry, counted from 1.
func (a *archive) walk(ctx context.Context, fn func(ordinal int, header *tar.Header, body io.Reader) error) (err error) {
	file, err := os.Open(a.path)
	if err != nil {
		return err
	}
	defer file.Close()
	unpacked, stop, err := decompress(ctx, file)
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := stop(); err == nil {
			err = stopErr
		}
	}()
	var read int64
	reader := tar.NewReader(readerFunc(func(p []byte) (int, error) {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		n, err := unpacked.Read(p)
		if read += int64(n); read > a.max {
			return n, errTooLarge
		}
		return n, err
	}))
	for ordinal := 1; ; ordinal++ {
		header, err := reader.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return a.broken(ctx, err, ordinal)
		}
		if err := fn(ordinal, header, reader); err != nil {
			return err
		}
	}
}

var errTooLarge = errors.New("the archive is too large")

// broken explains why no entry can be read.
func (a *archive) broken(ctx context.Context, err error, ordinal int) error {
	var hinted *hintError
	switch {
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case errors.As(err, &hinted):
		return err
	case errors.Is(err, errTooLarge):
		return &hintError{fmt.Errorf("unpacked, it is larger than %d MiB", a.max>>20), "unpack it and give the directory"}
	case ordinal == 1:
		return &hintError{fmt.Errorf("it is compressed, but no tar archive: %w", err), "give an archive made by tar, plain or compressed by gzip, bzip2, xz or zstd"}
	}
	return &hintError{fmt.Errorf("the archive is damaged: %w", err), "try again, or pack it anew"}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func nothing() error { return nil }

// decompress tells the compression by the first bytes, as BuildKit does.
func decompress(ctx context.Context, file io.Reader) (io.Reader, func() error, error) {
	buffered := bufio.NewReaderSize(file, 64<<10)
	header, _ := buffered.Peek(16) // a short file is no error here
	switch {
	case archiveutil.HasGzipPrefix(header):
		reader, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, nil, &hintError{fmt.Errorf("it is no valid gzip file: %w", err), "try again, or pack it anew"}
		}
		return reader, nothing, nil
	case bytes.HasPrefix(header, []byte("BZh")):
		return bzip2.NewReader(buffered), nothing, nil
	case archiveutil.HasZstdPrefix(header):
		// Windows up to 128 MiB are what programs accept without being asked to.
		reader, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, nil, err
		}
		return reader, func() error { reader.Close(); return nil }, nil
	case bytes.HasPrefix(header, []byte("\xfd7zXZ\x00")):
		return xz(ctx, buffered)
	}
	return buffered, nothing, nil
}

// xz has the program of that name decompress, as BuildKit does.
func xz(ctx context.Context, file io.Reader) (io.Reader, func() error, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	cmd := exec.CommandContext(ctx, "xz", "--decompress", "--stdout", "--quiet", "--memlimit-decompress=256MiB")
	cmd.Stdin = file
	stderr := &limited{max: 4 << 10}
	cmd.Stderr = stderr
	isolate(cmd)
	reader, writer := io.Pipe()
	cmd.Stdout = writer
	if err := cmd.Start(); err != nil {
		cancel(nil)
		return nil, nil, &hintError{fmt.Errorf("the program xz is missing: %w", err), "install xz-utils, or unpack the archive and give the directory"}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := cmd.Wait()
		if err != nil {
			err = &hintError{fmt.Errorf("xz: %s", printable(strings.TrimSpace(stderr.String()))), "try again, or pack it anew"}
		}
		_ = writer.CloseWithError(err)
	}()
	return reader, func() error {
		cancel(nil)
		_ = reader.Close()
		<-ended
		return nil
	}, nil
}
