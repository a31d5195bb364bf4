package patient

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// DefaultBudget is what an operation may wait in all.
	DefaultBudget = 2 * time.Minute

	longestWait  = time.Minute            // at once, even if the registry asks for more
	firstBackoff = 500 * time.Millisecond // doubled with every untold wait
	longBackoff  = 10 * time.Second
	mostFailures = 6 // server errors and broken connections without a Retry-After
)

// Budget is the time that one operation, such as the push of a manifest with
// everything that it takes, may spend waiting. It is safe for concurrent use.
type Budget struct {
	mu       sync.Mutex
	left     time.Duration
	backoff  time.Duration
	failures int
	internal int // answers with status 500
}

// NewBudget returns a budget of total, or of [DefaultBudget] if total is zero.
func NewBudget(total time.Duration) *Budget {
	if total == 0 {
		total = DefaultBudget
	}
	return &Budget{left: total, backoff: firstBackoff}
}

type budgetKey struct{}

// WithBudget returns a context whose requests wait out of budget.
func WithBudget(ctx context.Context, budget *Budget) context.Context {
	return context.WithValue(ctx, budgetKey{}, budget)
}

// BudgetOf returns the budget of ctx, or a new one.
func BudgetOf(ctx context.Context) *Budget {
	if budget, ok := ctx.Value(budgetKey{}).(*Budget); ok {
		return budget
	}
	return NewBudget(0)
}

// Take says how long to wait before the request that failed with err is worth
// repeating, and whether it is at all.
func (b *Budget) Take(err error) (time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch err := err.(type) { //nolint:errorlint // what this package made, not wrapped
	case *StatusError:
		if err.RetryAfter > 0 {
			return b.told(err.RetryAfter)
		}
		if err.Status != http.StatusTooManyRequests {
			return b.failed(err.Status == http.StatusInternalServerError)
		}
	case *BrokenError:
		return b.failed(false)
	}
	return b.untold()
}

// Share takes the time until the end of a pause that another request was told
// to make.
func (b *Budget) Share(left time.Duration) (time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.told(left)
}

// told spends what the registry asked for, and a little more so that not
// everybody comes back at the same instant.
func (b *Budget) told(wish time.Duration) (time.Duration, bool) {
	if wish > b.left {
		return 0, false
	}
	delay, ok := b.spend(wish)
	return delay + rand.N(min(wish/10, time.Second)+1), ok
}

// failed spends a growing pause, but not for ever: a server that fails is not
// one that asks for patience, and 500 often stands for an answer that will not
// change.
func (b *Budget) failed(internal bool) (time.Duration, bool) {
	if internal {
		b.internal++
	}
	if b.failures++; b.failures > mostFailures || b.internal > 1 {
		return 0, false
	}
	return b.untold()
}

func (b *Budget) untold() (time.Duration, bool) {
	wish := b.backoff + rand.N(b.backoff/4)
	b.backoff = min(2*b.backoff, longBackoff)
	return b.spend(wish)
}

func (b *Budget) spend(wish time.Duration) (time.Duration, bool) {
	wish = min(wish, longestWait, b.left)
	if wish <= 0 {
		return 0, false
	}
	b.left -= wish
	return wish, true
}

// retryAfter reads how long a server asks to wait, zero if it doesn't say. A
// date counts from the answer's own Date, so that clocks may differ.
func retryAfter(header http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		const most = int64(365 * 24 * time.Hour / time.Second)
		return time.Duration(max(0, min(seconds, most))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if sent, err := http.ParseTime(header.Get("Date")); err == nil {
		now = sent
	}
	return max(0, at.Sub(now))
}

// Pauses remembers until when each host asked not to be talked to. A nil Pauses
// remembers nothing. It is safe for concurrent use.
type Pauses struct {
	mu   sync.Mutex
	ends map[string]time.Time
}

func (p *Pauses) extend(host string, end time.Time) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ends == nil {
		p.ends = map[string]time.Time{}
	}
	if end.After(p.ends[host]) {
		p.ends[host] = end
	}
}

func (p *Pauses) until(host string) time.Time {
	if p == nil {
		return time.Time{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ends[host]
}
