package patient

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// Limits are the times without progress after which a request is given up. Zero
// fields have the defaults named.
type Limits struct {
	// Answer bounds the time from the end of a request to the head of its
	// answer. Default: one minute.
	Answer time.Duration
	// Commit is Answer for requests with a body. Registries move large blobs in
	// their storage before they answer. Default: ten minutes.
	Commit time.Duration
	// Stall bounds the time in which no piece of a body moves. Uploads move in
	// pieces of up to 32 KiB. Default: one minute.
	Stall time.Duration
}

func (l Limits) answer(req *http.Request) time.Duration {
	if req.Body == nil || req.Body == http.NoBody {
		return orDefault(l.Answer, time.Minute)
	}
	return orDefault(l.Commit, 10*time.Minute)
}

func (l Limits) stall() time.Duration { return orDefault(l.Stall, time.Minute) }

func orDefault(d, fallback time.Duration) time.Duration {
	if d == 0 {
		return fallback
	}
	return d
}

var (
	errNoAnswer = errors.New("the registry doesn't answer")
	errStalled  = errors.New("the registry stopped reading the upload")
	errEnded    = errors.New("request ended")
)

// watch cancels a request that makes no progress. net/http has a limit for the
// head of the answer only, and containerd's pusher has none at all.
type watch struct {
	ctx    context.Context //nolint:containedctx // of the one request that is watched
	cancel context.CancelCauseFunc
	timer  *time.Timer
	reason atomic.Pointer[error] // why the timer would cancel
	quiet  atomic.Bool           // the answer is there, what is left of the upload doesn't matter
	limits Limits
}

// watchRequest returns a copy of req that is under watch.
func watchRequest(req *http.Request, limits Limits) (*http.Request, *watch) {
	ctx, cancel := context.WithCancelCause(req.Context())
	w := &watch{ctx: ctx, cancel: cancel, limits: limits}
	w.reason.Store(&errNoAnswer)
	w.timer = time.AfterFunc(limits.answer(req), func() { cancel(*w.reason.Load()) })

	watched := req.WithContext(ctx)
	if req.Body == nil || req.Body == http.NoBody {
		return watched, w
	}
	w.timer.Stop() // until the body has been sent
	answer := limits.answer(req)
	watched.Body = &upload{ReadCloser: req.Body, watch: w, answer: answer}
	if req.GetBody != nil {
		watched.GetBody = func() (io.ReadCloser, error) {
			body, err := req.GetBody()
			return &upload{ReadCloser: body, watch: w, answer: answer}, err
		}
	}
	return watched, w
}

// arm cancels the request for reason unless something happens within d.
func (w *watch) arm(d time.Duration, reason *error) {
	w.reason.Store(reason)
	w.timer.Reset(d)
}

// explain replaces the "context canceled" of a request that the watch ended by
// the reason for it.
func (w *watch) explain(err error) error {
	if cause := context.Cause(w.ctx); errors.Is(cause, errNoAnswer) || errors.Is(cause, errStalled) {
		return cause
	}
	return err
}

// answered puts the body of resp under watch.
func (w *watch) answered(resp *http.Response) {
	w.quiet.Store(true)
	w.timer.Stop()
	if resp.Body == nil || resp.Body == http.NoBody {
		w.end()
		return
	}
	resp.Body = &download{ReadCloser: resp.Body, watch: w}
}

// end releases what the watch holds. The request must be over.
func (w *watch) end() {
	w.timer.Stop()
	w.cancel(errEnded)
}

// upload is the body of a request. The time between two reads is the time that
// the server takes to accept what was read.
type upload struct {
	io.ReadCloser
	watch  *watch
	answer time.Duration
}

func (u *upload) Read(p []byte) (int, error) {
	if u.watch.quiet.Load() {
		return u.ReadCloser.Read(p)
	}
	u.watch.timer.Stop()
	n, err := u.ReadCloser.Read(p)
	if err == nil {
		u.watch.arm(u.watch.limits.stall(), &errStalled)
	} else if errors.Is(err, io.EOF) {
		u.watch.arm(u.answer, &errNoAnswer)
	}
	return n, err
}

// download is the body of an answer. Whatever breaks it off short of the end of
// the context is reported as io.ErrUnexpectedEOF, upon which containerd's
// fetcher continues where it stopped.
type download struct {
	io.ReadCloser
	watch *watch
}

func (d *download) Read(p []byte) (int, error) {
	d.watch.arm(d.watch.limits.stall(), &errStalled)
	n, err := d.ReadCloser.Read(p)
	d.watch.timer.Stop()
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	cause := context.Cause(d.watch.ctx)
	if cause == nil || errors.Is(cause, errStalled) {
		return n, io.ErrUnexpectedEOF
	}
	if errors.Is(cause, errEnded) {
		return n, err
	}
	return n, cause
}

func (d *download) Close() error {
	err := d.ReadCloser.Close()
	d.watch.end()
	return err
}
