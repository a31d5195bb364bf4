package registry

import (
	"context"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/registry/internal/keychain"
	"github.com/mabuild/mabuild/builder/registry/internal/patient"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
)

// SetClock makes c wait on clock.
func (c *Client) SetClock(clock *registrytest.Clock) {
	c.clock = patient.Clock{Now: clock.Now, Sleep: clock.Sleep}
}

// SetSilenceLimit bounds the time in which a registry may say nothing.
func (c *Client) SetSilenceLimit(d time.Duration) {
	c.limits = patient.Limits{Answer: d, Commit: d, Stall: d}
}

// SetHelperTimeout bounds the time for a credential helper.
func (c *Client) SetHelperTimeout(d time.Duration) {
	c.keys = keychain.New(keychain.Options{Dir: c.opts.ConfigDir, Timeout: d})
}

// Authorizer returns what authorizes requests to a registry.
func (c *Client) Authorizer(domain string) (docker.Authorizer, error) {
	s, err := c.site(domain)
	if err != nil {
		return nil, err
	}
	return s.auth, nil
}

// CopyMounting is Copy with blobs that are said to be in another repository of
// the registry too.
func (c *Client) CopyMounting(ctx context.Context, ref string, src Provider, desc ocispec.Descriptor, repository string) error {
	return c.copyFrom(ctx, ref, src, desc, repository)
}

// For tests of functions that are not exported.
var (
	Redact       = redact
	ManifestType = manifestType
	Locate       = locate
)
