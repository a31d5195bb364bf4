package bases

import (
	"context"
	"errors"
	"sync"
)

// errAbandoned ends a call that nobody waits for any more.
var errAbandoned = errors.New("nobody waits for it any more")

// flights runs one call per key at a time and gives its outcome to everyone who
// asked for it meanwhile. In contrast to golang.org/x/sync/singleflight, a call
// doesn't depend on the context of whoever came first: it is cancelled when the last
// one has left. The zero value is ready for use.
type flights[T any] struct {
	mu    sync.Mutex
	calls map[string]*call[T]
}

type call[T any] struct {
	cancel  context.CancelCauseFunc
	done    chan struct{} // closed when value and err are set
	waiting int
	value   T
	err     error
}

// do returns the outcome of f, or the cause of ctx's end if that comes first.
func (f *flights[T]) do(ctx context.Context, key string, run func(context.Context) (T, error)) (T, error) {
	c := f.join(ctx, key, run)
	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
		f.leave(key, c)
		var none T
		return none, context.Cause(ctx)
	}
}

func (f *flights[T]) join(ctx context.Context, key string, run func(context.Context) (T, error)) *call[T] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.calls[key]; ok {
		c.waiting++
		return c
	}
	shared, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	c := &call[T]{cancel: cancel, done: make(chan struct{}), waiting: 1}
	if f.calls == nil {
		f.calls = map[string]*call[T]{}
	}
	f.calls[key] = c
	go func() {
		c.value, c.err = run(shared)
		f.mu.Lock()
		f.forget(key, c)
		f.mu.Unlock()
		close(c.done)
		cancel(nil)
	}()
	return c
}

// leave is called by a caller that doesn't wait for c any more.
func (f *flights[T]) leave(key string, c *call[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.waiting--; c.waiting == 0 {
		// Who comes now must not join a call that is about to fail.
		f.forget(key, c)
		c.cancel(errAbandoned)
	}
}

func (f *flights[T]) forget(key string, c *call[T]) {
	if f.calls[key] == c {
		delete(f.calls, key)
	}
}
