package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// TestLeakInCache: a tool does not stay in a cache, which outlives the step whatever
// becomes of it.
func TestLeakInCache(t *testing.T) {
	for _, snapshotter := range []string{"overlayfs", "native"} {
		t.Run(snapshotter, func(t *testing.T) {
			l := newLab(t, true, fmt.Sprintf("[worker.oci]\nsnapshotter = %q\n", snapshotter))
			for name, test := range map[string]struct {
				orders, leak string
				source       string // of the cache
				fails        bool   // without tools, too
			}{
				"whole directory": {"tree /dev /c/copy", "/c/copy/.mabuild/t/tool", "", false},
				"archive":         {"pack /dev /c/x.tar", "/c/x.tar: dev/.mabuild/t/tool", "", false},
				"failing step":    {"copy /dev/.mabuild/t/tool /c/x + nonsense", "/c/x", "", true},
				"files of a base": {"tree /dev /c/copy", "/c/copy/.mabuild/t/tool", ",from=base,source=/sub", false},
			} {
				t.Run(name, func(t *testing.T) {
					with := func(orders string) string {
						mount := "RUN --mount=type=cache,target=/c,sharing=locked,id=" + strings.ReplaceAll(name, " ", "") + test.source
						return "FROM scratch AS base\nCOPY driver /sub/\n" + dockerfile + strings.Replace(driver(orders), "RUN", mount, 1)
					}
					file, _, _ := strings.Cut(test.leak, ":")
					b := l.build(t, with(test.orders), fresh())
					if b.err == nil || strings.Contains(b.err.Error(), "in cache mounts they are deleted") == test.fails {
						t.Errorf("with tools: %v", b.err)
					}
					if step := b.one(t); !step.Failed || !slices.Equal(step.Leaks, []string{test.leak}) {
						t.Errorf("with tools: %+v", step)
					}
					l.must(t, with("absent "+file), fresh(dispatch.AssistAttribute, dispatch.AssistOff))
					b = l.build(t, with(test.orders), fresh())
					if step := b.one(t); (b.err != nil) != test.fails || step.Failed || step.Toolboxes != nil {
						t.Errorf("without: %v, %+v", b.err, step)
					}
				})
			}
		})
	}
}

// TestLeakOfCancelledStep: nobody waits for the step any more, and its cache is searched.
func TestLeakOfCancelledStep(t *testing.T) {
	l := newLab(t, true, "")
	with := func(orders string) string {
		return strings.Replace(driver(orders), "RUN", "RUN --mount=type=cache,target=/c,sharing=locked", 1)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	b := l.buildHearing(ctx, t, with("copy /dev/.mabuild/t/tool /c/x + wait"), fresh(), func() { cancel(errors.New("enough")) })
	if b.err == nil {
		t.Error("a step that was cancelled succeeded")
	}
	for _, step := range b.steps { // a client does not wait long for what it has cancelled
		if !slices.Equal(step.Leaks, []string{"/c/x"}) {
			t.Errorf("got %+v", step)
		}
	}
	l.must(t, with("absent /c/x"), fresh(dispatch.AssistAttribute, dispatch.AssistOff))
}
