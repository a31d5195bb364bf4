package bases

import (
	"context"
	"errors"
	"testing"
)

// It is in the package: that a caller waits can't be seen from outside.
func TestFlightOutlivesItsFirstCaller(t *testing.T) {
	var f flights[int]
	ctx, cancel := context.WithCancelCause(t.Context())
	left := errors.New("left")
	started, release := make(chan struct{}), make(chan struct{})
	first := make(chan error)
	go func() {
		_, err := f.do(ctx, "k", func(ctx context.Context) (int, error) {
			close(started)
			<-release
			return 42, context.Cause(ctx)
		})
		first <- err
	}()
	<-started
	second := f.join(t.Context(), "k", nil)
	cancel(left)
	if err := <-first; !errors.Is(err, left) {
		t.Error(err)
	}
	close(release)
	<-second.done
	if second.value != 42 || second.err != nil {
		t.Errorf("%d, %v", second.value, second.err)
	}
}

func TestFlightEndsWithItsLastCaller(t *testing.T) {
	var f flights[int]
	ended := make(chan error, 1)
	run := func(ctx context.Context) (int, error) {
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return 0, context.Cause(ctx)
	}
	first, second := f.join(t.Context(), "k", run), f.join(t.Context(), "k", nil)
	if first != second {
		t.Fatal("two calls for one key")
	}
	f.leave("k", first)
	select {
	case err := <-ended:
		t.Fatalf("ended with a caller waiting: %v", err)
	default:
	}
	f.leave("k", second)
	if err := <-ended; !errors.Is(err, errAbandoned) {
		t.Error(err)
	}
	// Who comes later isn't told that somebody else gave up.
	got, err := f.do(t.Context(), "k", func(context.Context) (int, error) { return 1, nil })
	if got != 1 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
}
