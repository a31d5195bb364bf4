package shard

import (
	"context"
	"errors"
	"strings"

	"github.com/mabuild/mabuild/builder/registry"
)

// Tidy removes the staging tags of an image that Assemble or Wait has made, and returns
// those that it has removed. A tag that leads to something else by now stays.
//
// Only what runs when all shards have ended may call it: a shard that still looks for
// the others doesn't find them afterwards, and neither does a job that runs again. On
// GitHub's registry nothing is removed, because removing a tag there deletes the
// manifest.
func (m *Meeting) Tidy(ctx context.Context, image *Image) ([]string, error) {
	if host, _, _ := strings.Cut(m.repositories[0], "/"); isGitHub(host) {
		m.opts.Logger.InfoContext(ctx, "leaving the staging tags, because GitHub deletes what a removed tag leads to", "registry", host)
		return nil, nil
	}
	var removed []string
	for _, shard := range image.Shards {
		desc, err := m.opts.Registry.Resolve(ctx, shard.Tag)
		if errors.Is(err, registry.ErrNotFound) || err == nil && desc.Digest != shard.Digest {
			continue
		}
		if err == nil {
			err = m.opts.Registry.Untag(ctx, shard.Tag)
		}
		if err != nil {
			return removed, err
		}
		removed = append(removed, shard.Tag)
	}
	return removed, nil
}

// isGitHub recognises ghcr.io and its kin on GitHub Enterprise: containers.HOST.
func isGitHub(host string) bool {
	return host == "ghcr.io" || strings.HasSuffix(host, ".ghcr.io") || strings.HasPrefix(host, "containers.")
}
