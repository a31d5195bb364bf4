package foreign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/session"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// BuildKit's descriptions of what a step can write to, and of its root file system
// (container.PrepareMounts and ops.ExecOp).
const (
	stepRecord = "mount "
	rootRecord = "mount / from exec "
)

// records is the build cache as one step sees it: BuildKit's, which remembers what the
// step starts from, and notes at its results what tools made them.
type records struct {
	cache.Manager

	root *origin // of the last run; nil before
	used *usage  // by the last run; nil if it used no tool
}

// origin is what a root file system was made from.
type origin struct {
	parent cache.ImmutableRef // nil for an empty one
	group  session.Group
}

// New implements [cache.Manager].
func (r *records) New(ctx context.Context, parent cache.ImmutableRef, group session.Group, opts ...cache.RefOption) (cache.MutableRef, error) {
	ref, err := r.Manager.New(ctx, parent, group, opts...)
	if err != nil || !strings.HasPrefix(ref.GetDescription(), stepRecord) {
		return ref, err
	}
	if strings.HasPrefix(ref.GetDescription(), rootRecord) {
		r.root = &origin{parent, group}
	}
	return &record{ref, r}, nil
}

// record is what becomes a result of the step.
type record struct {
	cache.MutableRef

	of *records
}

// Commit implements [cache.MutableRef]. Nobody has the result before it is noted.
func (r *record) Commit(ctx context.Context) (cache.ImmutableRef, error) {
	ref, err := r.MutableRef.Commit(ctx)
	if err != nil || r.of.used == nil {
		return ref, err
	}
	if err := r.of.used.note(ref); err != nil {
		return nil, errors.Join(fmt.Errorf("noting the native tools of a step: %w", err), ref.Release(ctx))
	}
	return ref, nil
}

// usageKey is where a cache record has its usage, and the index of all that have one.
// BuildKit writes it with the record and removes it with the record.
const usageKey = "mabuild.tools"

// maxNoted bounds a usage. A step writes its log itself.
const maxNoted = 500

// usage is what native tools a step used.
type usage struct {
	Time         time.Time `json:"time"`
	Architecture string    `json:"architecture"`
	Toolboxes    []string  `json:"toolboxes"`
	// Tools are build-ids.
	Tools []string `json:"tools,omitempty"`
	// More is set if it may have used others, too.
	More bool `json:"more,omitempty"`
}

// usageOf is nil for a step that no tool ran in.
func usageOf(architecture string, record *dispatch.Step) *usage {
	if record.Hits == 0 && !record.Partial {
		return nil
	}
	u := &usage{Time: time.Now().UTC(), Architecture: architecture, Toolboxes: record.Toolboxes, More: record.Partial}
	for _, exec := range record.Execs {
		if exec.Kind == dispatch.Native {
			u.Tools = append(u.Tools, exec.BuildID)
		}
	}
	slices.Sort(u.Tools)
	u.Tools = slices.Compact(u.Tools)
	if len(u.Tools) > maxNoted {
		u.Tools, u.More = nil, true
	}
	return u
}

// has reports whether the tool may have been used.
func (u *usage) has(tool string) bool { return u.More || slices.Contains(u.Tools, tool) }

func (u *usage) note(record cache.RefMetadata) error {
	text, err := json.Marshal(u)
	if err != nil {
		return err
	}
	return record.SetString(usageKey, string(text), usageKey)
}

// madeWith returns the ids of the cache records of steps that a tool ran in.
func madeWith(ctx context.Context, manager cache.Manager, tool string) ([]string, error) {
	noted, err := manager.Search(ctx, usageKey, false)
	if err != nil {
		return nil, fmt.Errorf("reading what tools cache records were made with: %w", err)
	}
	var ids []string
	for _, record := range noted {
		var u usage
		if err := json.Unmarshal([]byte(record.GetString(usageKey)), &u); err != nil {
			u.More = true // whatever it was
		}
		if u.has(tool) {
			ids = append(ids, record.ID())
		}
	}
	return ids, nil
}
