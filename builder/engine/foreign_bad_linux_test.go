package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/emulation/toolbox"
)

// Build-ids of programs that steps make of the tool: another version of it, and one
// that needs a library.
const (
	newerID = "0000000000000000000000000000000000000703"
	needyID = "0000000000000000000000000000000000000704"
)

// addBadTools installs twins of all of them.
func (l *lab) addBadTools(t *testing.T) {
	t.Helper()
	needy := twinOf(needyID)
	needy.Closure = []toolbox.Need{{BuildID: driverID, Path: "/lib/needed"}}
	l.install(t, twinOf(toolID), twinOf(newerID), needy)
}

// driver is a command of the driver, with the build-ids by name.
func driver(orders string) string {
	orders = strings.NewReplacer("TOOL", toolID, "NEWER", newerID, "NEEDY", needyID).Replace(orders)
	words, err := json.Marshal(append([]string{"/driver"}, strings.Fields(orders)...))
	if err != nil {
		panic(err)
	}
	return "RUN " + string(words) + "\n"
}

// badInput is a step that does what no build should, and how it goes.
type badInput struct {
	work   string
	native int // executions
	misses map[dispatch.Kind]int
	// forged are native executions that there were none of.
	forged int
	// foreign are the native programs that are no tools.
	foreign int
	// partial: the step has destroyed some of its records.
	partial bool
}

// badInputs are the steps which succeed as they do without tools. Each counts the
// driver as an unknown program.
func badInputs() map[string]badInput {
	missed := func(kind dispatch.Kind, n int) map[dispatch.Kind]int { return map[dispatch.Kind]int{kind: n} }
	const twice = "run 1 /tool text /a x + %s + run 1 /tool text /b x"
	return map[string]badInput{
		"half upgraded base": {
			work: driver("rebuild /tool /needy TOOL NEEDY + mkdir /lib + copy /driver /lib/needed + run 1 /needy text /a x + " +
				"copy /tool /lib/needed + run 2 /needy text /b x"),
			native: 1, misses: missed(dispatch.Closure, 2),
		},
		"two versions": {
			work:   driver(fmt.Sprintf(twice, "rebuild /tool /newer TOOL NEWER + rename /newer /tool")),
			native: 2,
		},
		"LD_PRELOAD": {
			work:   "ENV LD_PRELOAD=/none.so\n" + driver("run 1 /tool text /a x"),
			misses: missed(dispatch.Environment, 1),
		},
		"LD_LIBRARY_PATH for some": {
			work:   driver(fmt.Sprintf(twice, "env LD_LIBRARY_PATH /lib")),
			native: 1, misses: missed(dispatch.Environment, 1),
		},
		"ld.so.preload in the middle": {
			work:   driver(fmt.Sprintf(twice, "text /etc/ld.so.preload /none.so")),
			native: 1, misses: missed(dispatch.Preload, 1),
		},
		"plugin": {
			work:   driver("run 1 /tool text /a -fplugin=/x.so + run 1 /tool text /b -plugin + run 1 /tool text /c x"),
			native: 1, misses: missed(dispatch.Plugin, 2),
		},
		"setuid of oneself": {
			work:   "COPY --chmod=4755 tool /setuid\n" + driver("run 1 /setuid text /a x"),
			native: 1,
		},
		"chroot without /dev": { // and so without a log
			work: driver("mkdir /new + copy /tool /new/tool + chroot /new /tool text /a x"),
		},
		"reads the tools": {
			work:   strings.Replace(driver("run 1 /tool text /a x + tree /dev /tmp/copy"), "RUN", "RUN --mount=type=tmpfs,target=/tmp", 1),
			native: 1,
		},
		"changes the tools": {
			work: driver("refused link /dev/.mabuild/t/tool /x + refused rename /dev/.mabuild/t/tool /x + refused append /dev/.mabuild/t/tool x + " +
				"refused truncate /dev/.mabuild/t/tool 0 + refused rename /dev/.mabuild /dev/x + symlink /dev/.mabuild/t/tool /link + run 1 /tool text /a x"),
			native: 1,
		},
		"other native programs": {
			work:   "COPY twin /there\n" + driver("run 1 /tool text /a x + append /there x + run 1 /there text /b x + copy /there /made"),
			native: 1, foreign: 2,
		},
		"forged records": {
			work: driver("forge /dev/.mabuild.log N 3 + forge /dev/.mabuild.log E 2 + forge /dev/.mabuild.log ? 5 + " +
				"append /dev/.mabuild.log MBX1-and-no-more + run 1 /tool text /a x"),
			native: 1, forged: 3, misses: missed(dispatch.Environment, 2),
		},
		"full log": {
			work:   driver("forge /dev/.mabuild.log N 60000 + run 1 /tool text /a x"),
			native: 1, forged: 60000, partial: true,
		},
		"another log": {
			work: driver("refused pipe /dev/.mabuild.log + refused rename /dev/.mabuild.log /dev/x + refused rename /tool /dev/.mabuild.log + " +
				"truncate /dev/.mabuild.log 1099511627776 + truncate /dev/.mabuild.log 0 + run 1 /tool text /a x"),
			native: 1, partial: true,
		},
	}
}

// TestBadInput: the layer is that of a build without tools, whatever a step does. One
// engine does all of it.
func TestBadInput(t *testing.T) {
	l := newLab(t, false, "")
	l.addBadTools(t)
	for name, test := range badInputs() {
		t.Run(name, func(t *testing.T) {
			assisted := l.must(t, test.work, fresh())
			step := assisted.one(t)
			if step.Failed || step.Leaks != nil || step.NativeFiles != test.foreign || !slices.Equal(step.Toolboxes, []string{l.box}) {
				t.Errorf("the step: %+v", step)
			}
			if !test.partial {
				delete(step.Misses, dispatch.Unknown) // the driver
				if step.Hits != test.native+test.forged || !maps.Equal(step.Misses, test.misses) {
					t.Errorf("%d native, want %d; others %v, want %v\n%+v", step.Hits, test.native+test.forged, step.Misses, test.misses, step.Execs)
				}
			}
			plain := l.must(t, test.work, fresh(dispatch.AssistAttribute, dispatch.AssistOff))
			if diff := cmp.Diff(plain.diffIDs(t), assisted.diffIDs(t)); diff != "" {
				t.Errorf("the layers differ (-plain +assisted):\n%s", diff)
			}
		})
	}
	for name, test := range map[string]struct {
		work  string
		leaks []string
	}{
		"whole directory": {driver("tree /dev /copy"), []string{"/copy/.mabuild/t/tool"}},
		"archive":         {driver("pack /dev /x.tar"), []string{"/x.tar: dev/.mabuild/t/tool"}},
		"tgz archive":     {driver("pack /dev /x.tgz"), []string{"/x.tgz: dev/.mabuild/t/tool"}},
		"same as a tool":  {"COPY twin /there\n" + driver("rename /there /moved"), []string{"/moved"}},
		"new name":        {"COPY twin /there\n" + driver("link /there /linked"), []string{"/linked", "/there"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := l.build(t, test.work, nil)
			if step := b.one(t); b.err == nil || !step.Failed || !slices.Equal(step.Leaks, test.leaks) {
				t.Errorf("with tools: %v, %+v", b.err, step)
			}
			if step := l.must(t, test.work, nil).one(t); step.Failed || step.Toolboxes != nil {
				t.Errorf("without: %+v", step)
			}
		})
	}
}

// TestStepOfOtherUser: a program that is root's whoever executes it is emulated. There
// are no other users where the engine has a single id.
func TestStepOfOtherUser(t *testing.T) {
	l := newLab(t, true, "")
	b := l.must(t, "COPY --chmod=4755 tool /setuid\nUSER 65534:65534\n"+driver("run 1 /setuid say x + run 1 /tool say x"), fresh())
	if step := b.one(t); step.Hits != 1 || step.Misses[dispatch.Secure] != 1 {
		t.Errorf("got %+v", step)
	}
}

// TestToolsDamagedDuringStep: the step ends well, or does when it is run without tools.
func TestToolsDamagedDuringStep(t *testing.T) {
	l := newLab(t, false, "")
	store := l.opts.State.Toolboxes()
	tool := func(view string) string { return filepath.Join(view, "t", "tool") }
	cut := func(view string, size int) error {
		text, err := os.ReadFile(tool(view))
		if err != nil {
			return err
		}
		// What is open for writing cannot be executed.
		return errors.Join(os.WriteFile(tool(view)+"-", text[:size], 0o755), os.Rename(tool(view)+"-", tool(view)))
	}
	const work = "run 1 /tool text /a x + say running + until /dev/.mabuild/t/tool %d + run 1 /tool text /b x"
	for _, test := range []struct {
		name   string
		size   int // of the tool afterwards
		damage func(view string) error
		want   dispatch.Kind // of the execution afterwards
	}{
		{"removed", -1, func(view string) error { return os.Remove(tool(view)) }, dispatch.Unknown},
		{"emptied", 0, func(view string) error { return cut(view, 0) }, dispatch.ExecFailed},
		{"cut", 900_000, func(view string) error { return cut(view, 900_000) }, dispatch.Native},
		{"without directory", -1, os.RemoveAll, dispatch.Unknown},
		{"without store", -1, func(string) error { return os.RemoveAll(store) }, dispatch.Unknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := os.RemoveAll(store); err != nil {
				t.Fatal(err)
			}
			l.addBadTools(t)
			var once sync.Once
			b := l.buildHearing(t.Context(), t, driver(fmt.Sprintf(work, test.size)), fresh(), func() {
				once.Do(func() {
					views, err := filepath.Glob(filepath.Join(store, "views", "arm64-proven*", "t"))
					if err != nil || len(views) != 1 {
						t.Errorf("the views are %v, %v", views, err)
						return
					}
					if err := test.damage(filepath.Dir(views[0])); err != nil {
						t.Error(err)
					}
				})
			})
			step := b.one(t)
			if count(step, "/tool", test.want) == 0 || !slices.Equal(step.Toolboxes, []string{l.box}) {
				t.Errorf("got %+v", step)
			}
			if fails := test.want == dispatch.Native; fails != step.Failed || fails != (b.err != nil) {
				t.Errorf("got %v, %+v", b.err, step)
			}
			if b.err != nil {
				b = l.must(t, driver(fmt.Sprintf(work, test.size)), fresh())
			}
			plain := l.must(t, driver(fmt.Sprintf(work, test.size)), fresh(dispatch.AssistAttribute, dispatch.AssistOff))
			if diff := cmp.Diff(plain.diffIDs(t), b.diffIDs(t)); diff != "" {
				t.Errorf("the layers differ (-plain +assisted):\n%s", diff)
			}
		})
	}
}

// TestLeakOfLostStore: what a step had is known when its toolboxes are not there any more.
func TestLeakOfLostStore(t *testing.T) {
	l := newLab(t, true, "")
	var once sync.Once
	b := l.buildHearing(t.Context(), t,
		driver("copy /dev/.mabuild/t/tool /stolen + say running + until /dev/.mabuild/t/tool -1"), fresh(), func() {
			once.Do(func() {
				if err := os.RemoveAll(l.opts.State.Toolboxes()); err != nil {
					t.Error(err)
				}
			})
		})
	if step := b.one(t); b.err == nil || !slices.Equal(step.Leaks, []string{"/stolen"}) {
		t.Errorf("got %v, %+v", b.err, step)
	}
}
