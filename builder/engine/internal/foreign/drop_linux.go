package foreign

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// toolOf returns the build-id of a [dispatch.ToolFilter]; empty for all other filters.
func toolOf(filters []string) string {
	if len(filters) == 1 {
		if tool, ok := strings.CutPrefix(filters[0], dispatch.ToolFilter); ok {
			return tool
		}
	}
	return ""
}

// DiskUsage implements [worker.Worker], with [dispatch.ToolFilter].
func (w *Worker) DiskUsage(ctx context.Context, opt client.DiskUsageInfo) ([]*client.UsageInfo, error) {
	tool := toolOf(opt.Filter)
	if tool == "" {
		return w.Worker.DiskUsage(ctx, opt)
	}
	made, err := w.tainted(ctx, tool)
	if err != nil || len(made.ids) == 0 {
		return nil, err
	}
	opt.Filter = made.filter(ctx, w.CacheMgr)
	return w.Worker.DiskUsage(ctx, opt)
}

// Prune implements [worker.Worker], with [dispatch.ToolFilter]. What is in use loses
// its key and keeps its files.
func (w *Worker) Prune(ctx context.Context, removed chan client.UsageInfo, opts ...client.PruneInfo) error {
	if len(opts) != 1 || toolOf(opts[0].Filter) == "" {
		return w.Worker.Prune(ctx, removed, opts...)
	}
	made, err := w.tainted(ctx, toolOf(opts[0].Filter))
	if err != nil || len(made.ids) == 0 {
		return err // without a filter, BuildKit removes everything
	}
	for id := range made.ids {
		if err := w.keys.Release(w.resultID(id)); err != nil && !errors.Is(err, solver.ErrNotFound) {
			return fmt.Errorf("removing the key of a cache record: %w", err)
		}
	}
	return w.Worker.Prune(ctx, removed, client.PruneInfo{All: true, Filter: made.filter(ctx, w.CacheMgr)})
}

// resultID is what the keys call a cache record, as [worker.WorkerRef.ID].
func (w *Worker) resultID(record string) string { return w.ID() + "::" + record }

// tainted are cache records that a tool had a part in.
type tainted struct {
	worker   *Worker
	ids      map[string]bool
	keys     map[string]bool
	children map[string][]string // of records
	next     map[string][]string // of keys
}

// tainted finds the records of the steps that a tool ran in, and whatever was made
// from them. Layers on top of a step's have it as their parent. What was copied out
// of it is found by the keys: the key of a copy follows that of the step, so that it
// would be taken without asking whether the step has the same files again.
func (w *Worker) tainted(ctx context.Context, tool string) (*tainted, error) {
	ids, err := madeWith(ctx, w.CacheMgr, tool)
	t := &tainted{worker: w, ids: map[string]bool{}, keys: map[string]bool{}, children: map[string][]string{}, next: map[string][]string{}}
	if err != nil || len(ids) == 0 {
		return t, err
	}
	records, err := w.Worker.DiskUsage(ctx, client.DiskUsageInfo{})
	if err != nil {
		return nil, err
	}
	for _, record := range records {
		for _, parent := range record.Parents {
			t.children[parent] = append(t.children[parent], record.ID)
		}
	}
	err = w.keys.Walk(func(key string) error {
		return w.keys.WalkBacklinks(key, func(from string, _ solver.CacheInfoLink) error {
			t.next[from] = append(t.next[from], key)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading the keys of the build cache: %w", err)
	}
	return t, t.add(ids)
}

// add follows records to their keys and children, and keys to those that come next.
func (t *tainted) add(ids []string) error {
	var keys []string
	for len(ids) > 0 || len(keys) > 0 {
		var follow []string
		for _, id := range ids {
			if t.ids[id] {
				continue
			}
			t.ids[id] = true
			follow = append(follow, t.children[id]...)
			err := t.worker.keys.WalkIDsByResult(t.worker.resultID(id), func(key string) error {
				keys = append(keys, key)
				return nil
			})
			if err != nil {
				return err
			}
		}
		ids = follow
		follow = nil
		for _, key := range keys {
			if t.keys[key] {
				continue
			}
			t.keys[key] = true
			follow = append(follow, t.next[key]...)
			err := t.worker.keys.WalkResults(key, func(result solver.CacheResult) error {
				if id, ok := strings.CutPrefix(result.ID, t.worker.resultID("")); ok {
					ids = append(ids, id)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		keys = follow
	}
	return nil
}

// filter matches the records. One that nothing was built on has the id of what it was
// written as, still.
func (t *tainted) filter(ctx context.Context, manager cache.Manager) []string {
	var filter []string
	for id := range t.ids {
		filter = append(filter, "id=="+id)
		ref, err := manager.Get(ctx, id, nil, cache.NoUpdateLastUsed)
		if err != nil {
			continue // it is gone
		}
		if written, ok := ref.GetEqualMutable(); ok {
			filter = append(filter, "id=="+written.ID())
		}
		_ = ref.Release(ctx)
	}
	return filter
}
