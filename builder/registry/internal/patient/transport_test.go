package patient_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mabuild/mabuild/builder/registry/internal/patient"
)

// answer is what a scripted server says to one request.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

func status(code int, header ...string) answer {
	a := answer{status: code, header: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		a.header.Set(header[i], header[i+1])
	}
	return a
}

// server is an http.RoundTripper that plays answers, the last one for ever, and
// notes when requests came and with what bodies.
type server struct {
	mu      sync.Mutex
	answers []answer
	start   time.Time
	at      []time.Duration
	bodies  []string
	agents  []string
}

func script(answers ...answer) *server { return &server{answers: answers, start: time.Now()} }

func (s *server) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		s.bodies = append(s.bodies, string(body))
	}
	s.at = append(s.at, time.Since(s.start))
	s.agents = append(s.agents, req.UserAgent())
	a := s.answers[min(len(s.at), len(s.answers))-1]
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{
		StatusCode: a.status, Header: a.header, Request: req,
		Body: io.NopCloser(strings.NewReader(a.body)),
	}, nil
}

func request(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, reader)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

const registry = "https://registry.example/v2/a/manifests/t"

// Rows 9 and 10 of the fault table, cases 75 to 77.
func TestTransportWaits(t *testing.T) {
	const get, put = http.MethodGet, http.MethodPut
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // where synctest starts
	httpTime := func(after time.Duration) string { return now.Add(after).Format(http.TimeFormat) }
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	tests := []struct {
		name     string
		method   string
		answers  []answer
		want     int // status
		requests int
		spread   int // by which requests may differ, because of jitter
		min, max time.Duration
	}{
		{name: "ok", method: get, answers: []answer{status(200)}, want: 200, requests: 1},
		{name: "429 in seconds", method: get, answers: []answer{status(429, "Retry-After", "2"), status(429, "Retry-After", "2"), status(200)}, want: 200, requests: 3, min: seconds(4), max: seconds(4.5)},
		{name: "429 as date", method: get, answers: []answer{status(429, "Retry-After", httpTime(seconds(3))), status(200)}, want: 200, requests: 2, min: seconds(3), max: seconds(3.5)},
		{
			// Row 16: the registry's clock is an hour off.
			name: "429 as date by a wrong clock", method: get,
			answers: []answer{status(429, "Date", httpTime(time.Hour), "Retry-After", httpTime(time.Hour+seconds(3))), status(200)},
			want:    200, requests: 2, min: seconds(3), max: seconds(3.5),
		},
		{name: "429 as date in the past", method: get, answers: []answer{status(429, "Retry-After", httpTime(-time.Hour)), status(200)}, want: 200, requests: 2, min: seconds(0.5), max: seconds(0.7)},
		{name: "429 without Retry-After", method: get, answers: []answer{status(429), status(429), status(200)}, want: 200, requests: 3, min: seconds(1.5), max: seconds(2)},
		{name: "429 with nonsense", method: get, answers: []answer{status(429, "Retry-After", "soon"), status(200)}, want: 200, requests: 2, min: seconds(0.5), max: seconds(0.7)},
		{name: "429 for ever", method: get, answers: []answer{status(429)}, want: 429, requests: 15, spread: 2, min: seconds(115), max: seconds(121)},
		{name: "429 for ever with Retry-After", method: get, answers: []answer{status(429, "Retry-After", "50")}, want: 429, requests: 3, min: seconds(100), max: seconds(103)},
		{name: "429 longer than a wait", method: get, answers: []answer{status(429, "Retry-After", "90"), status(200)}, want: 200, requests: 2, min: seconds(60), max: seconds(62)},
		{name: "429 longer than the budget", method: get, answers: []answer{status(429, "Retry-After", "3600")}, want: 429, requests: 1},
		{name: "429 absurdly long", method: get, answers: []answer{status(429, "Retry-After", "9223372036854775807")}, want: 429, requests: 1},
		{name: "429 to an upload", method: put, answers: []answer{status(429, "Retry-After", "1"), status(201)}, want: 201, requests: 2, min: seconds(1), max: seconds(1.2)},
		{name: "503 to an upload", method: put, answers: []answer{status(503), status(201)}, want: 201, requests: 2, min: seconds(0.5), max: seconds(0.7)},
		{name: "502 to an upload", method: put, answers: []answer{status(502)}, want: 502, requests: 1},
		{name: "504 to an upload", method: put, answers: []answer{status(504)}, want: 504, requests: 1},
		{name: "500 to an upload", method: put, answers: []answer{status(500)}, want: 500, requests: 1},
		{name: "500 once", method: get, answers: []answer{status(500), status(200)}, want: 200, requests: 2, min: seconds(0.5), max: seconds(0.7)},
		{name: "500 for ever", method: get, answers: []answer{status(500)}, want: 500, requests: 2, min: seconds(0.5), max: seconds(0.7)},
		{name: "502 for ever", method: get, answers: []answer{status(502)}, want: 502, requests: 7, min: seconds(25), max: seconds(32)},
		{name: "burst", method: get, answers: []answer{status(502), status(504), status(503), status(408), status(200)}, want: 200, requests: 5, min: seconds(7.5), max: seconds(9.5)},
		{name: "400", method: get, answers: []answer{status(400)}, want: 400, requests: 1},
		{name: "401", method: get, answers: []answer{status(401)}, want: 401, requests: 1},
		{name: "403", method: get, answers: []answer{status(403)}, want: 403, requests: 1},
		{name: "404", method: get, answers: []answer{status(404)}, want: 404, requests: 1},
		{name: "405", method: get, answers: []answer{status(405)}, want: 405, requests: 1},
		{name: "413", method: put, answers: []answer{status(413)}, want: 413, requests: 1},
		{name: "501", method: get, answers: []answer{status(501)}, want: 501, requests: 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				base := script(test.answers...)
				body := ""
				if test.method == put {
					body = "the body"
				}
				transport := &patient.Transport{Base: base}
				resp, err := transport.RoundTrip(request(t, test.method, registry, body))
				got := 0
				if refusal := (*patient.StatusError)(nil); errors.As(err, &refusal) {
					got = refusal.Status
				} else if err != nil {
					t.Fatal(err)
				} else {
					got = resp.StatusCode
					resp.Body.Close()
				}
				if off := len(base.at) - test.requests; got != test.want || max(off, -off) > test.spread {
					t.Errorf("got status %d after %d requests, want %d after %d", got, len(base.at), test.want, test.requests)
				}
				if spent := base.at[len(base.at)-1]; spent < test.min || spent > test.max {
					t.Errorf("the last request came after %s, want %s to %s", spent, test.min, test.max)
				}
				for _, sent := range base.bodies {
					if sent != body {
						t.Errorf("sent the body %q", sent)
					}
				}
			})
		})
	}
}

// Case 75: all requests to a host keep the pause that one of them was told.
func TestTransportSharesPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := script(status(429, "Retry-After", "5"), status(200))
		pauses := &patient.Pauses{}
		var group sync.WaitGroup
		send := func(host string) {
			transport := &patient.Transport{Base: base, Pauses: pauses}
			resp, err := transport.RoundTrip(request(t, http.MethodGet, "https://"+host+"/v2/", ""))
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
		}
		group.Go(func() { send("a.example") })
		time.Sleep(time.Second)
		group.Go(func() { send("a.example") })
		group.Go(func() { send("b.example") })
		group.Wait()
		early := 0
		for _, at := range base.at {
			if at < 5*time.Second {
				early++
			}
		}
		if early != 2 || len(base.at) != 4 { // a's first, b's only
			t.Errorf("requests came after %v, want two of them before five seconds", base.at)
		}
	})
}

func TestTransportPauseBeyondBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pauses := &patient.Pauses{}
		first := &patient.Transport{Base: script(status(429, "Retry-After", "100"), status(200)), Pauses: pauses}
		go first.RoundTrip(request(t, http.MethodGet, registry, ""))
		synctest.Wait()

		ctx := patient.WithBudget(t.Context(), patient.NewBudget(10*time.Second))
		second := &patient.Transport{Base: script(status(200)), Pauses: pauses}
		_, err := second.RoundTrip(request(t, http.MethodGet, registry, "").WithContext(ctx))
		if refusal := (*patient.StatusError)(nil); !errors.As(err, &refusal) || refusal.RetryAfter < 50*time.Second {
			t.Errorf("got error %v, want a refusal that says how long", err)
		}
		time.Sleep(2 * time.Minute)
	})
}

func TestTransportStopsWaitingWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		interrupted := errors.New("interrupted")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(interrupted) })
		transport := &patient.Transport{Base: script(status(429, "Retry-After", "30"))}
		start := time.Now()
		_, err := transport.RoundTrip(request(t, http.MethodGet, registry, "").WithContext(ctx))
		if !errors.Is(err, interrupted) || time.Since(start) != time.Second {
			t.Errorf("got %v after %s", err, time.Since(start))
		}
	})
}

func TestTransportLogsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		transport := &patient.Transport{
			Base:      script(status(429, "Retry-After", "7"), status(200)),
			Logger:    slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo})),
			UserAgent: "mabuild/1",
		}
		if _, err := transport.RoundTrip(request(t, http.MethodGet, registry+"?token=secret", "")); err != nil {
			t.Fatal(err)
		}
		line := log.String()
		for _, want := range []string{"registry=registry.example", "status=429", "seconds=7"} {
			if !strings.Contains(line, want) {
				t.Errorf("log %q lacks %q", line, want)
			}
		}
		if strings.Count(line, "\n") != 1 || strings.Contains(line, "secret") {
			t.Errorf("log is %q", line)
		}
		if got := fmt.Sprint(transport.Base.(*server).agents); got != "[mabuild/1 mabuild/1]" {
			t.Errorf("user agents are %s", got)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("1", "")
	f.Add("Sat, 01 Jan 2000 00:00:05 GMT", "Sat, 01 Jan 2000 00:00:00 GMT")
	f.Add("-9223372036854775808", "x")
	f.Fuzz(func(t *testing.T, after, date string) {
		var slept time.Duration
		transport := &patient.Transport{
			Base: script(status(429, "Retry-After", after, "Date", date), status(200)),
			Clock: patient.Clock{Sleep: func(_ context.Context, d time.Duration) error {
				slept += d
				return nil
			}},
		}
		_, err := transport.RoundTrip(request(t, http.MethodGet, registry, ""))
		if refusal := (*patient.StatusError)(nil); err != nil && !errors.As(err, &refusal) {
			t.Fatal(err)
		}
		if slept < 0 || slept > 62*time.Second {
			t.Fatalf("waited %s", slept)
		}
	})
}

func TestTransportImpatient(t *testing.T) {
	base := script(status(503))
	transport := &patient.Transport{Base: base, Impatient: true}
	_, err := transport.RoundTrip(request(t, http.MethodGet, registry, ""))
	if refusal := (*patient.StatusError)(nil); !errors.As(err, &refusal) || len(base.at) != 1 {
		t.Errorf("got %v after %d requests", err, len(base.at))
	}
}

func TestTransportRaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := script(status(503), answer{status: 403, body: "no"})
		transport := &patient.Transport{Base: base, Raw: true}
		resp, err := transport.RoundTrip(request(t, http.MethodGet, registry, ""))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 403 || string(body) != "no" {
			t.Errorf("got %d %q %v", resp.StatusCode, body, err)
		}
	})
}
