package patient

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"time"
)

// Clock is the time as the transport sees it. The zero value is the real one.
type Clock struct {
	// Now returns the current time. Default: time.Now.
	Now func() time.Time
	// Sleep waits for a duration or for the end of ctx, whose cause it returns.
	Sleep func(ctx context.Context, d time.Duration) error
}

func (c Clock) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

// Wait waits for d on this clock.
func (c Clock) Wait(ctx context.Context, d time.Duration) error {
	if c.Sleep != nil {
		return c.Sleep(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// Transport is an [http.RoundTripper] for one registry host. See the package
// documentation for what it does.
type Transport struct {
	// Base sends the requests. Default: http.DefaultTransport.
	Base http.RoundTripper
	// Logger gets one line at level Info for every wait. Default: none.
	Logger *slog.Logger
	// UserAgent replaces the User-Agent header of every request when not empty.
	UserAgent string
	// Host is the registry, host or host:port, as it appears in URLs.
	Host string
	// AllowPlain permits plain http. For an https registry it is off.
	AllowPlain bool
	// Impatient turns waiting and repeating off: a mirror that is busy is no
	// reason to wait, the next host is asked instead.
	Impatient bool
	// Raw returns every answer as it came once waiting is over, instead of a
	// *StatusError. Token requests need it: containerd reads their status.
	Raw bool
	// Pauses is shared by the transports of one client.
	Pauses *Pauses
	// Limits bound the time without progress. See [Limits] for the defaults.
	Limits Limits
	// Clock is replaced by tests.
	Clock Clock
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.guard(req.URL); err != nil {
		closeBody(req)
		return nil, err
	}
	ctx := req.Context()
	budget := BudgetOf(ctx)
	for {
		if err := t.awaitPause(req, budget); err != nil {
			closeBody(req)
			return nil, err
		}
		resp, err := t.attempt(req)
		if err != nil {
			return nil, err
		}
		if passes(req, resp.StatusCode) {
			return resp, nil
		}
		refusal := ReadStatus(resp)
		delay, again := t.another(req, refusal, budget)
		if !again {
			if t.Raw {
				return refusal.restore(resp), nil
			}
			return nil, refusal
		}
		if err := t.pause(ctx, req.URL.Host, refusal, delay); err != nil {
			return nil, err
		}
		if req, err = rewind(req); err != nil {
			return nil, err
		}
	}
}

// attempt sends req once.
func (t *Transport) attempt(req *http.Request) (*http.Response, error) {
	watched, watch := watchRequest(req, t.Limits)
	if t.UserAgent != "" {
		watched.Header = watched.Header.Clone()
		watched.Header.Set("User-Agent", t.UserAgent)
	}
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	resp, err := base.RoundTrip(watched)
	if err != nil {
		err = watch.explain(err)
		watch.end()
		if req.Context().Err() != nil {
			return nil, context.Cause(req.Context())
		}
		return nil, &BrokenError{Method: req.Method, Host: req.URL.Host, cause: err}
	}
	watch.answered(resp)
	return resp, nil
}

// passes reports whether the client above wants to see an answer as it is.
func passes(req *http.Request, status int) bool {
	if status < 400 || status == http.StatusUnauthorized {
		return true
	}
	reading := req.Method == http.MethodGet || req.Method == http.MethodHead
	return reading && (status == http.StatusNotFound || status == http.StatusMethodNotAllowed)
}

// another decides whether req is sent once more after refusal, and how long to
// wait before. It takes that time out of budget.
func (t *Transport) another(req *http.Request, refusal *StatusError, budget *Budget) (time.Duration, bool) {
	refusal.RetryAfter = retryAfter(refusal.header, t.Clock.now())
	if t.Impatient || !repeatable(req, refusal.Status) {
		return 0, false
	}
	return budget.Take(refusal)
}

// repeatable reports whether the same request may be sent again after status.
// With 429 and 503 the server says that it did nothing. The other statuses leave
// open what became of an upload.
func repeatable(req *http.Request, status int) bool {
	bodyless := req.Body == nil || req.Body == http.NoBody
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return bodyless || req.GetBody != nil
	case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return bodyless
	}
	return false
}

// pause waits for delay, and makes others who want to talk to host wait too if
// it was the host's wish.
func (t *Transport) pause(ctx context.Context, host string, refusal *StatusError, delay time.Duration) error {
	if refusal.RetryAfter > 0 {
		t.Pauses.extend(host, t.Clock.now().Add(delay))
	}
	t.logger().InfoContext(ctx, "waiting for the registry",
		"registry", host, "status", refusal.Status, "seconds", roundSeconds(delay))
	return t.Clock.Wait(ctx, delay)
}

// awaitPause waits until the pause that the host asked another request for is
// over.
func (t *Transport) awaitPause(req *http.Request, budget *Budget) error {
	if t.Impatient {
		return nil
	}
	ctx, host := req.Context(), req.URL.Host
	for {
		left := t.Pauses.until(host).Sub(t.Clock.now())
		if left <= 0 {
			return nil
		}
		delay, ok := budget.Share(left)
		if !ok {
			return &StatusError{
				Method: req.Method, Host: host,
				Status: http.StatusTooManyRequests, RetryAfter: left,
				Message: "the registry asked for a pause",
			}
		}
		t.logger().DebugContext(ctx, "waiting for the registry's pause to end", "registry", host, "seconds", roundSeconds(delay))
		if err := t.Clock.Wait(ctx, delay); err != nil {
			return err
		}
	}
}

func (t *Transport) logger() *slog.Logger {
	return cmp.Or(t.Logger, slog.New(slog.DiscardHandler))
}

func roundSeconds(d time.Duration) float64 {
	return float64(d.Round(100*time.Millisecond)) / float64(time.Second)
}

// rewind returns req ready to be sent again.
func rewind(req *http.Request) (*http.Request, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return req, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	again := *req
	again.Body = body
	return &again, nil
}

// closeBody keeps the promise of a RoundTripper to close the body also when it
// fails.
func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}
