package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/moby/buildkit/util/archiveutil"

	"github.com/mabuild/mabuild/builder/buildkit"
)

// stdin is the name of standard input as a build context or a Dockerfile.
const stdin = "-"

// archiveHeader is how much of a file shows that it is an archive.
const archiveHeader = 2 * 512

// spool is an archive from standard input, kept so that it can be read again: by the
// plan, and by every daemon that builds.
type spool struct {
	path string
	url  string // what the daemon calls it
}

// keep copies an archive to a file in dir.
func keep(r io.Reader, dir string) (*spool, error) {
	file, err := os.Create(filepath.Join(dir, "context.tar"))
	if err != nil {
		return nil, fmt.Errorf("keeping the build context from standard input: %w", err)
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(file, sum), r)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("keeping the build context from standard input: %w; set TMPDIR to where there is room", err)
	}
	return &spool{path: file.Name(), url: buildkit.ArchiveURL(hex.EncodeToString(sum.Sum(nil)))}, nil
}

// Open satisfies buildkit.SourceOptions.Archive.
func (s *spool) Open() (io.ReadCloser, error) { return os.Open(s.path) }

// RoundTrip answers the planner's requests for the archive, as a daemon is answered.
func (s *spool) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.String() != s.url {
		return http.DefaultTransport.RoundTrip(request)
	}
	file, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header), Body: file, ContentLength: info.Size(), Request: request,
	}, nil
}

// peekArchive reports whether what follows is an archive, without reading it.
func peekArchive(r *bufio.Reader) (archive, empty bool, err error) {
	header, err := r.Peek(archiveHeader)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, false, fmt.Errorf("reading standard input: %w", err)
	}
	return archiveutil.IsArchive(header), len(header) == 0, nil
}

// writeDockerfile puts a Dockerfile into an empty directory, where a daemon's frontend
// can ask for it, and for no other file beside it.
func writeDockerfile(dir string, text []byte) (path string, err error) {
	dir = filepath.Join(dir, "dockerfile")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("keeping the Dockerfile: %w", err)
	}
	path = filepath.Join(dir, defaultDockerfile)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("keeping the Dockerfile: %w", err)
	}
	return path, nil
}
