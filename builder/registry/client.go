package registry

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"

	"github.com/mabuild/mabuild/builder/registry/internal/keychain"
	"github.com/mabuild/mabuild/builder/registry/internal/patient"
)

// MaxManifest is the size in bytes of the largest manifest that is read or
// written.
const MaxManifest = 4 << 20

// Options configure a Client. The zero value is useful.
type Options struct {
	// Hosts says how registries are reached, by the host of references:
	// docker.io, ghcr.io, localhost:5000. A host without an entry is reached
	// over https, or over plain http if it is this machine.
	Hosts map[string]Host
	// ConfigDir holds Docker's config.json with the credentials. Default:
	// $DOCKER_CONFIG, else ~/.docker.
	ConfigDir string
	// MaxWait is what one operation may wait in all because a registry asks for
	// it or is in trouble. Default: two minutes.
	MaxWait time.Duration
	// Parallel is how many blobs, and how many manifests, Copy moves at once.
	// Default: 4.
	Parallel int
	// UserAgent is sent with every request. Default: mabuild.
	UserAgent string
	// Clock is what waiting goes by. Default: the time of day. Tests replace it.
	Clock Clock
	// Logger gets a line at level Info for every wait and retry. Default: none.
	Logger *slog.Logger
}

// Clock tells the time and waits. Its zero value is the real one.
type Clock = patient.Clock

// Client talks to registries. It keeps connections and tokens, so that one
// Client should serve a whole build. It is safe for concurrent use.
type Client struct {
	opts   Options
	keys   *keychain.Keychain
	pauses *patient.Pauses
	clock  patient.Clock
	limits patient.Limits
	quiet  *log.Entry

	mu    sync.Mutex
	sites map[string]*site
	seen  map[string]bool // content known to be in a repository, as repository@digest
}

// New returns a Client. It does no input or output before its first operation.
func New(opts Options) *Client {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.UserAgent == "" {
		opts.UserAgent = "mabuild"
	}
	if opts.Parallel <= 0 {
		opts.Parallel = 4
	}
	return &Client{
		opts:   opts,
		keys:   keychain.New(keychain.Options{Dir: opts.ConfigDir}),
		pauses: &patient.Pauses{},
		clock:  opts.Clock,
		quiet:  silence(),
		sites:  map[string]*site{},
		seen:   map[string]bool{},
	}
}

// CloseIdleConnections closes the connections that no operation uses.
func (c *Client) CloseIdleConnections() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sites {
		for _, base := range s.bases {
			base.CloseIdleConnections()
		}
	}
}

// silence returns a logger for containerd's client, which would otherwise write
// to stderr at level Info.
func silence() *log.Entry {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	logger.SetLevel(logrus.PanicLevel)
	return logrus.NewEntry(logger)
}

type access bool

const (
	pull access = false
	push access = true
)

type accessKey struct{}

// begin prepares the context of an operation: its own budget for waiting, the
// access that tokens have to give, no log lines from containerd.
func (c *Client) begin(ctx context.Context, a access) context.Context {
	ctx = log.WithLogger(ctx, c.quiet)
	ctx = patient.WithBudget(ctx, patient.NewBudget(c.opts.MaxWait))
	return context.WithValue(ctx, accessKey{}, a)
}

// withScope returns a context with the scope for tokens, in the spelling of
// containerd, which adds it to the contexts of its own requests. The scope isn't
// part of the operation's context because scopes add up: what is read from one
// registry to be pushed to another one must not ask for both.
func withScope(ctx context.Context, t target) context.Context {
	scope := "repository:" + t.repository + ":pull"
	if a, _ := ctx.Value(accessKey{}).(access); a == push {
		scope += ",push"
	}
	return docker.WithScope(ctx, scope)
}

// retry runs f until it succeeds, fails for good, or the operation has waited
// enough. The attempt is 0 at first.
func (c *Client) retry(ctx context.Context, t target, f func(attempt int) error) error {
	for attempt := 0; ; attempt++ {
		err := f(attempt)
		reason := transient(err)
		if reason == nil {
			return err
		}
		delay, ok := patient.BudgetOf(ctx).Take(reason)
		if !ok {
			return err
		}
		c.opts.Logger.InfoContext(ctx, "trying the registry again",
			"registry", t.domain, "seconds", delay.Seconds(), "reason", reason.Error())
		if err := c.clock.Wait(ctx, delay); err != nil {
			return err
		}
	}
}

func (c *Client) markSeen(t target, digest string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[t.name()+"@"+digest] = true
}

func (c *Client) wasSeen(t target, digest string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[t.name()+"@"+digest]
}
