package uploads

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
)

// Patience is how long others wait for an upload that has been announced by a HEAD
// and has not begun. Between the two is one POST, and perhaps a visit to the
// registry's token server.
const Patience = 5 * time.Second

// Uploads are the uploads of one process. The zero value is ready to use.
type Uploads struct {
	mu     sync.Mutex
	claims map[blob]*claim
}

// blob names content in a repository of a registry.
type blob struct{ host, repository, digest string }

// claim is one job's intent to upload a blob.
type claim struct {
	ended chan struct{}
	// lapse ends the claim if no upload begins.
	lapse *time.Timer
}

// Hosts returns the registries with clients that take part.
func (u *Uploads) Hosts(hosts docker.RegistryHosts) docker.RegistryHosts {
	return func(name string) ([]docker.RegistryHost, error) {
		found, err := hosts(name)
		for i := range found {
			if !found[i].Capabilities.Has(docker.HostCapabilityPush) {
				continue
			}
			client := http.Client{}
			if found[i].Client != nil {
				client = *found[i].Client
			}
			client.Transport = u.Transport(client.Transport)
			found[i].Client = &client
		}
		return found, err
	}
}

// Transport returns next, nil meaning [http.DefaultTransport], with HEADs that wait
// for running uploads.
func (u *Uploads) Transport(next http.RoundTripper) http.RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	return transport{uploads: u, next: next}
}

type transport struct {
	uploads *Uploads
	next    http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	switch r.Method {
	case http.MethodHead:
		if b, ok := asked(r); ok {
			return t.ask(r, b)
		}
	case http.MethodPost:
		if b, ok := mounted(r); ok {
			response, err := t.next.RoundTrip(r)
			if err == nil && response.StatusCode == http.StatusCreated {
				t.uploads.drop(b, t.uploads.begin(b))
			}
			return response, err
		}
	case http.MethodPut:
		if b, ok := uploaded(r); ok {
			defer t.uploads.drop(b, t.uploads.begin(b))
		}
	}
	return t.next.RoundTrip(r)
}

// ask sends a HEAD when nobody else asks for the blob or uploads it, and keeps the claim
// if it is not there.
func (t transport) ask(r *http.Request, b blob) (*http.Response, error) {
	mine, err := t.uploads.claim(r.Context(), b)
	if err != nil {
		return nil, err
	}
	response, err := t.next.RoundTrip(r)
	if err != nil || response.StatusCode != http.StatusNotFound {
		t.uploads.drop(b, mine)
		return response, err
	}
	mine.lapse.Reset(Patience)
	return response, nil
}

// claim waits until the blob is free and takes it.
func (u *Uploads) claim(ctx context.Context, b blob) (*claim, error) {
	mine := &claim{ended: make(chan struct{})}
	for {
		u.mu.Lock()
		running, taken := u.claims[b]
		if !taken {
			break
		}
		u.mu.Unlock()
		select {
		case <-running.ended:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	defer u.mu.Unlock()
	if u.claims == nil {
		u.claims = map[blob]*claim{}
	}
	u.claims[b] = mine
	mine.lapse = time.AfterFunc(Patience, func() { u.drop(b, mine) })
	mine.lapse.Stop() // it runs from the answer on
	return mine, nil
}

// begin returns the claim to the blob, nil if there is none, and keeps it for as long
// as the upload takes.
func (u *Uploads) begin(b blob) *claim {
	u.mu.Lock()
	defer u.mu.Unlock()
	running := u.claims[b]
	if running != nil {
		running.lapse.Stop()
	}
	return running
}

// drop ends this claim, and no later one to the same blob.
func (u *Uploads) drop(b blob, which *claim) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if which != nil && u.claims[b] == which {
		which.lapse.Stop()
		delete(u.claims, b)
		close(which.ended)
	}
}

// asked is the blob of HEAD /v2/REPOSITORY/blobs/DIGEST.
func asked(r *http.Request) (blob, bool) {
	repository, digest, ok := cutLast(r.URL.Path, "/blobs/")
	return blob{r.URL.Host, repository, digest}, ok && !strings.Contains(digest, "/")
}

// mounted is the blob of POST /v2/REPOSITORY/blobs/uploads/?mount=DIGEST.
func mounted(r *http.Request) (blob, bool) {
	return inUpload(r, "mount")
}

// uploaded is the blob of PUT /v2/REPOSITORY/blobs/uploads/…?digest=DIGEST. Registries
// choose that address; if it is unlike this one the claim lapses.
func uploaded(r *http.Request) (blob, bool) {
	return inUpload(r, "digest")
}

func inUpload(r *http.Request, parameter string) (blob, bool) {
	repository, _, ok := cutLast(r.URL.Path, "/blobs/uploads")
	digest := r.URL.Query().Get(parameter)
	return blob{r.URL.Host, repository, digest}, ok && digest != ""
}

// cutLast is [strings.Cut] at the last separator: a repository may be named "a/blobs/b".
func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}
