package engine_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/emulation/toolbox"
)

// TestRunningStepGetsTools: a toolbox that is installed while a step runs serves what
// the step executes from then on, is in its record, and stays when all is pruned.
func TestRunningStepGetsTools(t *testing.T) {
	l := newLab(t, false, "")
	const work = `RUN ["/driver", "run", "1", "/tool", "text", "/first", "x", "+", "say", "running", "+", "burn", "1500", "+", "run", "3", "/tool", "text", "/made", "y"]` + "\n"
	var once sync.Once
	assisted := l.buildHearing(t.Context(), t, work, fresh(dispatch.AccountingAttribute, "off"), func() {
		once.Do(func() {
			l.addTools(t)
			pruned, err := toolbox.Open(l.opts.State.Toolboxes()).Prune(t.Context(), toolbox.PruneOptions{All: true})
			if err != nil || len(pruned.Kept) != 1 {
				t.Errorf("during the step was pruned %+v, %v", pruned, err)
			}
		})
	})
	if assisted.err != nil {
		t.Fatal(assisted.err)
	}
	step := assisted.one(t)
	if step.Hits != 3 || count(step, "/tool", dispatch.Native) != 3 || count(step, "/tool", dispatch.Unknown) != 1 {
		t.Errorf("one execution before the toolbox came and three after: %+v", step)
	}
	if !slices.Equal(step.Toolboxes, []string{l.box}) || step.Failed {
		t.Errorf("at its end the step had %v", step.Toolboxes)
	}
	plain := l.must(t, work, fresh(dispatch.AssistAttribute, dispatch.AssistOff, dispatch.AccountingAttribute, "off"))
	if diff := cmp.Diff(plain.diffIDs(t), assisted.diffIDs(t)); diff != "" {
		t.Errorf("the layers differ (-plain +assisted):\n%s", diff)
	}
	empty := l.must(t, work, fresh(dispatch.AccountingAttribute, "off"))
	if diff := cmp.Diff(plain.diffIDs(t), empty.diffIDs(t)); diff != "" || len(empty.steps) != 0 {
		t.Errorf("with a place for tools and none in it, the client hears %+v, and the layers differ:\n%s", empty.steps, diff)
	}
}

// TestLaterToolLeaks: the search for copies knows the tools that came during the step.
func TestLaterToolLeaks(t *testing.T) {
	l := newLab(t, false, "")
	var once sync.Once
	b := l.buildHearing(t.Context(), t, `RUN ["/driver", "say", "running", "+", "burn", "1500", "+", "copy", "/dev/.mabuild/t/tool", "/leak"]`+"\n", fresh(), func() {
		once.Do(func() { l.addTools(t) })
	})
	if step := b.one(t); b.err == nil || !slices.Equal(step.Leaks, []string{"/leak"}) {
		t.Errorf("got %v, %+v", b.err, step)
	}
}
