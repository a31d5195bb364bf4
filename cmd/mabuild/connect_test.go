package main

import (
	"context"
	"errors"
	"testing"
)

// An interrupt that comes while tools are looked for is no node and no nil error.
func TestConnectInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	cancel(interrupted)
	node, err := (&connection{}).connect(ctx)
	if node != nil || !errors.Is(err, interrupted) {
		t.Errorf("got %v, %v", node, err)
	}
}
