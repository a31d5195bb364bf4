package foreign

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/moby/buildkit/executor"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/util/bklog"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/builder/engine/internal/foreign/sampler"
	"github.com/mabuild/mabuild/emulation/dispatch"
)

// maxRows is how many programs of a step the client is told of, beside their sum.
const maxRows = 24

// step is the executor of one emulated step.
type step struct {
	executor.Executor

	worker   *Worker
	emulator Emulator
	digest   digest.Digest
	mode     mode
	policy   string // in the cache key; empty without

	records    *records
	repeatable repeatable
}

// Run implements [executor.Executor].
func (s *step) Run(ctx context.Context, id string, root executor.Mount, mounts []executor.Mount, process executor.ProcessInfo, started chan<- struct{}) (resourcestypes.Recorder, error) {
	if id == "" {
		id = identity.NewID() // by which the container's processes are found
	}
	s.records.used = nil
	r := s.begin(ctx, id, root)
	recorder, err := s.Executor.Run(ctx, id, root, slices.Concat(mounts, r.mounts()), process, started)
	return recorder, r.end(ctx, call{mounts, process}, err)
}

// run is one execution of a step.
type run struct {
	*step

	began time.Time
	root  *rootfs        // nil if nothing is mounted
	view  *View          // nil without tools
	log   *stepLog       // nil without accounting and without tools
	watch *sampler.Watch // nil if the build wants nothing
	// wanted counts how often the client was told what tools the step could have had.
	wanted int
}

// begin gets everything that the step may have and can have.
func (s *step) begin(ctx context.Context, id string, root executor.Mount) *run {
	r := &run{step: s, began: time.Now()}
	if s.mode.assist == dispatch.AssistOff && !s.mode.accounting {
		return r
	}
	if s.mode.assist != dispatch.AssistOff && !s.worker.denied.has(s.digest) {
		r.view = s.toolsOfKey()
	}
	if s.emulator.Dispatches {
		r.open(ctx, id, root)
	}
	r.watch = s.worker.sampler.Start(id, s.mode.accounting, func() error { return r.look(ctx) })
	return r
}

// logs reports whether the step's programs are counted: also without accounting, if
// there can be tools, because the client has to know what comes of them.
func (r *run) logs() bool { return r.mode.accounting || r.view != nil }

// toolsOfKey returns the tools that fit the step's cache key: a step whose key has no
// policy, or another one by now, may have what is proven alone.
func (s *step) toolsOfKey() *View {
	if s.policy == "" {
		return s.worker.view(s.emulator, false)
	}
	view := s.worker.view(s.emulator, true)
	if view != nil && view.Policy != s.policy {
		s.release("tools", view.Release)
		return s.worker.view(s.emulator, false)
	}
	return view
}

// open prepares what is mounted, all of it or nothing: a step with tools has a log,
// which tells whether it used any.
func (r *run) open(ctx context.Context, id string, root executor.Mount) {
	var err error
	if r.root, err = openRootfs(ctx, root); err == nil {
		err = r.root.prepare()
	}
	if err == nil && r.logs() {
		r.log, err = r.worker.logs.create(id)
	}
	if err == nil {
		return
	}
	if !errors.Is(err, errPlain) {
		bklog.G(ctx).WithError(err).Warn("running an emulated step without tools and log")
	}
	r.close()
}

func (r *run) mounts() []executor.Mount {
	var mounts []executor.Mount
	if r.view != nil {
		mounts = append(mounts, executor.Mount{Src: hostPath(r.view.Dir), Dest: dispatch.Dir, Readonly: true})
	}
	if r.log != nil {
		mounts = append(mounts, executor.Mount{Src: hostPath(r.log.path()), Dest: dispatch.LogPath})
	}
	return mounts
}

// look is called while the step runs.
func (r *run) look(ctx context.Context) error {
	if r.wanted < len(wantAfter) && time.Since(r.began) > wantAfter[r.wanted] {
		r.wanted++
		r.want(ctx)
	}
	if r.log == nil {
		return nil
	}
	return r.log.drain(drainAt)
}

// end tells what there is to tell and returns the step's error: the one that it has,
// that of tools in its layer, or that of another outcome without them.
func (r *run) end(ctx context.Context, call call, err error) error {
	defer r.close()
	if r.watch == nil {
		return err
	}
	// The sampler may have been kept from looking.
	watchErr := errors.Join(r.worker.sampler.Stop(r.watch), r.look(ctx))
	tools := r.contents(ctx)
	if !r.mode.accounting && len(tools.Boxes) == 0 {
		return err
	}
	record := &dispatch.Step{Wall: time.Since(r.began).Seconds(), CPU: r.watch.Rows()}
	if r.log != nil {
		drainErr := errors.Join(watchErr, r.log.drain(0))
		if drainErr != nil {
			bklog.G(ctx).WithError(drainErr).Warn("counting an emulated step's programs")
		}
		r.log.fill(record)
		record.Partial = record.Partial || drainErr != nil
	}
	if len(tools.Boxes) > 0 {
		record.Toolboxes = tools.Boxes
		r.records.used = usageOf(r.emulator.Architecture, record)
		err = r.judge(ctx, call, record, tools, err)
	}
	tell(ctx, r.began, record)
	return err
}

// judge looks at what a step with tools left, and denies them to one that does not
// get on with them.
func (r *run) judge(ctx context.Context, call call, record *dispatch.Step, tools Contents, err error) error {
	leaked := r.search(ctx, call.mounts, record, tools, err == nil)
	if err == nil {
		err = leaked
	}
	differs := false
	if err == nil && record.Hits > 0 && rand.Float64() < r.mode.verify {
		err = r.verify(ctx, call, record)
		differs = err != nil
	}
	// A cancelled step says nothing about its tools.
	if err == nil || context.Cause(ctx) != nil || record.Hits == 0 && len(record.Leaks) == 0 {
		return err
	}
	// What differs has to be seen: building again, plain, would hide it.
	record.Failed = !differs
	r.worker.denied.add(r.digest)
	bklog.G(ctx).WithError(err).Warnf("step %s gets no native tools any more", r.digest)
	return err
}

// contents is what tools the step had at its end. They have come to it, and none has
// left.
func (r *run) contents(ctx context.Context) Contents {
	if r.view == nil {
		return Contents{}
	}
	contents, err := r.view.Contents()
	if err != nil {
		bklog.G(ctx).WithError(err).Warn("an emulated step may have had tools that nobody knows")
	}
	return contents
}

// search looks for tools in what the step left: in its layer, if it gets one, and in its
// cache mounts, which stay whatever becomes of it.
func (r *run) search(ctx context.Context, mounts []executor.Mount, record *dispatch.Step, tools Contents, layer bool) error {
	began := time.Now()
	s := newScanner(tools.Has)
	var err error
	if layer {
		err = s.layer(r.root, r.began)
	}
	leak := &LeakError{Architecture: r.emulator.Architecture, InLayer: len(s.leaks)}
	record.NativeFiles = s.native
	cachesErr := r.searchCaches(context.WithoutCancel(ctx), s, mounts, leak)
	log := bklog.G(ctx).WithField("files", s.files).WithField("native", s.native).WithField("duration", time.Since(began))
	switch err = errors.Join(err, cachesErr); {
	case err != nil:
		// Without having looked, nothing is known against what it left.
		log.WithError(err).Warn("looking for native tools in what a step left")
	case s.partial:
		log.Warn("looked for native tools in a part only of what a step left: it is too much")
	default:
		log.Debug("looked for native tools in what a step left")
	}
	record.Leaks, leak.Paths = s.leaks, s.leaks
	if len(s.leaks) == 0 {
		return nil
	}
	log.WithError(leak).Warn("a step left native tools") // which a step that failed otherwise does not tell
	return leak
}

// tell sends the record to whoever follows the step.
func tell(ctx context.Context, began time.Time, record *dispatch.Step) {
	identify(record)
	record.Shorten(maxRows)
	text, err := json.Marshal(record)
	if err != nil {
		bklog.G(ctx).WithError(err).Warn("writing an emulated step's record")
		return
	}
	send(ctx, dispatch.StepStatus, began, text)
}

// close gives back what the run holds. It may be called again.
func (r *run) close() {
	if r.view != nil {
		r.release("tools", r.view.Release)
	}
	if r.log != nil {
		r.release("log", r.log.remove)
	}
	if r.root != nil {
		r.release("root file system", r.root.release)
	}
	r.view, r.log, r.root = nil, nil, nil
}

func (s *step) release(what string, release func() error) {
	if err := release(); err != nil {
		bklog.L.WithError(err).Warnf("releasing an emulated step's %s", what)
	}
}
