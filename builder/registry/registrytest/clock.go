package registrytest

import (
	"context"
	"sync"
	"time"
)

// Clock is a clock on which sleeping takes no time. The zero value starts at the
// real time. It is safe for concurrent use.
type Clock struct {
	mu    sync.Mutex
	ahead time.Duration
	naps  []time.Duration
}

// Now returns the time on the clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

// Sleep moves the clock on by d.
func (c *Clock) Sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
	c.naps = append(c.naps, d)
	return nil
}

// Slept returns for how long Sleep was called in all, and how often.
func (c *Clock) Slept() (total time.Duration, times int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, nap := range c.naps {
		total += nap
	}
	return total, len(c.naps)
}
