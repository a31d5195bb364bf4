package buildkit

import (
	"context"
	"fmt"

	"github.com/moby/buildkit/client"
	"golang.org/x/sync/errgroup"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// MadeWith lists the build cache of the emulated steps that a native tool ran in, by
// its build-id, and of what was made from them. Daemons other than mabuild's engine
// have none.
func (n *Node) MadeWith(ctx context.Context, tool string) ([]Usage, error) {
	records, err := n.client.DiskUsage(ctx, toolFilter(tool))
	if err != nil {
		return nil, fmt.Errorf("asking what was made with a tool: %w", err)
	}
	usage := make([]Usage, 0, len(records))
	for _, r := range records {
		usage = append(usage, newUsage(*r))
	}
	return usage, nil
}

// Drop deletes what MadeWith lists, and returns it. What is in use is not deleted and
// not listed, but no build takes it from the cache any more.
func (n *Node) Drop(ctx context.Context, tool string) ([]Usage, error) {
	deleted := make(chan client.UsageInfo)
	var group errgroup.Group
	group.Go(func() error {
		defer close(deleted)
		return n.client.Prune(ctx, deleted, toolFilter(tool))
	})
	var usage []Usage
	for r := range deleted {
		usage = append(usage, newUsage(r))
	}
	if err := group.Wait(); err != nil {
		return usage, fmt.Errorf("deleting what was made with a tool: %w", err)
	}
	return usage, nil
}

func toolFilter(tool string) client.Filter { return client.Filter{dispatch.ToolFilter + tool} }
