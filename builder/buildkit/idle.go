package buildkit

import (
	"fmt"
	"strings"
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
	// running are the RUN steps that have not ended, and what will end them.
	running map[digest.Digest]*runningStep
}

type runningStep struct {
	name  string
	timer *time.Timer
}

// observe is called for one status after the other.
func (w *watch) observe(status *client.SolveStatus) {
	if w.limit <= 0 {
		return
	}
	for _, v := range status.Vertexes {
		step := w.running[v.Digest]
		switch {
		case v.Completed != nil && step != nil:
			step.timer.Stop()
			delete(w.running, v.Digest)
		case v.Completed == nil && v.Started != nil && step == nil && strings.Contains(v.Name, "] RUN "):
			name := v.Name
			w.running[v.Digest] = &runningStep{name: name, timer: time.AfterFunc(w.limit, func() { w.end(w.failure(name)) })}
		}
	}
	for _, l := range status.Logs {
		if step := w.running[l.Vertex]; step != nil {
			step.timer.Reset(w.limit)
		}
	}
}

// stop is called when there is no more to observe.
func (w *watch) stop() {
	for _, step := range w.running {
		step.timer.Stop()
	}
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
