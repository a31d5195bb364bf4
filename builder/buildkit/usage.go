package buildkit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/moby/buildkit/client"
	"golang.org/x/sync/errgroup"
)

// Usage is one record of a daemon's build cache.
type Usage struct {
	Description string
	Size        int64 // bytes
	LastUsed    time.Time
	InUse       bool
}

func newUsage(r client.UsageInfo) Usage {
	u := Usage{Description: r.Description, Size: r.Size, InUse: r.InUse}
	if r.LastUsedAt != nil {
		u.LastUsed = *r.LastUsedAt
	}
	return u
}

// DiskUsage lists the build cache, the largest records first.
func (n *Node) DiskUsage(ctx context.Context) ([]Usage, error) {
	records, err := n.client.DiskUsage(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for the disk usage: %w", err)
	}
	usage := make([]Usage, 0, len(records))
	for _, r := range records {
		usage = append(usage, newUsage(*r))
	}
	slices.SortStableFunc(usage, func(a, b Usage) int { return int(min(max(b.Size-a.Size, -1), 1)) })
	return usage, nil
}

// PruneOptions say which unused cache to delete; the zero value is all that
// BuildKit does not keep for itself.
type PruneOptions struct {
	All    bool          // internal records too
	Unused time.Duration // only what was not used for this long
	Keep   int64         // bytes to keep
}

// Prune deletes unused build cache and returns how many bytes became free.
func (n *Node) Prune(ctx context.Context, opts PruneOptions) (int64, error) {
	deleted := make(chan client.UsageInfo)
	options := []client.PruneOption{client.WithKeepOpt(opts.Unused, opts.Keep, 0, 0)}
	if opts.All {
		options = append(options, client.PruneAll)
	}
	var free int64
	var group errgroup.Group
	group.Go(func() error {
		defer close(deleted)
		return n.client.Prune(ctx, deleted, options...)
	})
	for record := range deleted {
		free += record.Size
	}
	if err := group.Wait(); err != nil {
		return free, fmt.Errorf("pruning the build cache: %w", err)
	}
	return free, nil
}
