package buildkit

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner"
)

// watch ends a job whose RUN step prints nothing for too long: an emulated process
// that waits for a child that died never ends by itself (case 27).
type watch struct {
	limit time.Duration
	job   planner.Job
	file  string
	end   func(cause error)
	// others is when a RUN step of any of the solver's jobs printed or ended last.
	others *atomic.Pointer[time.Time]

	mu sync.Mutex // timers fire at any time
	// running are the RUN steps that have not ended, and what will end them.
	running map[digest.Digest]*runningStep
}

type runningStep struct {
	name    string
	heard   time.Time // when it began or printed last
	printed bool
	timer   *time.Timer
}

// watch returns what ends the job by the solver's limit.
func (s *Solver) watch(job planner.Job, end func(cause error)) *watch {
	return &watch{
		limit: s.opts.IdleTimeout, job: job, file: s.opts.Source.filename, end: end,
		others: &s.printed, running: map[digest.Digest]*runningStep{},
	}
}

// observe is called for one status after the other.
func (w *watch) observe(status *client.SolveStatus) {
	if w.limit <= 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for _, v := range status.Vertexes {
		step := w.running[v.Digest]
		switch {
		case v.Completed != nil && step != nil:
			step.timer.Stop()
			delete(w.running, v.Digest)
			w.others.Store(&now)
		case v.Completed == nil && v.Started != nil && step == nil && strings.Contains(v.Name, "] RUN "):
			began := &runningStep{name: v.Name, heard: now}
			began.timer = time.AfterFunc(w.limit, func() { w.expire(v.Digest, began) })
			w.running[v.Digest] = began
		}
	}
	for _, l := range status.Logs {
		if step := w.running[l.Vertex]; step != nil {
			step.heard, step.printed = now, true
			w.others.Store(&now)
		}
	}
}

// expire ends the job, unless the step has ended or was heard of while its timer ran.
func (w *watch) expire(id digest.Digest, step *runningStep) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running[id] != step {
		return
	}
	heard := step.heard
	// BuildKit calls a step started before it waits for a locked cache mount
	// (llbsolver/mounts/mount.go, getRefCacheDirNoCache): whoever holds that may print.
	if last := w.others.Load(); last != nil && !step.printed && strings.Contains(step.name, "sharing=locked") {
		heard = *last
	}
	if rest := w.limit - time.Since(heard); rest > 0 {
		step.timer.Reset(rest)
		return
	}
	w.end(w.failure(step.name))
}

// stop is called when there is no more to observe.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, step := range w.running {
		step.timer.Stop()
	}
	clear(w.running)
}

func (w *watch) failure(name string) error {
	e := &Error{
		Platform: &w.job.Platform, Step: name, File: w.file,
		Err:  fmt.Errorf("the step printed nothing for %s and was ended: %s", w.limit, name),
		Hint: "If it only is slow, raise --idle-timeout. An emulated process that hangs is a fault of QEMU: another version of it, a cross-compiling stage or a node of that platform helps.",
	}
	e.Stage, e.Line = placeOf(w.job, name)
	return e
}

// placeOf finds the stage and line of a step that BuildKit calls "[build 2/5] RUN make".
func placeOf(job planner.Job, step string) (stage string, line int) {
	inner, _, ok := strings.Cut(strings.TrimPrefix(step, "["), "]")
	if !ok || !strings.HasPrefix(step, "[") {
		return "", 0
	}
	name, numbers, ok := strings.Cut(inner, " ")
	if !ok { // a Dockerfile with one stage: "[2/5] RUN make"
		name, numbers = "", inner
	}
	var k, n int
	if _, err := fmt.Sscanf(strings.TrimSpace(numbers), "%d/%d", &k, &n); err != nil {
		return name, 0
	}
	for _, s := range job.Stages {
		if s.Name == name || name == "" && len(job.Stages) > 0 && s.Line == job.Stages[len(job.Stages)-1].Line {
			return s.Name, s.StepLine(k, n)
		}
	}
	return name, 0
}
