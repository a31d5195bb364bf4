package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// upload is one blob on its way to a repository.
//
// containerd's pusher isn't used for it. Its writer waits for ever when a request
// ends before its body is read, which happens when the context ends early or the
// token for the last request can't be had (core/remotes/docker/pusher.go,
// pushWriter.Write).
type upload struct {
	c         *Client
	host      docker.RegistryHost
	t         target
	desc      ocispec.Descriptor
	open      func() (io.ReadCloser, error)
	mountFrom string // repository of the same registry that has the blob, or empty
}

// run uploads the blob unless it is there, in one piece.
func (u *upload) run(ctx context.Context) error {
	there, err := u.c.exists(ctx, u.host, u.t, u.desc)
	if there || err != nil {
		return err
	}
	to, err := u.start(ctx)
	if to == nil || err != nil {
		return err
	}
	return u.finish(ctx, to)
}

// start asks for a place to upload to. It returns nil if none is needed because
// the registry took the blob from another repository.
func (u *upload) start(ctx context.Context) (*url.URL, error) {
	r := call{method: http.MethodPost, t: u.t, kind: "blobs", object: "uploads/"}
	if u.mountFrom != "" {
		r.query = url.Values{"mount": {u.desc.Digest.String()}, "from": {u.mountFrom}}
		r.alsoPull = u.mountFrom
	}
	resp, err := u.c.do(ctx, u.host, r)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusCreated {
		return nil, nil //nolint:nilnil // there is nothing to upload to, and nothing wrong
	}
	to, err := locate(u.host, resp.Header.Get("Location"))
	if err != nil {
		return nil, err
	}
	// Appended, not encoded anew: the rest may be signed.
	if to.RawQuery != "" {
		to.RawQuery += "&"
	}
	to.RawQuery += "digest=" + url.QueryEscape(u.desc.Digest.String())
	return to, nil
}

// locate reads where an upload is to go. Errors leave the location out: it may
// hold a token.
func locate(host docker.RegistryHost, location string) (*url.URL, error) {
	switch {
	case location == "":
		return nil, errors.New("the registry doesn't say where to upload to")
	case strings.HasPrefix(location, "/"):
		location = host.Scheme + "://" + host.Host + location
	case !strings.Contains(location, "://"):
		location = host.Scheme + "://" + location // seen in the wild, says containerd
	}
	to, err := url.Parse(location)
	if err != nil || to.Host == "" {
		return nil, errors.New("the registry says to upload to something that isn't a URL")
	}
	return to, nil
}

// finish sends the blob.
func (u *upload) finish(ctx context.Context, to *url.URL) error {
	var broken atomic.Pointer[error]
	open := func() (io.ReadCloser, error) {
		content, err := u.open()
		if err != nil {
			broken.Store(&err)
			return nil, err
		}
		return &sourceReader{ReadCloser: content, size: u.desc.Size, broken: &broken}, nil
	}
	resp, err := u.c.do(ctx, u.host, call{
		method: http.MethodPut, t: u.t, url: to, open: open, size: u.desc.Size,
		header: http.Header{"Content-Type": {"application/octet-stream"}},
	})
	if cause := broken.Load(); err != nil && cause != nil && ctx.Err() == nil {
		return *cause // more to the point than what net/http makes of it
	}
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// sourceReader reads what is uploaded and notes what is wrong with it.
type sourceReader struct {
	io.ReadCloser
	size   int64
	read   int64
	broken *atomic.Pointer[error]
}

func (r *sourceReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.read += int64(n)
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
		err = fmt.Errorf("reading what is to be uploaded: %w", err)
	case r.read < r.size:
		// Not io.ErrUnexpectedEOF: reading it again wouldn't make it longer.
		err = fmt.Errorf("reading what is to be uploaded: it ends after %d of %d bytes", r.read, r.size)
	default:
		return n, io.EOF
	}
	r.broken.Store(&err)
	return n, err
}
