package ci

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// LogOptions say how a log is written.
type LogOptions struct {
	// System is whose log it is. Default: Plain.
	System System
	// Secrets are hidden, and told to the runner before anything else is written.
	Secrets []string
	// Direct is for builds of one platform: its output is written as it comes, and
	// not in a group.
	Direct bool
	// MaxPlatform is how many bytes of a platform's output are kept until it ends. The
	// middle of what is longer is left out. Default: 8 MiB.
	MaxPlatform int
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Log writes the output of a build for a CI system: a group per platform when it has
// ended, and those that failed last and open. Write is for what belongs to no
// platform, and to see that the build is alive. Log is safe for concurrent use.
type Log struct {
	system  System
	direct  bool
	most    int
	now     func() time.Time
	w       io.Writer
	mu      sync.Mutex
	err     error // of the first write that failed
	secrets *Secrets
	masked  map[string]bool // what the runner has been told
	lines   splitter
	jobs    map[string]*job
	order   []*job
	within  bool // the last line belongs to a group
	closed  bool
}

// job is one platform's part.
type job struct {
	name, note string
	started    time.Time
	lines      splitter
	kept       excerpt
	ended      bool
	failed     bool
}

// NewLog begins a log.
func NewLog(w io.Writer, opts LogOptions) *Log {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.MaxPlatform <= 0 {
		opts.MaxPlatform = 8 << 20
	}
	if opts.System == "" {
		opts.System = Plain
	}
	l := &Log{system: opts.System, direct: opts.Direct, most: opts.MaxPlatform, now: opts.Now, w: w, masked: make(map[string]bool), jobs: make(map[string]*job)}
	l.Mask(opts.Secrets...)
	return l
}

// Mask hides more secrets from now on.
func (l *Log) Mask(secrets ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.secrets = l.secrets.With(secrets...)
	for _, secret := range secrets {
		for _, line := range linesOf(secret) {
			if command := l.system.maskCommand(line); command != "" && !l.masked[line] {
				l.masked[line] = true
				l.put(command)
			}
		}
	}
}

// put writes a line of our own.
func (l *Log) put(line string) {
	if l.err == nil {
		_, l.err = io.WriteString(l.w, line+"\n")
	}
}

// relay writes a line of somebody else's.
func (l *Log) relay(line string) {
	line = clean(l.secrets.Mask(line))
	// A secret may have been in pieces, between colours or what was cleaned.
	if bare := uncoloured(line); l.secrets.Mask(bare) != bare {
		line = l.secrets.Mask(bare)
	}
	l.put(l.system.defuse(line))
}

// outside is relay for what belongs to no platform.
func (l *Log) outside(line string) {
	l.resume()
	l.relay(line)
}

func (l *Log) resume() {
	if line := l.system.resume(); l.within && line != "" {
		l.put(line)
	}
	l.within = false
}

// text makes a part of a line of ours of somebody else's.
func (l *Log) text(text string) string {
	return l.system.defuse(l.secrets.Mask(OneLine(l.secrets.Mask(text))))
}

func (l *Log) title(j *job) string {
	title := l.text(j.name)
	if note := l.text(j.note); note != "" {
		title += " · " + note
	}
	return title
}

// Write relays lines that belong to no platform at once.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, errClosed
	}
	l.lines.write(p, l.outside)
	return len(p), l.err
}

var errClosed = fmt.Errorf("writing to a log that is closed: %w", io.ErrClosedPipe)

// Platform is where the output of a platform goes. It is in the log when the platform
// has ended.
func (l *Log) Platform(name string) io.Writer { return &platformWriter{l, name} }

type platformWriter struct {
	log  *Log
	name string
}

func (w *platformWriter) Write(p []byte) (int, error) {
	l := w.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, errClosed
	}
	j := l.job(w.name)
	if l.direct {
		j.lines.write(p, l.relay)
	} else {
		j.lines.write(p, func(line string) { j.kept.add(line, l.most) })
	}
	return len(p), l.err
}

func (l *Log) job(name string) *job {
	j := l.jobs[name]
	if j == nil || j.ended {
		j = &job{name: name, started: l.now()}
		l.jobs[name] = j
		l.order = append(l.order, j)
	}
	return j
}

// Done ends a platform, and writes its group. The note, such as what it took, is in
// the heading.
func (l *Log) Done(platform, note string) { l.end(platform, note, false) }

// Fail ends a platform that failed. Its output is the last of the log.
func (l *Log) Fail(platform, note string) { l.end(platform, note, true) }

func (l *Log) end(platform, note string, failed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	j := l.job(platform)
	j.note, j.failed = note, failed
	l.finish(j)
	if !failed {
		l.group(j)
	}
}

// finish takes what is left of the last line.
func (l *Log) finish(j *job) {
	j.ended = true
	if l.direct {
		j.lines.flush(l.relay)
		return
	}
	j.lines.flush(func(line string) { j.kept.add(line, l.most) })
}

func (l *Log) group(j *job) {
	if l.direct {
		return
	}
	name := l.text(j.name)
	l.put(l.system.groupStart(name, l.title(j), j.started))
	j.kept.each(l.relay)
	if end := l.system.groupEnd(name, l.now()); end != "" {
		l.put(end)
	}
	l.within = true
}

// Close ends the log: what was not ended comes in groups, and then what failed.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return l.err
	}
	l.lines.flush(l.outside)
	for _, j := range l.order {
		if !j.ended {
			j.note = "stopped"
			l.finish(j)
			l.group(j)
		}
	}
	for _, j := range l.order {
		if j.failed && !l.direct { // or it has been written
			l.put(l.system.heading(l.title(j)))
			j.kept.each(l.relay)
		}
	}
	l.closed = true
	return l.err
}
