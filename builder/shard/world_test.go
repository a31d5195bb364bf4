package shard_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mabuild/mabuild/builder/registry"
)

var errKilled = errors.New("killed")

// worlds serves the registries of all worlds at one address. User agents tell them
// apart, and within a world the runners.
type worlds struct {
	server *httptest.Server
	mu     sync.Mutex
	list   map[string]*runner
}

func newWorlds(t *testing.T) *worlds {
	ws := &worlds{list: map[string]*runner{}}
	ws.server = httptest.NewServer(ws)
	t.Cleanup(ws.server.Close)
	return ws
}

func (ws *worlds) host() string { return strings.TrimPrefix(ws.server.URL, "http://") }

func (ws *worlds) register(agent string, r *runner) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.list[agent] = r
}

// ServeHTTP lets a request wait until its world's turn for it comes.
func (ws *worlds) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws.mu.Lock()
	from := ws.list[r.UserAgent()]
	ws.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if from == nil || err != nil {
		panic(http.ErrAbortHandler)
	}
	inside := r.Clone(context.Background())
	inside.Body = io.NopCloser(bytes.NewReader(body))
	g := &gate{runner: from, request: inside, answer: make(chan *httptest.ResponseRecorder, 1)}
	from.world.block(func() { from.world.gates = append(from.world.gates, g) })
	answer := <-g.answer
	if answer == nil {
		panic(http.ErrAbortHandler)
	}
	for key, values := range answer.Header() {
		w.Header()[key] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// world runs one schedule: of all that wants to happen, requests and the end of
// pauses, it lets one thing happen at a time, chosen at random. Its time passes only
// while everybody waits.
type world struct {
	registry http.Handler
	requests int
	kills    int
	rand     *rand.Rand // used by the schedule only, so that it can be repeated
	faults   int        // in a thousand requests
	written  func(path string)

	mu       sync.Mutex
	changed  sync.Cond
	now      time.Time
	running  int // runners that are neither at a gate nor asleep
	gates    []*gate
	sleepers []*sleeper
}

// gate is a request that waits for its turn.
type gate struct {
	runner  *runner
	request *http.Request
	answer  chan *httptest.ResponseRecorder // nil cuts the connection
}

type sleeper struct {
	runner *runner
	until  time.Time
	wake   chan struct{}
}

// runner is a job of the CI, one process after the other.
type runner struct {
	world *world
	id    int

	// of the process:
	requests int
	killAt   int  // the request during which it is killed, 0 for never
	late     bool // the registry has done then what was asked
	cancel   context.CancelCauseFunc
}

func newWorld(random *rand.Rand) *world {
	w := &world{rand: random, now: time.Unix(1_000_000_000, 0)}
	w.changed.L = &w.mu
	return w
}

func (w *world) time() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// block says that a runner doesn't run any more.
func (w *world) block(note func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	note()
	w.running--
	w.changed.Signal()
}

// start runs f as a runner.
func (w *world) start(f func()) {
	w.mu.Lock()
	w.running++
	w.mu.Unlock()
	go func() {
		defer w.block(func() {})
		f()
	}()
}

// clock is the world's clock for a runner.
func (r *runner) clock() registry.Clock {
	return registry.Clock{Now: r.world.time, Sleep: r.sleep}
}

func (r *runner) sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s := &sleeper{runner: r, wake: make(chan struct{})}
	r.world.block(func() {
		s.until = r.world.now.Add(d)
		r.world.sleepers = append(r.world.sleepers, s)
	})
	<-s.wake
	return context.Cause(ctx)
}

// run lets things happen until nothing is left.
func (w *world) run() {
	for {
		g, s := w.next()
		switch {
		case s != nil:
			close(s.wake)
		case g != nil:
			w.serve(g)
		default:
			return
		}
	}
}

// next picks what happens. Who it belongs to runs from then on.
func (w *world) next() (*gate, *sleeper) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.running > 0 {
		w.changed.Wait()
	}
	if len(w.gates)+len(w.sleepers) == 0 {
		return nil, nil
	}
	w.running++
	if len(w.sleepers) == 0 || len(w.gates) > 0 && w.rand.IntN(8) > 0 {
		i := w.rand.IntN(len(w.gates))
		g := w.gates[i]
		w.gates = slices.Delete(w.gates, i, i+1)
		return g, nil
	}
	s := slices.MinFunc(w.sleepers, func(a, b *sleeper) int {
		return cmp.Or(a.until.Compare(b.until), cmp.Compare(a.runner.id, b.runner.id))
	})
	w.sleepers = slices.DeleteFunc(w.sleepers, func(other *sleeper) bool { return other == s })
	if s.until.After(w.now) {
		w.now = s.until
	}
	return nil, s
}

// serve answers a request, or doesn't.
func (w *world) serve(g *gate) {
	r := g.runner
	r.requests++
	w.requests++
	killed := r.killAt > 0 && r.requests >= r.killAt
	if killed {
		w.kills++
	}
	if killed && !r.late {
		r.cancel(errKilled)
		g.answer <- nil
		return
	}
	answer := w.answer(g.request)
	if killed {
		r.cancel(errKilled)
		answer = nil
	}
	g.answer <- answer
}

func (w *world) answer(r *http.Request) *httptest.ResponseRecorder {
	refused := httptest.NewRecorder()
	fault := w.rand.IntN(1000) < w.faults
	switch {
	case fault && w.rand.IntN(3) > 0:
		refused.Header().Set("Retry-After", "2")
		refused.WriteHeader(http.StatusTooManyRequests)
		return refused
	case fault && w.rand.IntN(2) > 0:
		refused.WriteHeader(http.StatusServiceUnavailable)
		return refused
	}
	answer := httptest.NewRecorder()
	w.registry.ServeHTTP(answer, r)
	if r.Method == http.MethodPut && answer.Code < 300 {
		w.written(r.URL.Path)
	}
	if fault {
		refused.WriteHeader(http.StatusGatewayTimeout) // it is stored all the same
		return refused
	}
	return answer
}
