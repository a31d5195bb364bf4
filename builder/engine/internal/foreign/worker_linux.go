package foreign

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/llbsolver/linuxresources"
	"github.com/moby/buildkit/solver/llbsolver/ops"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/bklog"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"

	"github.com/mabuild/mabuild/builder/engine/internal/foreign/sampler"
	"github.com/mabuild/mabuild/emulation/dispatch"
)

// Emulator is what runs the programs of one architecture.
type Emulator struct {
	// Architecture is the one of images: "arm64".
	Architecture string
	// Interpreter is the registered path.
	Interpreter string
	// Dispatches is set if the interpreter has the stub in it.
	Dispatches bool
}

// Options say what a [Worker] knows. The zero value of each leaves something out.
type Options struct {
	// Emulators are the architectures whose steps it cares for.
	Emulators []Emulator
	Tools     Tools
	Wants     Wants
	// LogDir is a directory of the worker's own for the logs of running steps.
	LogDir string
	// Keys are where the solver keeps the keys of cache records.
	Keys solver.CacheKeyStorage
}

// Worker is BuildKit's worker, with another way to run the steps that are emulated.
type Worker struct {
	*base.Worker

	emulators map[string]Emulator // by architecture
	tools     Tools
	wants     Wants
	logs      logs
	keys      solver.CacheKeyStorage
	sampler   *sampler.Sampler
	denied    denied
}

// New returns the worker around BuildKit's.
func New(ctx context.Context, w *base.Worker, opts Options) (*Worker, error) {
	logs, err := newLogs(opts.LogDir)
	if err != nil {
		return nil, err
	}
	if err := sweepReruns(ctx, w.CacheMgr); err != nil {
		return nil, err
	}
	emulators, interpreters := map[string]Emulator{}, []string(nil)
	for _, e := range opts.Emulators {
		emulators[e.Architecture] = e
		interpreters = append(interpreters, e.Interpreter)
	}
	tools := opts.Tools
	if tools == nil {
		tools = func(string, bool) (*View, error) { return nil, nil } //nolint:nilnil // as Tools says
	}
	return &Worker{
		Worker: w, emulators: emulators, tools: tools, wants: opts.Wants, logs: logs, keys: opts.Keys,
		sampler: sampler.New(interpreters),
	}, nil
}

// ResolveOp implements [worker.Worker]. It returns a real *ops.ExecOp for every step,
// because provenance is collected from operations of that type.
func (w *Worker) ResolveOp(v solver.Vertex, bridge frontend.FrontendLLBBridge, sm *session.Manager, proxy worker.ProxyOpt) (solver.Op, error) {
	op, ok := v.Sys().(*pb.Op)
	if !ok {
		return w.Worker.ResolveOp(v, bridge, sm, proxy)
	}
	exec, ok := op.Op.(*pb.Op_Exec)
	if !ok || proxy.Network || exec.Exec.Security == pb.SecurityMode_INSECURE || op.Platform == nil {
		return w.Worker.ResolveOp(v, bridge, sm, proxy)
	}
	// The handlers decide who is emulated, not the names of platforms: an amd64
	// kernel runs linux/386 itself, an arm64 one linux/arm if no handler takes it.
	emulator, ok := w.emulators[op.Platform.Architecture]
	if !ok || op.Platform.OS != "linux" {
		return w.Worker.ResolveOp(v, bridge, sm, proxy)
	}
	mode, err := parseMode(v.Options().Description)
	if err != nil {
		return nil, err
	}
	s := &step{
		Executor: w.Executor(), worker: w, emulator: emulator, digest: v.Digest(), mode: mode,
		records: &records{Manager: w.CacheMgr}, repeatable: repeatableOf(v, exec.Exec),
	}
	platform := op.Platform
	if mode.assist == dispatch.AssistAll {
		if s.policy = w.policyOfAll(emulator); s.policy != "" {
			// In the digest of the cache map, and on Linux nowhere else.
			platform = platform.CloneVT()
			platform.OSVersion = "mabuild." + s.policy
		}
	}
	return ops.NewExecOp(v, exec, platform, s.records, w.ParallelismSem, sm, s, w, resources(v), false)
}

// resources are what [base.Worker.ResolveOp] takes.
func resources(v solver.Vertex) *pb.LinuxResources {
	if m, ok := v.Options().Metadata.(*linuxresources.Metadata); ok && m != nil {
		return m.LinuxResources
	}
	return nil
}

// policyOfAll is the version of the policy for steps that may have all tools, or get
// them while they run; empty if there can be none.
func (w *Worker) policyOfAll(emulator Emulator) string {
	view := w.view(emulator, true)
	if view == nil {
		return ""
	}
	if err := view.Release(); err != nil {
		bklog.L.WithError(err).Warn("releasing a view of the tools")
	}
	return view.Policy
}

// view returns nil where no tools can be had. That is no reason not to build.
func (w *Worker) view(emulator Emulator, all bool) *View {
	if !emulator.Dispatches {
		return nil
	}
	view, err := w.tools(emulator.Architecture, all)
	if err != nil {
		if !errors.Is(err, errors.ErrUnsupported) {
			bklog.L.WithError(err).Warnf("no native tools for %s", emulator.Architecture)
		}
		return nil
	}
	return view
}

// LeakError is a step that left native tools in its layer or in its cache mounts.
type LeakError struct {
	Architecture string
	Paths        []string // as the step has them
	InLayer      int      // how many of them, the first, are in the layer
	Kept         error    // why not all of those in caches are deleted
}

func (e *LeakError) Error() string {
	var paths []string
	for _, path := range e.Paths {
		paths = append(paths, strconv.Quote(path))
	}
	caches := ""
	switch {
	case e.Kept != nil:
		caches = fmt.Sprintf("; a cache mount still has some (%v): empty the caches with `mabuild engine prune`", e.Kept)
	case e.InLayer < len(e.Paths):
		caches = "; in cache mounts they are deleted"
	}
	return fmt.Sprintf("keeping native tools out of what a linux/%s step leaves: it copied %s from %s%s; build again, which runs it without tools, or with --assist=off",
		e.Architecture, few(paths), dispatch.Dir, caches)
}

// View is the native tools for an architecture, held until it is released. It grows
// while steps run.
type View struct {
	Dir    string // to be mounted
	Policy string // the version of the policy that its tools are chosen by
	// Contents returns what it has by now.
	Contents func() (Contents, error)
	Release  func() error
}

// Contents is what a view has at a time.
type Contents struct {
	Boxes []string
	// Has reports whether a file with that sha256 in hexadecimal is one of a tool.
	Has func(sha256 string) bool
}

// Tools returns the tools for an architecture, those that are proven or all; nil if
// there can be none.
type Tools func(architecture string, all bool) (*View, error)
