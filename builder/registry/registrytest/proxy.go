package registrytest

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Patterns for the Path of a Rule.
const (
	Manifests = `/manifests/`
	Blobs     = `/blobs/sha256:`
	Uploads   = `/blobs/uploads/`
)

// Proxy is a registry with a log and faults.
type Proxy struct {
	server *httptest.Server
	next   http.Handler

	mu    sync.Mutex
	rules []*Rule
	log   []*Request
}

// Request is a line of a Proxy's log.
type Request struct {
	Method        string
	Path          string
	Query         string
	Authorization string
	UserAgent     string
	Status        int // of the answer, 0 if there is none yet or the connection was cut
}

// Rule makes a Proxy misbehave.
type Rule struct {
	Method string                   // of the requests, empty for any
	Path   string                   // regular expression for their paths, empty for any
	When   func(*http.Request) bool // further condition, nil for none
	Skip   int                      // so many of them pass before the rule applies
	Times  int                      // so many times it applies, 0 for ever
	Fault  Fault
}

func (r *Rule) matches(req *http.Request) bool {
	if r.Method != "" && r.Method != req.Method {
		return false
	}
	if r.Path != "" && !regexp.MustCompile(r.Path).MatchString(req.URL.Path) {
		return false
	}
	return r.When == nil || r.When(req)
}

// New starts a Proxy in front of next. It ends with the test.
func New(t testing.TB, next http.Handler) *Proxy {
	p := &Proxy{next: next}
	p.server = httptest.NewServer(p)
	p.finish(t)
	return p
}

// NewTLS is [New] with https and a certificate that nobody trusts; see
// [Proxy.Certificate].
func NewTLS(t testing.TB, next http.Handler) *Proxy {
	p := &Proxy{next: next}
	p.server = httptest.NewUnstartedServer(p)
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.server.StartTLS()
	p.finish(t)
	return p
}

func (p *Proxy) finish(t testing.TB) {
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(func() {
		p.server.CloseClientConnections()
		p.server.Close()
	})
}

// Host returns the proxy's host and port, for references.
func (p *Proxy) Host() string {
	_, host, _ := strings.Cut(p.server.URL, "://")
	return host
}

// Certificate returns the certificate of a Proxy with TLS, as DER.
func (p *Proxy) Certificate() []byte { return p.server.Certificate().Raw }

// Add appends rules. The first one that applies to a request is used.
func (p *Proxy) Add(rules ...Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, rule := range rules {
		p.rules = append(p.rules, &rule)
	}
}

// Reset forgets rules and log.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules, p.log = nil, nil
}

// Requests returns the log, in the order in which requests came.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	var requests []Request
	for _, req := range p.log {
		requests = append(requests, *req)
	}
	return requests
}

// Count returns how many requests had the method, empty for any, and a path that
// matches the regular expression.
func (p *Proxy) Count(method, path string) int {
	pattern := regexp.MustCompile(path)
	n := 0
	for _, req := range p.Requests() {
		if (method == "" || req.Method == method) && pattern.MatchString(req.Path) {
			n++
		}
	}
	return n
}

// ServeHTTP implements [http.Handler].
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	line := &Request{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
		Authorization: r.Header.Get("Authorization"), UserAgent: r.UserAgent(),
	}
	p.mu.Lock()
	p.log = append(p.log, line)
	p.mu.Unlock()

	answer := &answer{ResponseWriter: w, noted: func(status int) {
		p.mu.Lock()
		defer p.mu.Unlock()
		line.Status = status
	}}
	if fault := p.fault(r); fault != nil {
		fault(answer, r, p.next)
		return
	}
	p.next.ServeHTTP(answer, r)
}

// fault returns what to do to r, nil for nothing.
func (p *Proxy) fault(r *http.Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, rule := range p.rules {
		if !rule.matches(r) {
			continue
		}
		if rule.Skip > 0 {
			rule.Skip--
			continue
		}
		if rule.Times > 0 {
			if rule.Times--; rule.Times == 0 {
				p.rules = slices.Delete(p.rules, i, i+1)
			}
		}
		return rule.Fault
	}
	return nil
}

// answer notes the status of an answer.
type answer struct {
	http.ResponseWriter
	noted func(status int)
	begun bool
}

func (a *answer) WriteHeader(status int) {
	if !a.begun {
		a.begun = true
		a.noted(status)
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if !a.begun {
		a.begun = true
		a.noted(http.StatusOK)
	}
	return a.ResponseWriter.Write(p)
}

// Unwrap is for [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// ask sends r to next and returns the answer instead of delivering it.
func ask(r *http.Request, next http.Handler) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	recorder.Body = &bytes.Buffer{}
	next.ServeHTTP(recorder, r)
	return recorder
}

// deliver writes a recorded answer, with body in place of its own.
func deliver(w http.ResponseWriter, recorder *httptest.ResponseRecorder, body []byte) {
	for key, values := range recorder.Header() {
		w.Header()[key] = values
	}
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(body)
}
