package progress

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/progress/progressui"
	digest "github.com/opencontainers/go-digest"
	"golang.org/x/term"
)

// Mode is a way of showing progress.
type Mode string

// The modes that users can ask for.
const (
	Auto  Mode = "auto" // TTY on a terminal, otherwise Plain
	TTY   Mode = "tty"
	Plain Mode = "plain"
	JSON  Mode = "json"
	Quiet Mode = "quiet"
)

// ParseMode reads a mode; rawjson is what buildx calls JSON, and the empty
// string is Auto.
func ParseMode(s string) (Mode, error) {
	switch mode := Mode(s); mode {
	case "":
		return Auto, nil
	case "rawjson":
		return JSON, nil
	case "none":
		return Quiet, nil
	case Auto, TTY, Plain, JSON, Quiet:
		return mode, nil
	}
	return "", fmt.Errorf("unknown progress mode %q: use auto, tty, plain, json or quiet", s)
}

// Display merges the status of jobs and draws it. It is safe for concurrent use.
type Display struct {
	mode    Mode // never Auto
	updates chan *client.SolveStatus
	done    chan error

	mu     sync.Mutex
	owners map[digest.Digest]*owner // of steps
	ended  map[string]bool          // jobs
	failed string                   // the first job with a step that failed
	closed bool
}

// owner is the job that shows a step.
type owner struct {
	job string
	// last is the time of the latest that was shown. What is not after since was
	// shown by the owner before.
	last, since time.Time
}

// New draws on w until Close.
func New(w io.Writer, mode Mode) (*Display, error) {
	if f, ok := w.(*os.File); mode == Auto {
		mode = Plain
		if ok && term.IsTerminal(int(f.Fd())) {
			mode = TTY
		}
	}
	raw := progressui.DisplayMode(mode)
	switch mode {
	case JSON:
		raw = progressui.RawJSONMode
	case Plain:
		w = &withoutEpilogue{w: w}
	}
	ui, err := progressui.NewDisplay(w, raw)
	if err != nil {
		return nil, fmt.Errorf("showing progress as %s: %w; use auto or plain", mode, err)
	}
	d := &Display{
		mode:    mode,
		updates: make(chan *client.SolveStatus, 16),
		done:    make(chan error, 1),
		owners:  map[digest.Digest]*owner{},
		ended:   map[string]bool{},
	}
	go func() {
		// The channel's end, not a context, stops the drawing: the last lines of a
		// cancelled build are what its user wants to see.
		_, err := ui.UpdateFrom(context.Background(), d.updates)
		d.done <- err
	}()
	return d, nil
}

// Report shows a status of the job with that name. rename gives the name under
// which a step is shown.
func (d *Display) Report(job string, status *client.SolveStatus, rename func(string) string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	shown := d.own(job, status, rename)
	if len(shown.Vertexes)+len(shown.Statuses)+len(shown.Logs)+len(shown.Warnings) > 0 {
		d.updates <- shown
	}
}

// End says that a job reports no more.
func (d *Display) End(job string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended[job] = true
}

// ShowsOutputOf reports whether the display shows the whole output of the job's
// failed step when it is closed, as it does on a terminal for the first job that
// fails.
func (d *Display) ShowsOutputOf(job string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mode == TTY && d.failed == job
}

// Close draws what is left. Later reports are dropped.
func (d *Display) Close() error {
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		close(d.updates)
	}
	d.mu.Unlock()
	err := <-d.done
	d.done <- err
	return err
}

// own keeps of a status what belongs to steps that the job shows.
func (d *Display) own(job string, status *client.SolveStatus, rename func(string) string) *client.SolveStatus {
	out := &client.SolveStatus{}
	for _, v := range status.Vertexes {
		if d.owns(job, v.Digest, latest(v)) {
			shown := *v
			shown.Name = rename(v.Name)
			shown.Error = d.errorOf(job, v.Error)
			out.Vertexes = append(out.Vertexes, &shown)
		}
	}
	for _, s := range status.Statuses {
		if d.owns(job, s.Vertex, s.Timestamp) {
			out.Statuses = append(out.Statuses, s)
		}
	}
	for _, l := range status.Logs {
		if d.owns(job, l.Vertex, l.Timestamp) {
			out.Logs = append(out.Logs, l)
		}
	}
	for _, w := range status.Warnings {
		if d.owns(job, w.Vertex, time.Time{}) {
			out.Warnings = append(out.Warnings, w)
		}
	}
	return out
}

// owns reports whether the job shows what happened to a step at a time. A step
// without an owner, or whose owner has ended, becomes the job's. BuildKit tells a
// job that comes late all that happened to a shared step before; what the owner
// before has shown of it is not shown again.
func (d *Display) owns(job string, step digest.Digest, at time.Time) bool {
	o := d.owners[step]
	switch {
	case o == nil:
		o = &owner{job: job}
		d.owners[step] = o
	case o.job != job && d.ended[o.job]:
		o.job, o.since = job, o.last
	}
	if o.job != job || (!o.since.IsZero() && !at.After(o.since)) {
		return false
	}
	if at.After(o.last) {
		o.last = at
	}
	return true
}

// latest is the time of what a status tells of a step.
func latest(v *client.Vertex) time.Time {
	switch {
	case v.Completed != nil:
		return *v.Completed
	case v.Started != nil:
		return *v.Started
	}
	return time.Time{}
}

// errorOf is the error to show for a step: of the jobs that fail, the first one's.
func (d *Display) errorOf(job, text string) string {
	canceled := context.Canceled.Error() // what progressui looks for
	if text == "" || strings.HasSuffix(text, canceled) {
		return text
	}
	if d.failed == "" {
		d.failed = job
	}
	if d.failed != job {
		return canceled
	}
	return text
}

// withoutEpilogue drops what progressui writes last in plain mode: the output of
// failed steps once more, ten lines of it. Callers tell more, and for one step.
// A rule of dashes in a write of its own begins it; lines of steps have a prefix.
type withoutEpilogue struct {
	w     io.Writer
	begun bool
}

func (e *withoutEpilogue) Write(p []byte) (int, error) {
	if e.begun = e.begun || string(p) == "------\n"; e.begun {
		return len(p), nil
	}
	return e.w.Write(p)
}

// Prefix puts a platform into a step's name the way BuildKit does for a build of
// several platforms: "[build 2/3] RUN make" becomes "[linux/arm64 build 2/3] RUN
// make", and a step without a stage "[linux/arm64] exporting to image". What is
// internal to BuildKit belongs to no platform.
func Prefix(platform, name string) string {
	rest, staged := strings.CutPrefix(name, "[")
	switch {
	case strings.HasPrefix(name, "[internal]"), strings.HasPrefix(name, "[auth]"):
		return name
	case staged:
		return "[" + platform + " " + rest
	}
	return "[" + platform + "] " + name
}
