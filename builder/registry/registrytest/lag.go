package registrytest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// Lag is a registry that shows manifests and tags some time after it has accepted
// them, as registries with replicas do. An overwritten tag shows what it was
// before, and an index is refused while what it lists is not seen. It is safe for concurrent use. Set its fields before use.
type Lag struct {
	// Next is the registry. Nothing else may write to it.
	Next http.Handler
	// Now is the time. Default: time.Now.
	Now func() time.Time
	// Delay is how long something that is being written stays unseen. It is called
	// twice for a manifest with a tag: for the tag and for the digest.
	Delay func() time.Duration
	// Early reports whether one reader sees something all the same, as if it had
	// asked another replica. Nil is never.
	Early func() bool

	mu      sync.Mutex
	objects map[string][]version // by path
}

// version is what a path led to from a time on.
type version struct {
	digest digest.Digest
	from   time.Time
}

// ServeHTTP implements [http.Handler].
func (l *Lag) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	base, object := path.Split(r.URL.Path)
	switch {
	case !strings.HasSuffix(base, Manifests):
		l.Next.ServeHTTP(w, r)
	case r.Method == http.MethodPut:
		l.put(w, r, base, object)
	case r.Method == http.MethodDelete:
		l.mu.Lock()
		delete(l.objects, r.URL.Path)
		l.mu.Unlock()
		l.Next.ServeHTTP(w, r)
	default:
		seen, ok := l.see(r.URL.Path)
		if !ok {
			Refuse(http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")(w, r, l.Next)
			return
		}
		r = r.Clone(r.Context())
		r.URL.Path = base + seen.String()
		l.Next.ServeHTTP(w, r)
	}
}

func (l *Lag) put(w http.ResponseWriter, r *http.Request, base, object string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	var index struct {
		Manifests []struct{ Digest digest.Digest }
	}
	_ = json.Unmarshal(body, &index)
	for _, child := range index.Manifests {
		if _, ok := l.see(base + child.Digest.String()); !ok {
			Refuse(http.StatusNotFound, "MANIFEST_UNKNOWN", child.Digest.String())(w, r, l.Next)
			return
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	recorder := ask(r, l.Next)
	if recorder.Code < 300 {
		content := digest.FromBytes(body)
		l.mu.Lock()
		l.write(base+content.String(), content)
		if object != content.String() {
			l.write(base+object, content)
		}
		l.mu.Unlock()
	}
	deliver(w, recorder, recorder.Body.Bytes())
}

// write adds a version, unless that is what the path leads to anyway: what is
// seen stays seen when it is written again.
func (l *Lag) write(at string, content digest.Digest) {
	if l.objects == nil {
		l.objects = map[string][]version{}
	}
	before := l.objects[at]
	if n := len(before); n > 0 && before[n-1].digest == content {
		return
	}
	l.objects[at] = append(before, version{content, l.now().Add(l.Delay())})
}

// see returns what a reader sees at a path: of what is visible, that which was
// written last.
func (l *Lag) see(at string) (digest.Digest, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	versions := l.objects[at]
	for i := len(versions) - 1; i >= 0; i-- {
		if !versions[i].from.After(l.now()) || l.Early != nil && l.Early() {
			return versions[i].digest, true
		}
	}
	return "", false
}

func (l *Lag) now() time.Time {
	if l.Now == nil {
		return time.Now()
	}
	return l.Now()
}
