package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/mabuild/mabuild/builder/engine"
	"github.com/mabuild/mabuild/emulation/dispatch"
)

// compared are the attributes of a build that compares every step with native tools.
func compared() map[string]string { return fresh(dispatch.AssistVerifyAttribute, "100%") }

// verified is what came of comparing the only step of a build.
func (b built) verified(t *testing.T) dispatch.Verification {
	t.Helper()
	v := b.one(t).Verification
	if v == nil {
		t.Fatalf("the step was not compared: %v", b.err)
	}
	return *v
}

// awaitNone returns when the cache has no such record any more: BuildKit answers before
// it lets go of what a build had.
func (l *lab) awaitNone(t *testing.T, such func(*client.UsageInfo) bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		records, err := l.client.DiskUsage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		left := slices.IndexFunc(records, such)
		if left < 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a record is left: %+v", records[left])
		}
	}
}

// noLeftovers checks that comparing steps has left nothing in the cache.
func (l *lab) noLeftovers(t *testing.T) {
	t.Helper()
	l.awaitNone(t, func(u *client.UsageInfo) bool { return strings.Contains(u.Description, "to compare") })
}

// TestVerifiedStep: a step that leaves the same without tools, whatever it runs with.
func TestVerifiedStep(t *testing.T) {
	l := newLab(t, true, "")
	for name, work := range map[string]string{
		"files":   `RUN ["/driver", "run", "2", "/tool", "text", "/made", "here", "+", "copy", "/tool", "/dir/copy"]`,
		"cache":   `RUN --mount=type=cache,target=/cache ["/tool", "absent", "/cache/x", "+", "text", "/cache/x", "here", "+", "text", "/made", "here"]`,
		"mode":    `RUN --mount=type=cache,target=/cache,mode=0700,id=mode ["/tool", "absent", "/cache/y", "+", "text", "/cache/y", "here"]`,
		"tmpfs":   `RUN --mount=type=tmpfs,target=/tmp ["/tool", "absent", "/tmp/x", "+", "text", "/tmp/x", "here"]`,
		"secret":  `RUN --mount=type=secret,id=token ["/tool", "copy", "/run/secrets/token", "/made"]`,
		"context": `RUN --mount=type=bind,target=/context ["/tool", "copy", "/context/driver", "/made"]`,
	} {
		b := l.must(t, "COPY <<end /dir/\nend\n"+work+"\n", compared())
		if v := b.verified(t); !v.Same() || v.Forgotten > 0 || v.Seconds <= 0 {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if v := l.must(t, `RUN ["/tool", "text", "/made", "here"]`+"\n", fresh()).one(t).Verification; v != nil {
		t.Errorf("a build that does not want it: %+v", v)
	}
	// There is nothing to compare with where no tool ran.
	if v := l.must(t, `RUN ["/driver", "text", "/made", "here"]`+"\n", compared()).one(t).Verification; v != nil {
		t.Errorf("a step without tools: %+v", v)
	}
	if b := l.build(t, "RUN x\n", fresh(dispatch.AssistVerifyAttribute, "some")); b.err == nil || !strings.Contains(b.err.Error(), "write 5%") {
		t.Errorf("an unknown share: %v", b.err)
	}
	l.noLeftovers(t)
	l.noLogs(t)
}

// TestLyingTool: what a tool makes otherwise than the program in its place fails the
// build, once and for all: the engine does not use it in that step again.
func TestLyingTool(t *testing.T) {
	l := newLab(t, true, "")
	const work = `RUN ["/driver", "run", "1", "/tool", "arch", "/made", "+", "text", "/same", "here", "+", "clock", "/now", "/", "1"]` + "\n"
	b := l.build(t, work, compared())
	if b.err == nil {
		t.Fatalf("the build succeeded: %+v", b.steps)
	}
	for _, part := range []string{"linux/arm64", `these paths differ: "/made": content; natively`, `"/tool" (` + toolID + ")", "--assist=off", "cache drop"} {
		if !strings.Contains(b.err.Error(), part) {
			t.Errorf("the error does not have %q: %v", part, b.err)
		}
	}
	// The clock's file, and the names of two runs at once.
	if v := b.verified(t); v.Same() || !slices.Equal(v.Differing, []string{`"/made": content`}) || v.Forgotten != 3 {
		t.Errorf("compared: %+v", v)
	}
	if b.one(t).Failed {
		t.Error("the client is told to build again")
	}
	again := l.must(t, work, compared())
	if step := again.one(t); step.Hits != 0 || step.Toolboxes != nil || step.Verification != nil {
		t.Errorf("the second time: %+v", step)
	}
	l.noLeftovers(t)
}

// TestStepFailsPlain: a step that goes well with tools alone.
func TestStepFailsPlain(t *testing.T) {
	l := newLab(t, true, "")
	b := l.build(t, `RUN ["/tool", "plain-fail"]`+"\n", compared())
	if b.err == nil || !strings.Contains(b.err.Error(), "fails without native tools") {
		t.Errorf("the error is %v", b.err)
	}
	if v := b.verified(t); v.Same() || !v.Failed || b.one(t).Failed {
		t.Errorf("compared: %+v", v)
	}
	l.noLeftovers(t)
}

// TestNoisyStep: what no two runs have in common says nothing of tools.
func TestNoisyStep(t *testing.T) {
	l := newLab(t, true, "")
	for _, unit := range []string{"1", "1000000000"} { // of the clock, in nanoseconds
		b := l.must(t, `RUN ["/tool", "clock", "/now", "/", "`+unit+`"]`+"\n", compared())
		if v := b.verified(t); !v.Same() || v.Forgotten > 3 {
			t.Errorf("compared: %+v", v)
		}
	}
	l.noLeftovers(t)
}

// TestUnverifiedStep: what cannot be run again is not compared, and says so.
func TestUnverifiedStep(t *testing.T) {
	l := newLab(t, true, "")
	for work, why := range map[string]string{
		`RUN --mount=type=bind,target=/context,rw ["/tool", "arch", "/context/made"]`:                      "it can write to what is mounted at /context",
		`RUN --mount=type=cache,from=scratched,source=/,target=/c ["/tool", "arch", "/c/made"]`:            "the cache at /c starts with files of an image",
		`RUN --mount=type=bind,from=scratched,target=/b --network=none ["/tool", "text", "/made", "here"]`: "",
	} {
		b := l.must(t, "FROM scratch AS scratched\nCOPY driver /\n"+dockerfile+work+"\n", compared())
		if v := b.verified(t); why == "" && !v.Same() || !strings.Contains(v.Skipped, why) {
			t.Errorf("%s: %+v", work, v)
		}
	}
	native := newLab(t, true, "[worker.oci]\nsnapshotter = \"native\"\n")
	b := native.must(t, `RUN ["/tool", "arch", "/made"]`+"\n", compared())
	if v := b.verified(t); !strings.Contains(v.Skipped, "overlayfs") {
		t.Errorf("with another snapshotter: %+v", v)
	}
}

// TestCancelledVerification: it ends at once, and leaves nothing.
func TestCancelledVerification(t *testing.T) {
	l := newLab(t, true, "")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	began := time.Now()
	b := l.buildHearing(ctx, t, `RUN ["/tool", "plain-wait"]`+"\n", compared(), func() { cancel(errors.New("enough")) })
	if b.err == nil || time.Since(began) > 5*time.Minute {
		t.Errorf("after %s: %v", time.Since(began), b.err)
	}
	for _, step := range b.steps {
		if step.Verification != nil {
			t.Errorf("the client hears %+v", step.Verification)
		}
	}
	l.noLeftovers(t)
	l.noLogs(t)
}

// TestKilledVerification: the next engine removes what is left.
func TestKilledVerification(t *testing.T) {
	l := newLab(t, true, "")
	records := func(c *client.Client) int {
		t.Helper()
		usage, err := c.DiskUsage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(slices.DeleteFunc(usage, func(u *client.UsageInfo) bool { return !strings.Contains(u.Description, "to compare") }))
	}
	pid := 0
	b := l.buildHearing(t.Context(), t, `RUN ["/tool", "plain-wait"]`+"\n", compared(), func() {
		// It is told before the file system is made.
		for deadline := time.Now().Add(2 * time.Minute); records(l.client) == 0 && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
		info, err := engine.Inspect(t.Context(), l.opts.State)
		if err != nil {
			t.Fatal(err)
		}
		pid = info.PID
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	})
	if b.err == nil {
		t.Error("the build succeeded on an engine that was killed")
	}
	waitForEnd(t, l.opts.State)
	lease := acquire(t, l.opts)
	defer lease.Release()
	if next := pidOf(t, lease); next == pid {
		t.Fatalf("engine %d was not killed", pid)
	}
	c, err := client.New(t.Context(), lease.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n := records(c); n != 0 {
		t.Errorf("%d records are left", n)
	}
}

// TestDropTool: the records of steps that a tool ran in, what is on top of them and
// what was copied out of them run again, and nothing else.
func TestDropTool(t *testing.T) {
	l := newLab(t, true, "")
	const work = `RUN ["/driver", "text", "/before", "here"]
RUN ["/tool", "text", "/made", "here"]
RUN ["/driver", "text", "/after", "here"]
FROM scratch AS other
COPY driver tool /
RUN ["/driver", "text", "/other", "here"]
COPY --from=0 /made /made
RUN ["/driver", "text", "/last", "here"]
`
	count := func(attrs map[string]string) int { return len(l.must(t, work, attrs).steps) }
	if n := count(nil); n != 5 {
		t.Fatalf("%d steps ran, want 5", n)
	}
	if n := count(nil); n != 0 {
		t.Fatalf("%d steps ran, want none", n)
	}
	dropped := func(tool string, dry bool) int {
		t.Helper()
		l.awaitNone(t, func(u *client.UsageInfo) bool { return u.InUse })
		filter := client.Filter{dispatch.ToolFilter + tool}
		if dry {
			records, err := l.client.DiskUsage(t.Context(), filter)
			if err != nil {
				t.Fatal(err)
			}
			return len(records)
		}
		n, removed := 0, make(chan client.UsageInfo)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range removed {
				n++
			}
		}()
		err := l.client.Prune(t.Context(), removed, filter)
		close(removed)
		<-done
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, dry := range []bool{true, false} {
		if n := dropped(driverID, dry); n != 0 {
			t.Errorf("%d records of a program that is no tool", n)
		}
	}
	would := dropped(toolID, true)
	if n := count(nil); n != 0 {
		t.Fatalf("%d steps ran after nothing was dropped", n)
	}
	if n := dropped(toolID, false); n != would || n < 4 {
		t.Errorf("%d records were dropped, %d would have been", n, would)
	}
	// The step with the tool, the one on top of it, and the one behind the copy.
	if n := count(map[string]string{dispatch.AssistAttribute: "off"}); n != 3 {
		t.Errorf("%d steps ran, want 3", n)
	}
	if n := dropped(toolID, false); n != 0 {
		t.Errorf("%d records of steps without tools", n)
	}
}
