package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/emulation/toolbox"
)

// pause is an order of the driver to wait for resume, of this process alone.
func pause() string { return fmt.Sprintf("pause test-%d", os.Getpid()) }

// resume ends the waiting.
func resume(t *testing.T) {
	t.Helper()
	paused := []byte(strings.ReplaceAll(pause(), " ", "\x00") + "\x00")
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Error(err)
	}
	for _, file := range files {
		if line, _ := os.ReadFile(file); !bytes.Contains(line, paused) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err := errors.Join(err, syscall.Kill(pid, syscall.SIGTERM)); err != nil {
			t.Error(err)
		}
		return
	}
	t.Error("no step waits")
}

// paused builds, and goes on with the step that pauses when meanwhile has returned.
func (l *lab) paused(t *testing.T, work string, attrs map[string]string, meanwhile func()) built {
	t.Helper()
	var once sync.Once
	return l.buildHearing(t.Context(), t, work, attrs, func() {
		once.Do(func() {
			meanwhile()
			resume(t)
		})
	})
}

// TestRunningStepGetsTools: a toolbox that is installed while a step runs serves what
// the step executes from then on, is in its record, and stays when all is pruned.
func TestRunningStepGetsTools(t *testing.T) {
	l := newLab(t, false, "")
	work := driver("run 1 /tool text /first x + " + pause() + " + run 3 /tool text /made y")
	assisted := l.paused(t, work, fresh(dispatch.AccountingAttribute, "off"), func() {
		l.addTools(t)
		pruned, err := toolbox.Open(l.opts.State.Toolboxes()).Prune(t.Context(), toolbox.PruneOptions{All: true})
		if err != nil || len(pruned.Kept) != 1 {
			t.Errorf("during the step was pruned %+v, %v", pruned, err)
		}
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
	again := func(attrs ...string) built {
		t.Helper()
		b := l.paused(t, work, fresh(append(attrs, dispatch.AccountingAttribute, "off")...), func() {})
		if b.err != nil {
			t.Fatal(b.err)
		}
		return b
	}
	plain := again(dispatch.AssistAttribute, dispatch.AssistOff)
	if diff := cmp.Diff(plain.diffIDs(t), assisted.diffIDs(t)); diff != "" {
		t.Errorf("the layers differ (-plain +assisted):\n%s", diff)
	}
	empty := again()
	if diff := cmp.Diff(plain.diffIDs(t), empty.diffIDs(t)); diff != "" || len(empty.steps) != 0 {
		t.Errorf("with a place for tools and none in it, the client hears %+v, and the layers differ:\n%s", empty.steps, diff)
	}
}

// TestLaterToolLeaks: the search for copies knows the tools that came during the step.
func TestLaterToolLeaks(t *testing.T) {
	l := newLab(t, false, "")
	b := l.paused(t, driver(pause()+" + copy /dev/.mabuild/t/tool /leak"), fresh(), func() { l.addTools(t) })
	if step := b.one(t); b.err == nil || !slices.Equal(step.Leaks, []string{"/leak"}) {
		t.Errorf("got %v, %+v", b.err, step)
	}
}
