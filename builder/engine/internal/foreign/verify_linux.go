package foreign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/frontend/gateway/container"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/bklog"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// cachePermissions is what the Dockerfile frontend calls the operation that makes the
// directory of a cache mount with an owner or mode (setCacheUIDGID).
const cachePermissions = "[internal] setting cache mount permissions"

// repeatable says how a step is run again with the same outcome.
type repeatable struct {
	// caches are the mount points that have to be empty. Any state of a cache is
	// legal, and the one that the first run found is gone.
	caches map[string]bool
	// no is why it cannot be.
	no string
}

func repeatableOf(v solver.Vertex, op *pb.ExecOp) repeatable {
	r := repeatable{caches: map[string]bool{}}
	for _, m := range op.Mounts {
		dest := m.Dest
		if !path.IsAbs(dest) {
			dest = path.Join("/", op.Meta.Cwd, dest)
		}
		switch {
		case m.MountType == pb.MountType_CACHE:
			r.caches[dest] = true
			if m.Input >= 0 && int(m.Input) < len(v.Inputs()) && v.Inputs()[m.Input].Vertex.Name() != cachePermissions {
				r.no = "the cache at " + dest + " starts with files of an image"
			}
		case m.MountType == pb.MountType_BIND && !m.Readonly && dest != pb.RootMount:
			r.no = "it can write to what is mounted at " + dest
		}
	}
	return r
}

// call is what the executor was asked to run.
type call struct {
	mounts  []executor.Mount
	process executor.ProcessInfo
}

// clockTick is how long the clocks in files stand still: those of zip archives have no
// odd seconds. Two short runs within it would agree about the time, and hide that it is
// one.
const clockTick = 2100 * time.Millisecond

// errSkipped says why a step is not compared.
var errSkipped = errors.New("not compared with a run without native tools")

// verify runs the step once more without tools and compares what it leaves.
func (r *run) verify(ctx context.Context, call call, record *dispatch.Step) error {
	began := time.Now()
	v := &dispatch.Verification{}
	record.Verification = v
	differing, err := r.compare(ctx, call, v)
	v.Seconds = time.Since(began).Seconds()
	failed := (*plainError)(nil)
	switch {
	case context.Cause(ctx) != nil:
		record.Verification = nil
		return context.Cause(ctx)
	case errors.As(err, &failed):
		v.Failed = true
	case err != nil:
		if !errors.Is(err, errSkipped) {
			err = fmt.Errorf("%w: %w", errSkipped, err)
		}
		v.Skipped = err.Error()
		r.say(call, "warning: "+v.Skipped)
		bklog.G(ctx).WithError(err).Warnf("step %s is not verified", r.digest)
		return nil
	case len(differing) == 0:
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(differing)) {
		v.Differing = append(v.Differing, fmt.Sprintf("%q: %s", name, differing[name]))
	}
	verifyErr := &VerifyError{Architecture: r.emulator.Architecture, Differing: v.Differing, Tools: toolsOf(record), Err: err}
	v.Differing = v.Differing[:min(len(v.Differing), maxRows)]
	return verifyErr
}

// say writes into the step's own output.
func (r *run) say(call call, text string) {
	if call.process.Stderr != nil {
		fmt.Fprintf(call.process.Stderr, "mabuild: %s\n", text)
	}
}

// compare returns the paths that differ, but those that differ without tools as well.
func (r *run) compare(ctx context.Context, call call, v *dispatch.Verification) (map[string]string, error) {
	if r.repeatable.no != "" {
		return nil, fmt.Errorf("%w: %s", errSkipped, r.repeatable.no)
	}
	if r.root.upper == "" {
		return nil, fmt.Errorf("%w: the snapshotter is not overlayfs", errSkipped)
	}
	r.say(call, "running once more without native tools, to compare")
	plain, err := r.again(ctx, call)
	if err != nil {
		return nil, err
	}
	defer plain.discard(ctx)
	differing, err := compareTrees(ctx, r.root.upper, plain.root.upper)
	if err != nil || len(differing) == 0 {
		return nil, err
	}
	r.say(call, "running once more without native tools: some paths differ, maybe between any two runs")
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(clockTick):
	}
	other, err := r.again(ctx, call)
	if err != nil {
		return nil, err
	}
	defer other.discard(ctx)
	noise, err := compareTrees(ctx, plain.root.upper, other.root.upper)
	if err != nil {
		return nil, err
	}
	v.Forgotten = forget(differing, noise)
	return differing, nil
}

// rerunKey is the index of the cache records of a [rerun].
const rerunKey = "mabuild.rerun"

// rerun is a run without tools, and what it left. Nobody else sees its records: they
// are never committed, so that BuildKit removes them when they are released.
type rerun struct {
	refs []cache.MutableRef
	root *rootfs
}

// again runs the step without tools.
func (s *step) again(ctx context.Context, call call) (_ *rerun, err error) {
	r := &rerun{}
	defer func() {
		if err != nil {
			r.discard(ctx)
		}
	}()
	from := s.records.root
	if from == nil {
		return nil, fmt.Errorf("%w: it is not known what it started from", errSkipped)
	}
	root, err := r.mount(ctx, s.records.Manager, from)
	if err != nil {
		return nil, err
	}
	if r.root, err = openRootfs(ctx, root); err != nil {
		return nil, err
	}
	if err := r.root.prepare(); err != nil {
		return nil, err
	}
	mounts := slices.Clone(call.mounts)
	for i, m := range mounts {
		if !s.repeatable.caches[m.Dest] {
			continue
		}
		if mounts[i], err = r.empty(ctx, s.records.Manager, m); err != nil {
			return nil, err
		}
	}
	process := call.process
	process.Stdin, process.Stdout, process.Stderr = nil, nowhere{}, nowhere{}
	recorder, err := s.Executor.Run(ctx, identity.NewID(), root, mounts, process, nil)
	if err != nil {
		return nil, &plainError{err, len(s.repeatable.caches) > 0}
	}
	if recorder != nil {
		return r, recorder.Wait()
	}
	return r, nil
}

// mount makes a file system from what another was made from.
func (r *rerun) mount(ctx context.Context, manager cache.Manager, from *origin) (executor.Mount, error) {
	ref, err := manager.New(ctx, from.parent, from.group, cache.WithDescription("a step without native tools, to compare"))
	if err != nil {
		return executor.Mount{}, err
	}
	r.refs = append(r.refs, ref)
	return container.MountWithSession(ref, from.group), ref.SetString(rerunKey, "", rerunKey)
}

// empty puts an empty directory with the same owner and mode in place of a cache.
func (r *rerun) empty(ctx context.Context, manager cache.Manager, m executor.Mount) (executor.Mount, error) {
	var stat syscall.Stat_t
	err := withDir(ctx, m.Src, func(dir string) error {
		return syscall.Stat(filepath.Join(dir, m.Selector), &stat)
	})
	if err != nil {
		return m, err
	}
	fresh, err := r.mount(ctx, manager, &origin{group: nil})
	if err != nil {
		return m, err
	}
	fresh.Dest, fresh.Readonly = m.Dest, m.Readonly
	return fresh, withDir(ctx, fresh.Src, func(dir string) error {
		return errors.Join(os.Lchown(dir, int(stat.Uid), int(stat.Gid)), syscall.Chmod(dir, stat.Mode&0o7777))
	})
}

// withDir shows the directory that is mounted.
func withDir(ctx context.Context, src executor.Mountable, use func(dir string) error) (err error) {
	root, err := openRootfs(ctx, executor.Mount{Src: src})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.release()) }()
	return use(root.dir)
}

// discard removes what the run left, also if the build is cancelled.
func (r *rerun) discard(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	if r.root != nil {
		errs = append(errs, r.root.release())
	}
	for _, ref := range r.refs {
		errs = append(errs, ref.Release(ctx))
	}
	if err := errors.Join(errs...); err != nil && !errors.Is(err, fs.ErrNotExist) {
		bklog.G(ctx).WithError(err).Warn("removing what a step without native tools left")
	}
}

// sweepReruns removes what an engine that was killed has left.
func sweepReruns(ctx context.Context, manager cache.Manager) error {
	left, err := manager.Search(ctx, rerunKey, false)
	if err != nil {
		return fmt.Errorf("looking for what steps left that were compared: %w", err)
	}
	for _, record := range left {
		ref, err := manager.GetMutable(ctx, record.ID(), cache.NoUpdateLastUsed)
		if err == nil {
			err = ref.Release(ctx)
		}
		if err != nil {
			bklog.G(ctx).WithError(err).Warn("removing what a step left that was compared")
		}
	}
	return nil
}

// nowhere is where the output of a run goes that nobody asked for.
type nowhere struct{}

func (nowhere) Write(data []byte) (int, error) { return len(data), nil }
func (nowhere) Close() error                   { return nil }

var _ io.WriteCloser = nowhere{}

// plainError is a run without tools that failed.
type plainError struct {
	err    error
	caches bool // it has cache mounts
}

func (e *plainError) Error() string {
	if e.caches {
		return "it fails without native tools and with empty cache mounts: " + e.err.Error()
	}
	return "it fails without native tools: " + e.err.Error()
}

func (e *plainError) Unwrap() error { return e.err }

// toolsOf are the programs that tools ran for in a step, each with its build-id.
func toolsOf(record *dispatch.Step) []string {
	var tools []string
	for _, exec := range record.Execs {
		if exec.Kind == dispatch.Native {
			tools = append(tools, fmt.Sprintf("%q (%s)", exec.Path, exec.BuildID))
		}
	}
	slices.Sort(tools)
	return slices.Compact(tools)
}

// VerifyError is a step that does not leave the same without native tools. It does not
// unwrap, because a client may try again what an emulator's crash has ended.
type VerifyError struct {
	Architecture string
	Differing    []string // paths, each with what differs
	Tools        []string // each with its build-id
	Err          error    // why there is nothing to compare, if it fails without them
}

func (e *VerifyError) Error() string {
	what := "these paths differ: " + few(e.Differing)
	if e.Err != nil {
		what = e.Err.Error()
	}
	return fmt.Sprintf("comparing a linux/%s step with a run without native tools: %s; natively ran: %s; "+
		"report it, build with --assist=off, and remove what else a tool made with `mabuild cache drop --tool BUILD-ID`",
		e.Architecture, what, few(e.Tools))
}

// few lists the first of them.
func few(list []string) string {
	const most = 5
	if len(list) <= most {
		return strings.Join(list, "; ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], "; "), len(list)-most)
}
