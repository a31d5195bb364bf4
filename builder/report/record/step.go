package record

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/builder/report"
	"github.com/mabuild/mabuild/emulation/dispatch"
)

// step is one in the making.
type step struct {
	report.Step
	inputs   []digest.Digest // of a step that is not in the plan
	attempts map[int64]*attempt
	lines    *tail
	writer   string          // the job whose output is kept: all get the same
	cached   map[string]bool // jobs that got it from the cache
	failed   string
	under    map[string]bool // jobs for which it is under way or was stopped
	told     time.Time       // when Programs was
}

type attempt struct {
	report.Interval
	open, cached bool
}

// observe takes what is told to a job. The same is told several times, and to all jobs
// that need the step.
func (s *step) observe(platform string, v *client.Vertex, shift time.Duration) {
	if !slices.Contains(s.Platforms, platform) {
		s.Platforms = append(s.Platforms, platform)
	}
	if v.Cached {
		s.cached[platform] = true
	}
	if v.Started == nil {
		return
	}
	at := v.Started.Add(shift)
	a := s.attempts[at.UnixNano()]
	if a == nil {
		a = &attempt{Interval: report.Interval{Started: at, Completed: at}, open: true}
		s.attempts[at.UnixNano()] = a
	}
	if v.Completed == nil {
		s.under[platform] = a.open
		return
	}
	a.Completed, a.open, a.cached = v.Completed.Add(shift), false, v.Cached
	s.under[platform] = stopped(v.Error)
	switch {
	case v.Error == "":
		s.failed = "" // tried again
	case !stopped(v.Error):
		s.failed = v.Error
	}
}

// stopped tells what happens to a step because another one failed, or the user wants
// it, from a failure of its own.
func stopped(problem string) bool { return strings.HasSuffix(problem, "context canceled") }

// account takes what the engine tells of the programs that a step executed.
func (s *step) account(status *client.VertexStatus) {
	var programs dispatch.Step
	if status.Timestamp.Before(s.told) || json.Unmarshal([]byte(status.Name), &programs) != nil {
		return
	}
	s.told, s.Programs = status.Timestamp, &programs
}

func (s *step) log(platform string, data []byte) {
	if s.writer == "" {
		s.writer = platform
	}
	if s.writer == platform {
		s.lines.write(data)
	}
}

// finish completes the step as it is at the end of the build.
func (s *step) finish(ids map[digest.Digest]string, now time.Time) report.Step {
	done := s.Step
	done.Platforms = slices.Clone(s.Platforms)
	for _, input := range s.inputs {
		if id, known := ids[input]; known {
			done.Inputs = append(done.Inputs, id)
		}
	}
	worked := false
	for _, a := range s.attempts {
		if a.open {
			a.Completed = now
		}
		worked = worked || !a.cached
	}
	for _, a := range s.attempts {
		if a.cached && worked {
			continue // another job took from the cache what one had made
		}
		done.Intervals = append(done.Intervals, a.Interval)
	}
	slices.SortFunc(done.Intervals, func(a, b report.Interval) int { return a.Started.Compare(b.Started) })
	// A source works on its cache key before it is looked for in the cache.
	source := len(done.Inputs) == 0 && done.Kind != "internal"
	done.Cached = len(s.cached) > 0 && (!worked || source && len(s.cached) == len(s.Platforms))
	done.Error = s.failed
	if done.Error == "" {
		for _, under := range s.under {
			done.Canceled = done.Canceled || under
		}
		// One job may be stopped while another gets the result.
		done.Canceled = done.Canceled && !s.succeeded()
	}
	if done.State == report.Emulated && done.Programs != nil && done.Programs.Hits > 0 {
		done.State = report.Assisted
	}
	done.Log, done.LogOmitted = s.lines.all()
	return done
}

func (s *step) succeeded() bool {
	for _, under := range s.under {
		if !under {
			return true
		}
	}
	return false
}

// follow gives steps without inputs the one that they waited for.
func follow(steps []report.Step) {
	for i := range steps {
		s := &steps[i]
		if len(s.Inputs) > 0 || len(s.Intervals) == 0 || s.Cached {
			continue
		}
		last := -1
		for k := range steps {
			before := &steps[k]
			if k == i || len(before.Intervals) == 0 || before.Cached || s.Kind != "internal" && before.Kind != "internal" || !sharesJob(before, s) {
				continue
			}
			if end(before).After(s.Intervals[0].Started) || last >= 0 && !end(before).After(end(&steps[last])) {
				continue
			}
			last = k
		}
		if last >= 0 {
			s.Inputs = []string{steps[last].ID}
		}
	}
}

func sharesJob(a, b *report.Step) bool {
	return slices.ContainsFunc(a.Platforms, func(platform string) bool { return slices.Contains(b.Platforms, platform) })
}

func end(s *report.Step) time.Time {
	var last time.Time
	for _, v := range s.Intervals {
		if v.Completed.After(last) {
			last = v.Completed
		}
	}
	return last
}

// maxLine keeps one endless line from filling the memory.
const maxLine = 4096

// tail keeps the last lines of a stream.
type tail struct {
	most    int
	lines   []string // a ring, of which next is the oldest
	next    int
	omitted int
	partial []byte
}

func (t *tail) write(data []byte) {
	for {
		line, rest, ended := bytes.Cut(data, []byte("\n"))
		if room := maxLine - len(t.partial); room > 0 {
			t.partial = append(t.partial, line[:min(room, len(line))]...)
		}
		if !ended {
			return
		}
		t.push()
		data = rest
	}
}

func (t *tail) push() {
	line := string(bytes.TrimSuffix(t.partial, []byte("\r")))
	t.partial = t.partial[:0]
	if len(t.lines) < t.most {
		t.lines = append(t.lines, line)
		return
	}
	t.lines[t.next] = line
	t.next = (t.next + 1) % t.most
	t.omitted++
}

// all returns the lines, and how many before them are left out.
func (t *tail) all() ([]string, int) {
	lines := slices.Concat(t.lines[t.next:], t.lines[:t.next])
	omitted := t.omitted
	if len(t.partial) > 0 {
		lines = append(lines, string(t.partial))
	}
	if over := len(lines) - t.most; over > 0 {
		lines, omitted = lines[over:], omitted+over
	}
	if len(lines) == 0 {
		return nil, omitted
	}
	return lines, omitted
}
