package contexts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/buildkit/util/archiveutil"
	digest "github.com/opencontainers/go-digest"
)

// download is what an http server had.
type download struct {
	path     string // of the file with it
	max      int64  // size of the archive's content
	digest   digest.Digest
	modified *time.Time
	archive  *archive // nil if it is none
}

// headerSize is how much of a file BuildKit looks at to tell whether it is an archive.
const headerSize = 1024

func (c *Client) download(ctx context.Context, s source, dir string) (*download, error) {
	d := &download{path: filepath.Join(dir, "body"), max: 8 * c.opts.MaxSize}
	if err := d.get(ctx, s.url, c.opts); err != nil {
		return nil, err
	}
	if s.checksum != "" && d.digest.String() != s.checksum {
		return nil, &hintError{fmt.Errorf("the file has the digest %s, not %s", d.digest, s.checksum), "change the checksum if the file is what you want"}
	}
	header, err := d.raw(headerSize)
	if err != nil || !archiveutil.IsArchive(header) {
		return d, err
	}
	d.archive, err = index(ctx, d.path, d.max)
	return d, err
}

// get writes the answer of the server to a file.
func (d *download) get(ctx context.Context, url string, opts Options) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return withoutURL(err)
	}
	response, err := (&http.Client{Transport: opts.Transport}).Do(request)
	if err != nil {
		return &hintError{withoutURL(err), unreachableHint(err)}
	}
	defer response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode >= 400 {
		return statusError(response.StatusCode)
	}
	tooLarge := &hintError{fmt.Errorf("it is larger than %d MiB", opts.MaxSize>>20), "download and unpack it, and give the directory"}
	if response.ContentLength > opts.MaxSize {
		return tooLarge
	}
	file, err := os.OpenFile(d.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keeping the download: %w", err)
	}
	defer file.Close()
	hash := digest.SHA256.Digester()
	size, err := io.Copy(io.MultiWriter(file, hash.Hash()), io.LimitReader(response.Body, opts.MaxSize+1))
	switch {
	case err != nil:
		return &hintError{fmt.Errorf("downloading it: %w", withoutURL(err)), "try again"}
	case size > opts.MaxSize:
		return tooLarge
	}
	d.digest = hash.Digest()
	if modified, err := http.ParseTime(response.Header.Get("Last-Modified")); err == nil {
		d.modified = &modified
	}
	return file.Close()
}

// withoutURL drops the address from an error of package http, which may have a
// password or a signature, also after a redirection.
func withoutURL(err error) error {
	if failed := (*url.Error)(nil); errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

func unreachableHint(err error) string {
	if dns := (*net.DNSError)(nil); errors.As(err, &dns) {
		return "check the host's name, and the proxy if there is one (HTTPS_PROXY)"
	}
	if strings.Contains(err.Error(), "certificate") {
		return "make the authority known to this machine"
	}
	return "check the host, the network, and the proxy if there is one (HTTPS_PROXY)"
}

func statusError(code int) error {
	hint := "try again later"
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden:
		hint = "the server wants credentials: put them into the URL, or download it and give the directory"
	case http.StatusNotFound, http.StatusGone:
		hint = "check the URL; what is private may look the same"
	}
	return &hintError{fmt.Errorf("the server answers %d %s", code, http.StatusText(code)), hint}
}

func (d *download) raw(limit int64) ([]byte, error) {
	file, err := os.Open(d.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, limit))
}

func (d *download) readFile(ctx context.Context, name string, limit int64, unpack bool) ([]byte, error) {
	if unpack && d.archive != nil {
		return d.archive.read(ctx, name, limit)
	}
	_, err := find(func(name string) (entry, error) {
		switch name {
		case "":
			return entry{mode: os.ModeDir}, nil
		case rawName:
			return entry{}, nil
		}
		return entry{}, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	}, name)
	if err != nil {
		return nil, err
	}
	return d.raw(limit)
}

func (d *download) describe(c *Context) {
	c.Kind, c.Digest = File, d.digest
	if d.archive != nil {
		c.Kind = Archive
	}
}

// dockerfiles lists some files that look like one.
func (d *download) dockerfiles(context.Context) []string {
	if d.archive == nil {
		return nil
	}
	return d.archive.dockerfiles
}
