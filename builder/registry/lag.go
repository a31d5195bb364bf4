package registry

import (
	"context"
	"strings"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/mabuild/mabuild/builder/registry/internal/patient"
)

// Missing returns those of descs that the repository of ref doesn't have, in
// their order. It asks the registry itself, not its mirrors.
func (c *Client) Missing(ctx context.Context, ref string, descs ...ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	t, err := parse(ref)
	if err != nil {
		return nil, err
	}
	missing, err := c.missing(c.begin(ctx, pull), t, descs)
	return missing, c.fail("looking for content in", t, err)
}

// WaitFor waits until the repository of ref shows all of descs, which have been
// pushed. Some registries take a while to show what they have accepted. After a
// minute it is an error that matches [ErrNotFound].
//
// An index must not be pushed before its children are there for everyone.
func (c *Client) WaitFor(ctx context.Context, ref string, descs ...ocispec.Descriptor) error {
	t, err := parse(ref)
	if err != nil {
		return err
	}
	return c.fail("waiting for content in", t, c.waitFor(c.begin(ctx, pull), t, descs))
}

func (c *Client) waitFor(ctx context.Context, t target, descs []ocispec.Descriptor) error {
	lag := newPatience(c.clock, lagLimit)
	for {
		missing, err := c.missing(ctx, t, descs)
		if err != nil || len(missing) == 0 {
			return err
		}
		again, err := lag.next(ctx)
		if err != nil {
			return err
		}
		if !again {
			return &lateError{missing[0].Digest.String()}
		}
		c.opts.Logger.InfoContext(ctx, "waiting for the registry to show what was pushed",
			"registry", t.domain, "missing", len(missing))
		descs = missing
	}
}

func (c *Client) missing(ctx context.Context, t target, descs []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	s, err := c.site(t.domain)
	if err != nil {
		return nil, err
	}
	lacks := make([]bool, len(descs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.opts.Parallel)
	for i, desc := range descs {
		group.Go(func() error {
			if err := t.checkDigest(desc.Digest); err != nil {
				return err
			}
			return c.retry(ctx, t, func(int) error {
				there, err := c.exists(ctx, s.origin(), t, desc)
				lacks[i] = !there
				return err
			})
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var missing []ocispec.Descriptor
	for i, desc := range descs {
		if lacks[i] {
			missing = append(missing, desc)
		} else {
			c.markSeen(t, desc.Digest.String())
		}
	}
	return missing, nil
}

// patience is a series of growing pauses that ends.
type patience struct {
	clock patient.Clock
	left  time.Duration
	pause time.Duration
}

func newPatience(clock patient.Clock, limit time.Duration) *patience {
	return &patience{clock: clock, left: limit, pause: 500 * time.Millisecond}
}

// next waits and reports whether there is another try.
func (p *patience) next(ctx context.Context) (bool, error) {
	if p.left <= 0 {
		return false, nil
	}
	pause := min(p.pause, p.left)
	p.left -= pause
	p.pause = min(2*p.pause, 5*time.Second)
	return true, p.clock.Wait(ctx, pause)
}

func containsFold(text string, parts ...string) bool {
	text = strings.ToLower(text)
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// once runs functions once per key, and gives everybody who asks the outcome.
type once struct {
	mu   sync.Mutex
	runs map[string]func() error
}

func (o *once) do(key string, f func() error) error {
	o.mu.Lock()
	run, ok := o.runs[key]
	if !ok {
		run = sync.OnceValue(f)
		if o.runs == nil {
			o.runs = map[string]func() error{}
		}
		o.runs[key] = run
	}
	o.mu.Unlock()
	return run()
}
