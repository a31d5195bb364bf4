package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// fresh are the attributes of a build that takes nothing from the cache.
func fresh(attrs ...string) map[string]string {
	m := map[string]string{"no-cache": ""}
	for i := 0; i+1 < len(attrs); i += 2 {
		m[attrs[i]] = attrs[i+1]
	}
	return m
}

// one returns the only step of a build.
func (b built) one(t *testing.T) dispatch.Step {
	t.Helper()
	if len(b.steps) != 1 {
		t.Fatalf("the client heard of %d emulated steps, want 1: %+v", len(b.steps), b.steps)
	}
	return b.steps[0]
}

// count is how often a program was executed in a way.
func count(step dispatch.Step, path string, kind dispatch.Kind) int {
	n := 0
	for _, exec := range step.Execs {
		if exec.Path == path && exec.Kind == kind {
			n += exec.Count
		}
	}
	return n
}

// TestStepRunsNatively: a program with a known build-id runs natively, one without
// does not, and a build without tools makes the same layers.
func TestStepRunsNatively(t *testing.T) {
	l := newLab(t, true, "")
	const work = `RUN ["/driver", "run", "3", "/tool", "text", "/made", "by the tool", "+", "text", "/driven", "by the driver"]` + "\n"
	assisted := l.must(t, work, fresh())
	step := assisted.one(t)
	if step.Hits != 3 || count(step, "/tool", dispatch.Native) != 3 || count(step, "/driver", dispatch.Unknown) != 1 {
		t.Errorf("three executions of the tool and one of the driver: %+v", step)
	}
	if !slices.Equal(step.Toolboxes, []string{l.box}) || step.Failed || step.Wall <= 0 {
		t.Errorf("the record of an assisted step is %+v", step)
	}
	plain := l.must(t, work, fresh(dispatch.AssistAttribute, dispatch.AssistOff))
	if step := plain.one(t); step.Hits != 0 || step.Toolboxes != nil || count(step, "/tool", dispatch.Unknown) != 3 {
		t.Errorf("without tools: %+v", step)
	}
	if diff := cmp.Diff(plain.diffIDs(t), assisted.diffIDs(t)); diff != "" {
		t.Errorf("the layers differ (-plain +assisted):\n%s", diff)
	}
	off := l.must(t, work, fresh(dispatch.AssistAttribute, dispatch.AssistOff, dispatch.AccountingAttribute, "off"))
	if len(off.steps) != 0 {
		t.Errorf("with everything off, the client hears %+v", off.steps)
	}
	if diff := cmp.Diff(off.diffIDs(t), assisted.diffIDs(t)); diff != "" {
		t.Errorf("the layers differ (-off +assisted):\n%s", diff)
	}
	shows := l.must(t, `RUN ["/tool", "arch", "/arch"]`+"\nRUN [\"/driver\", \"copy\", \"/arch\", \"/copy\"]\n", fresh())
	if len(shows.steps) != 2 || shows.steps[0].Hits != 1 || shows.steps[1].Hits != 0 {
		t.Errorf("the tool itself as the step's program: %+v", shows.steps)
	}
}

// TestAccountingWithoutTools: the log and the samples need no toolbox, and what the
// build says goes through a frontend that calls another.
func TestAccountingWithoutTools(t *testing.T) {
	l := newLab(t, false, "")
	var seconds map[string]float64
	for range 5 { // samples may be late, on a machine that is busy with something else
		step := l.must(t, `RUN ["/driver", "run", "2", "/tool", "burn", "700", "+", "burn", "300"]`+"\n", fresh()).one(t)
		if step.Misses[dispatch.Unknown] != 3 || step.Hits != 0 || len(step.Toolboxes) != 0 {
			t.Errorf("three executions without tools: %+v", step)
		}
		seconds = map[string]float64{}
		for _, row := range step.CPU {
			if !row.Emulated {
				t.Errorf("native program %+v in an emulated step", row)
			}
			seconds[row.Name+" "+row.BuildID] += row.Seconds
		}
		tool, driver := seconds["/tool "+toolID], seconds["/driver "+driverID]
		if tool > 0.9 && tool < 2.5 && driver > 0.2 && driver < 1.5 {
			return
		}
	}
	t.Errorf("1.4 s in /tool and 0.3 s in /driver were counted as %v", seconds)
}

// TestNativeStepHasNoRecord: steps of the machine's own platforms are BuildKit's alone.
func TestNativeStepHasNoRecord(t *testing.T) {
	l := newLab(t, true, "")
	b := l.must(t, "FROM scratch\nCOPY twin /\n"+`RUN ["/twin", "arch", "/arch"]`+"\n", map[string]string{"platform": "linux/amd64"})
	if len(b.steps) != 0 {
		t.Errorf("records of a native step: %+v", b.steps)
	}
}

// TestProvenanceOfAssistedStep: BuildKit takes secrets and networks from operations
// of its own type.
func TestProvenanceOfAssistedStep(t *testing.T) {
	l := newLab(t, true, "")
	const work = "# a comment\n" + `RUN --network=none --mount=type=secret,id=token ["/tool", "copy", "/run/secrets/token", "/out"]` + "\n"
	b := l.must(t, work, fresh("attest:provenance", "mode=max,version=v1"))
	if b.one(t).Hits != 1 {
		t.Errorf("the step had no tool: %+v", b.steps)
	}
	if !b.contains(`"secrets":[{"id":"token"`) && !b.contains(`"id": "token"`) {
		t.Error("the provenance does not name the step's secret")
	}
	plain := l.must(t, work, fresh("attest:provenance", "mode=max,version=v1", dispatch.AssistAttribute, "off"))
	for _, part := range []string{"token", `"network"`, `"hermetic"`, "NONE"} {
		if b.contains(part) != plain.contains(part) {
			t.Errorf("with tools, the provenance has %s: %t, without: %t", part, b.contains(part), plain.contains(part))
		}
	}
}

// TestLeakFailsTheStep: a tool in the layer fails the step, which is plain from then on.
func TestLeakFailsTheStep(t *testing.T) {
	for _, snapshotter := range []string{"overlayfs", "native"} {
		t.Run(snapshotter, func(t *testing.T) {
			l := newLab(t, true, fmt.Sprintf("[worker.oci]\nsnapshotter = %q\n", snapshotter))
			leak := fmt.Sprintf(`RUN ["/driver", "copy", "/dev/.mabuild/id/%s/tool", "/stolen"]`+"\n", toolID)
			b := l.build(t, leak, fresh())
			if b.err == nil || !strings.Contains(b.err.Error(), `copied "/stolen" from`) || !strings.Contains(b.err.Error(), "--assist=off") {
				t.Errorf("the error of a leak is %v", b.err)
			}
			if step := b.one(t); !step.Failed || !slices.Equal(step.Leaks, []string{"/stolen"}) {
				t.Errorf("the record of a leak is %+v", step)
			}
			// There is nothing to copy without tools.
			b = l.build(t, leak, fresh())
			if b.err == nil || strings.Contains(b.err.Error(), "--assist=off") || b.one(t).Failed || b.one(t).Toolboxes != nil {
				t.Errorf("the second time: %v, %+v", b.err, b.steps)
			}
			// A native program that is no tool is nobody's business.
			own := l.must(t, "COPY twin /other\n"+`RUN ["/driver", "append", "/other", "x", "+", "copy", "/tool", "/foreign"]`+"\n", fresh())
			if step := own.one(t); step.Failed || step.Leaks != nil || step.NativeFiles != 1 {
				t.Errorf("a step without a leak: %+v", step)
			}
		})
	}
}

// TestFailingStepIsRepeatedPlain: the same step succeeds when the client tries again.
func TestFailingStepIsRepeatedPlain(t *testing.T) {
	l := newLab(t, true, "")
	const work = `RUN ["/driver", "run", "1", "/tool", "native-fail"]` + "\n"
	b := l.build(t, work, nil)
	if b.err == nil || !b.one(t).Failed || b.one(t).Hits != 1 {
		t.Fatalf("with a tool that fails: %v, %+v", b.err, b.steps)
	}
	again := l.must(t, work, nil)
	if step := again.one(t); step.Failed || step.Hits != 0 || step.Toolboxes != nil {
		t.Errorf("without tools: %+v", step)
	}
	// A failure that no tool had a part in says nothing about tools.
	const other = `RUN ["/driver", "nonsense"]` + "\n"
	for range 2 {
		b := l.build(t, other, nil)
		if b.err == nil || b.one(t).Failed || b.one(t).Toolboxes == nil {
			t.Errorf("a step that fails by itself: %v, %+v", b.err, b.steps)
		}
	}
}

// TestCacheKeys: proven tools share the key with a build without tools, others do not.
func TestCacheKeys(t *testing.T) {
	l := newLab(t, true, "")
	const work = `RUN ["/tool", "text", "/made", "here"]` + "\n"
	ran := func(assist string) bool {
		t.Helper()
		return len(l.must(t, work, map[string]string{dispatch.AssistAttribute: assist}).steps) > 0
	}
	if !ran(dispatch.AssistProven) {
		t.Fatal("the first build did not run the step")
	}
	if ran(dispatch.AssistOff) {
		t.Error("a plain build does not take the result of proven tools")
	}
	if !ran(dispatch.AssistAll) {
		t.Error("a build with all tools takes the result of a plain one")
	}
	if ran(dispatch.AssistAll) {
		t.Error("a second build with all tools does not take the result of the first")
	}
	if b := l.build(t, work, map[string]string{dispatch.AssistAttribute: "some"}); b.err == nil || !strings.Contains(b.err.Error(), "use off, proven or all") {
		t.Errorf("an unknown value: %v", b.err)
	}
}

// TestConcurrentSteps: each has a log of its own, and all of them are gone at the end.
func TestConcurrentSteps(t *testing.T) {
	l := newLab(t, true, "")
	var text strings.Builder
	const stages = 4
	for i := range stages {
		fmt.Fprintf(&text, "FROM scratch AS s%d\nCOPY driver tool /\n"+`RUN ["/driver", "run", "%d", "/tool", "text", "/made", "%d"]`+"\n", i, i+1, i)
	}
	text.WriteString(dockerfile)
	for i := range stages {
		fmt.Fprintf(&text, "COPY --from=s%d /made /made%d\n", i, i)
	}
	var hits []int
	for _, step := range l.must(t, text.String(), fresh()).steps {
		hits = append(hits, step.Hits)
	}
	slices.Sort(hits)
	if diff := cmp.Diff([]int{1, 2, 3, 4}, hits); diff != "" {
		t.Errorf("native executions of the steps (-want +got):\n%s", diff)
	}
	l.noLogs(t)
}

// TestCancelledStep: it leaves no log, and says nothing against its tools.
func TestCancelledStep(t *testing.T) {
	l := newLab(t, true, "")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	const work = `RUN ["/tool", "wait"]` + "\n"
	b := l.buildHearing(ctx, t, work, fresh(), func() {
		if len(l.logs(t)) != 1 {
			t.Error("a running step has no log")
		}
		cancel(context.Canceled)
	})
	if b.err == nil {
		t.Error("a step that was cancelled succeeded")
	}
	l.noLogs(t)
}

func (l *lab) logs(t *testing.T) []string {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(string(l.opts.State), "steps", "*"))
	if err != nil {
		t.Error(err)
	}
	return logs
}

// noLogs waits until the steps' ends have been dealt with.
func (l *lab) noLogs(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); len(l.logs(t)) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("logs are left: %v", l.logs(t))
		}
	}
}

// TestStepsOfOrdinaryUser runs the tests above as a user without any rights, and
// without ids but its own.
func TestStepsOfOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the other tests ran as an ordinary user")
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("", "mabuild-user-") // t.TempDir is root's alone
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "engine.test")
	for from, to := range map[string]string{self: binary, buildProbes(t): filepath.Join(dir, "programs")} {
		if out, err := exec.CommandContext(t.Context(), "cp", "-r", from, to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	home := filepath.Join(dir, "home")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(home, 0o755), os.Chown(home, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	tests := []string{
		"TestStepRunsNatively", "TestAccountingWithoutTools", "TestLeakFailsTheStep", "TestFailingStepIsRepeatedPlain", "TestCancelledStep",
		"TestRunningStepGetsTools", "TestVerifiedStep", "TestLyingTool", "TestCancelledVerification", "TestDropTool",
		"TestBadInput", "TestDamagedToolbox", "TestToolsDamagedDuringStep", "TestLeakOfLostStore", "TestLeakInCache", "TestLeakOfCancelledStep",
	}
	cmd := exec.CommandContext(t.Context(), binary, "-test.v", "-test.run", "^("+strings.Join(tests, "|")+")$")
	cmd.Dir = home
	cmd.Env = append(os.Environ(), "HOME="+home, "TMPDIR=/tmp", programsVariable+"="+filepath.Join(dir, "programs"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("as an ordinary user: %v\n%s", err, out)
	}
	if ran := strings.Count("\n"+string(out), "\n--- PASS: Test"); ran != len(tests) {
		t.Errorf("%d of %d tests passed:\n%s", ran, len(tests), out)
	}
}

// TestStepWantsTools: a client hears once what toolboxes a step of some length lacks,
// also if the step does its best to be misunderstood.
func TestStepWantsTools(t *testing.T) {
	l := newLab(t, false, "")
	const base = "COPY <<end /etc/os-release\nID=debian\nVERSION_CODENAME=trixie\nend\n" +
		"COPY <<end /var/lib/dpkg/status\nPackage: dpkg\nend\n"
	b := l.must(t, base+`RUN ["/driver", "burn", "3500"]`+"\n", fresh(dispatch.AccountingAttribute, "off"))
	// One that takes very long wants more, later.
	if want := `{"architecture":"arm64","suites":["trixie-base","trixie"]}`; len(b.wants) == 0 || b.wants[0] != want || len(b.steps) != 0 {
		t.Errorf("the client heard %q, want %q, and %+v", b.wants, want, b.steps)
	}
	b = l.must(t, base+`RUN ["/driver", "pipe", "/etc/os-release", "+", "burn", "3500"]`+"\n", fresh())
	if len(b.wants) != 0 || len(b.steps) != 1 {
		t.Errorf("with a pipe for a file: %q, %+v", b.wants, b.steps)
	}
	b = l.must(t, base+`RUN ["/driver", "text", "/made", "x"]`+"\n", fresh())
	if step := b.one(t); len(b.wants) != 0 && step.Wall < 3 {
		t.Errorf("of a step of %v s: %q", step.Wall, b.wants)
	}
}

// TestDamagedToolbox: a build without tools is slow, one with damaged ones is wrong.
func TestDamagedToolbox(t *testing.T) {
	l := newLab(t, true, "")
	views, err := filepath.Glob(filepath.Join(l.opts.State.Toolboxes(), "views", "*", "t", "tool"))
	if err != nil || len(views) == 0 {
		t.Fatalf("there is no view: %v", err)
	}
	for _, view := range views {
		if err := errors.Join(os.Remove(view), os.WriteFile(view, []byte("no tool"), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	step := l.must(t, `RUN ["/tool", "text", "/made", "here"]`+"\n", fresh()).one(t)
	if step.Hits != 0 || step.Toolboxes != nil || step.Misses[dispatch.Unknown] != 1 {
		t.Errorf("with a damaged toolbox: %+v", step)
	}
}

// TestRefusedQEMU: an emulator that cannot have the stub serves as it is.
func TestRefusedQEMU(t *testing.T) {
	plain, err := exec.LookPath("qemu-aarch64-static")
	if err != nil {
		t.Skip("there is no QEMU for arm64")
	}
	body, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	// One that has a dispatcher already cannot get another.
	if body, err = dispatch.Inject(body); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "qemu-aarch64-static")
	writeFile(t, other, string(body), 0o755)
	opts := options(t)
	opts.Tools.QEMU = map[string]string{"aarch64": other}
	lease := acquire(t, opts)
	defer lease.Release()
	info, err := lease.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range info.Emulation.Handlers {
		if refused := h.Arch == "aarch64"; refused != (h.Dispatcher == "") || refused && h.Interpreter != other {
			t.Errorf("registered %+v", h)
		}
	}
	log, err := os.ReadFile(opts.State.Log())
	if err != nil || !strings.Contains(string(log), "it has a dispatcher already") {
		t.Errorf("the log does not say why: %v\n%s", err, log)
	}
}
