package buildkit

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// logLines is how much of a failed step's output an error carries.
const logLines = 20

// maxLogLine keeps one endless line from filling the memory.
const maxLogLine = 4096

// steps remembers what an error has to tell about the step that failed: names and
// the end of the output.
type steps struct {
	names   map[digest.Digest]string
	started map[digest.Digest]time.Time
	logs    map[digest.Digest]*tail
	// failed is the last step that reported an error of its own.
	failed digest.Digest
	// assisted are the steps that failed, or will, with native tools of the engine.
	assisted map[digest.Digest]bool
}

func newSteps() *steps {
	return &steps{
		names: map[digest.Digest]string{}, started: map[digest.Digest]time.Time{},
		logs: map[digest.Digest]*tail{}, assisted: map[digest.Digest]bool{},
	}
}

func (s *steps) observe(status *client.SolveStatus) {
	for _, v := range status.Vertexes {
		s.names[v.Digest] = v.Name
		if v.Started != nil {
			s.started[v.Digest] = *v.Started
		}
		if v.Error != "" && !strings.HasSuffix(v.Error, "context canceled") && !ImportsCache(v) {
			s.failed = v.Digest
		}
		if v.Completed != nil && v.Error == "" {
			delete(s.logs, v.Digest)
		}
	}
	for _, v := range status.Statuses {
		var programs dispatch.Step
		if strings.HasPrefix(v.ID, dispatch.StepStatus) && json.Unmarshal([]byte(v.Name), &programs) == nil {
			s.assisted[v.Vertex] = programs.Failed
		}
	}
	for _, l := range status.Logs {
		t := s.logs[l.Vertex]
		if t == nil {
			t = &tail{}
			s.logs[l.Vertex] = t
		}
		t.write(l.Data)
	}
}

// logOf returns the last lines of the step with that name.
func (s *steps) logOf(name string) []string {
	for step, known := range s.names {
		if known == name {
			return s.logs[step].all()
		}
	}
	return nil
}

// tail keeps the last lines of a stream.
type tail struct {
	lines   []string
	partial []byte
}

func (t *tail) write(data []byte) {
	for {
		line, rest, ended := bytes.Cut(data, []byte("\n"))
		if room := maxLogLine - len(t.partial); room > 0 {
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
	t.lines = append(t.lines, strings.TrimRight(string(t.partial), "\r"))
	t.partial = t.partial[:0]
	if len(t.lines) > logLines {
		t.lines = append(t.lines[:0], t.lines[len(t.lines)-logLines:]...)
	}
}

// all returns the lines, the unfinished one included.
func (t *tail) all() []string {
	if t == nil {
		return nil
	}
	if len(t.partial) > 0 {
		t.push()
	}
	return t.lines
}
