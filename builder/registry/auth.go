package registry

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"

	"github.com/mabuild/mabuild/builder/registry/internal/keychain"
	"github.com/mabuild/mabuild/builder/registry/internal/patient"
)

// authorizer is containerd's authorizer with another policy around it:
//
//   - It serves one host. A redirect to another one never gets to see, or to ask
//     for, credentials.
//   - A token or password that is refused is replaced once: the credential helper
//     is asked again and a new token is fetched. containerd does that only if the
//     challenge has an error parameter, and repeats a wrong password five times,
//     which is enough to lock an account.
//   - A credential helper that doesn't work is no error until the registry
//     refuses the anonymous user.
type authorizer struct {
	host   string
	keys   *keychain.Keychain
	client *http.Client
	turn   chan struct{} // held by the request that asks inner for a token

	mu        sync.Mutex
	inner     docker.Authorizer
	challenge *http.Response // the 401 that inner has answered, if any
	refused   string         // the Authorization header that inner has replaced
	current   keychain.Credentials
	trouble   error // why no credentials were found
}

func newAuthorizer(host string, keys *keychain.Keychain, client *http.Client) *authorizer {
	a := &authorizer{host: host, keys: keys, client: client, turn: make(chan struct{}, 1)}
	a.reset()
	return a
}

// reset forgets all tokens. The caller holds the lock, or the only reference.
func (a *authorizer) reset() {
	a.challenge = nil
	a.inner = docker.NewDockerAuthorizer(
		docker.WithAuthClient(a.client),
		docker.WithAuthCreds(func(string) (string, string, error) {
			return a.current.Username, a.current.Secret, nil
		}),
	)
}

// answer forgets all tokens, and lets inner ask for new ones as the registry says
// in challenge. The caller holds the lock.
func (a *authorizer) answer(ctx context.Context, challenge *http.Response) error {
	a.reset()
	if err := a.inner.AddResponses(ctx, []*http.Response{challenge}); err != nil {
		return err
	}
	a.challenge = challenge
	return nil
}

// Authorize implements [docker.Authorizer].
//
// Only one request at a time asks containerd's authorizer: it hands the outcome
// of one fetch of a token to everybody who asks for the same token meanwhile or
// later, also if it is an error, such as that the one request was cancelled, and
// it does so with a data race (authHandler.doBearerAuth reads expirationTime
// without waiting for the fetch).
func (a *authorizer) Authorize(ctx context.Context, req *http.Request) error {
	if req.URL.Host != a.host {
		return nil
	}
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	a.mu.Lock()
	inner := a.inner
	a.mu.Unlock()
	err := inner.Authorize(ctx, req)
	if err == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.inner != inner: // another request has brought a new challenge
	case denied(err):
		a.reset() // the requests that wait do not send a wrong password once more
	default:
		// Those that wait ask for themselves. Without a token they would get their
		// second 401, and take that for wrong credentials.
		_ = a.answer(context.WithoutCancel(ctx), a.challenge) // as once before
	}
	return err
}

// denied reports whether a token service has answered that there is no token,
// which it would answer again.
func denied(err error) bool {
	var unexpected remoteerrors.ErrUnexpectedStatus
	return errors.As(err, &unexpected) && !(&patient.StatusError{Status: unexpected.StatusCode}).Transient()
}

// AddResponses implements [docker.Authorizer]: the last of the responses is a
// 401. Without an error the request is sent again.
func (a *authorizer) AddResponses(ctx context.Context, responses []*http.Response) error {
	last := responses[len(responses)-1]
	refusal := patient.ReadStatus(last)
	if last.Request.URL.Host != a.host {
		return fmt.Errorf("%w: %w", docker.ErrInvalidAuthorization, refusal)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	sent := last.Request.Header.Get("Authorization")
	switch {
	case len(responses) > 1 && responses[len(responses)-2].StatusCode == http.StatusUnauthorized:
		// The challenge has just been answered. This comes first: a request that
		// is redirected away and back arrives without credentials every time.
		return fmt.Errorf("%w: %w", docker.ErrInvalidAuthorization, refusal)
	case sent == "" && a.challenge != nil, sent != "" && sent == a.refused:
		return nil // another request has answered the same challenge
	}
	before := a.current
	a.current, a.trouble = a.keys.Get(ctx, a.host)
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if sent != "" && isBasic(sent) && a.current == before && sent == basic(before) {
		return fmt.Errorf("%w: %w", docker.ErrInvalidAuthorization, refusal)
	}
	a.refused = sent
	if err := a.answer(ctx, last); err != nil {
		if errors.Is(err, docker.ErrInvalidAuthorization) {
			return fmt.Errorf("%w: %w", err, refusal)
		}
		return fmt.Errorf("%w: %w", docker.ErrInvalidAuthorization, refusal)
	}
	return nil
}

func isBasic(header string) bool { return strings.HasPrefix(header, "Basic ") }

func basic(c keychain.Credentials) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Secret))
}

// problem returns why there are no credentials for the host, if that is due to
// more than nobody having logged in.
func (a *authorizer) problem() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.trouble
}

// anonymous reports whether the host was talked to without credentials.
func (a *authorizer) anonymous() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.current == keychain.Credentials{}
}
