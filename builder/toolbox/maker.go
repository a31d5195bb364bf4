package toolbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/emulation/dispatch"
	boxes "github.com/mabuild/mabuild/emulation/toolbox"
	"github.com/mabuild/mabuild/planner"
)

// Options of a [Maker]. Node and Store are required.
type Options struct {
	// Node is the engine.
	Node *buildkit.Node
	// Store is that engine's.
	Store *boxes.Store
	// Base returns the image that a step's stage began with, with its digest if that
	// is known, and the platform of the step's programs; "" if there is none. Nil has
	// none.
	Base func(step digest.Digest) (ref, platform string)
	// OptIn makes the tools, too, that are not proven to write the same bytes.
	OptIn bool
	// Program is the path of mabuild itself, linked statically. Default: the running
	// program.
	Program string
	// Report hears of what BuildKit does; nil does not.
	Report func(*client.SolveStatus)
	// Logger hears what became of toolboxes; nil discards.
	Logger *slog.Logger
}

// Maker makes the toolboxes that steps of a build want, one after the other: they
// share the processors with the build. It is safe for concurrent use.
type Maker struct {
	opts   Options
	wanted chan boxes.Recipe
	cancel context.CancelCauseFunc
	done   chan struct{}

	mu    sync.Mutex
	tried map[boxes.Recipe]bool
}

// maxWanted is how many toolboxes wait for their turn. A build has few bases, and what
// is beyond it is tried by the next build.
const maxWanted = 32

// errClosed is why the making of a toolbox ends with the build.
var errClosed = errors.New("the build has ended")

// NewMaker starts to listen. The Maker has to be closed.
func NewMaker(ctx context.Context, opts Options) *Maker {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	m := &Maker{
		opts: opts, wanted: make(chan boxes.Recipe, maxWanted), cancel: cancel, done: make(chan struct{}),
		tried: make(map[boxes.Recipe]bool),
	}
	go m.run(ctx)
	return m
}

// Close ends the making of toolboxes, and waits until it has ended. A nil Maker makes
// none.
func (m *Maker) Close() {
	if m == nil {
		return
	}
	m.cancel(errClosed)
	<-m.done
}

// Observe takes a status of a build.
func (m *Maker) Observe(status *client.SolveStatus) {
	if m == nil {
		return
	}
	for _, s := range status.Statuses {
		var want dispatch.Want
		if s.ID != dispatch.WantID || m.opts.Base == nil || json.Unmarshal([]byte(s.Name), &want) != nil {
			continue
		}
		base, platform := m.opts.Base(s.Vertex)
		if base == "" {
			continue
		}
		for _, suite := range want.Suites {
			m.want(m.recipe(suite, base, platform))
		}
	}
}

func (m *Maker) want(recipe boxes.Recipe) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// Stages on different images of one suite want the same.
	key := recipe
	key.Base = ""
	if m.tried[key] {
		return
	}
	select {
	case m.wanted <- recipe:
		m.tried[key] = true
	default:
	}
}

func (m *Maker) run(ctx context.Context) {
	defer close(m.done)
	for {
		select {
		case <-ctx.Done():
			return
		case recipe := <-m.wanted:
			switch box, err := m.Make(ctx, recipe); {
			case context.Cause(ctx) != nil:
				return
			case err != nil:
				m.opts.Logger.InfoContext(ctx, "there is no toolbox; programs stay emulated", "suite", recipe.Suite, "platform", recipe.Platform, "error", err)
			default:
				m.opts.Logger.InfoContext(ctx, "made a toolbox", "suite", recipe.Suite, "platform", recipe.Platform, "tools", len(box.Box.Tools))
			}
		}
	}
}

// Make makes a toolbox and installs it. Errors are those of the build, of the store,
// or the cause of ctx.
func (m *Maker) Make(ctx context.Context, recipe boxes.Recipe) (boxes.Installed, error) {
	text, err := recipe.Dockerfile()
	if err != nil {
		return boxes.Installed{}, err
	}
	read, write := io.Pipe()
	built := make(chan error, 1)
	go func() {
		err := m.build(ctx, text, buildkit.Export{
			Type: client.ExporterTar, Image: -1, Tar: func() (io.WriteCloser, error) { return write, nil },
		})
		_ = write.CloseWithError(cmp.Or(err, io.ErrUnexpectedEOF)) // unless the exporter closed it
		built <- err
	}()
	box, err := m.opts.Store.Install(ctx, read, "")
	_ = read.CloseWithError(errors.New("the toolbox was refused"))
	if failed := <-built; failed != nil && (err == nil || errors.Is(err, failed)) {
		err = failed // why the archive ended
	}
	if err != nil {
		return boxes.Installed{}, fmt.Errorf("making a toolbox of %s for %s: %w", recipe.Suite, recipe.Platform, err)
	}
	return box, nil
}

// MakeAll makes all toolboxes that an image wants for a platform, and returns those that
// could be made.
func (m *Maker) MakeAll(ctx context.Context, ref, platform string) ([]boxes.Installed, error) {
	wanted, err := m.Detect(ctx, ref, platform)
	if err != nil {
		return nil, err
	}
	if len(wanted.Suites) == 0 {
		return nil, fmt.Errorf("making toolboxes of %s: %s", ref, wanted.Reason)
	}
	var made []boxes.Installed
	for _, suite := range wanted.Suites {
		box, err := m.Make(ctx, m.recipe(suite, ref, platform))
		if err != nil {
			return made, err
		}
		made = append(made, box)
	}
	return made, nil
}

func (m *Maker) recipe(suite, ref, platform string) boxes.Recipe {
	return boxes.Recipe{Suite: suite, Base: ref, Platform: platform, Host: runtime.GOARCH, OptIn: m.opts.OptIn}
}

// Detect tells what toolboxes an image wants.
func (m *Maker) Detect(ctx context.Context, ref, platform string) (wanted boxes.Wanted, err error) {
	target, err := platforms.Parse(platform)
	if err != nil {
		return boxes.Wanted{}, err
	}
	err = m.opts.Node.ReadImage(ctx, ref, target, func(file func(string) ([]byte, error)) (err error) {
		wanted, err = boxes.Detect(file)
		return err
	})
	if err != nil {
		return boxes.Wanted{}, fmt.Errorf("reading what %s is of: %w", ref, err)
	}
	return wanted, nil
}

// build builds a Dockerfile natively.
func (m *Maker) build(ctx context.Context, dockerfile string, export buildkit.Export) error {
	dir, err := os.MkdirTemp("", "mabuild-toolbox-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	offered, err := m.offer(dir, dockerfile)
	if err != nil {
		return err
	}
	source, err := m.opts.Node.Offer(ctx, offered)
	if err != nil {
		return err
	}
	defer source.Close()
	solver, err := buildkit.NewSolver(buildkit.Options{
		Node: m.opts.Node, Source: source, Logger: m.opts.Logger, Report: m.report,
		Exports: func(planner.Job) []buildkit.Export { return []buildkit.Export{export} },
	})
	if err != nil {
		return err
	}
	_, err = solver.Solve(ctx, planner.Job{Platform: m.opts.Node.Native()})
	return err
}

func (m *Maker) report(_ planner.Job, status *client.SolveStatus) {
	if status != nil && m.opts.Report != nil {
		m.opts.Report(status)
	}
}

// offer writes down what is built.
func (m *Maker) offer(dir, text string) (buildkit.SourceOptions, error) {
	program := m.opts.Program
	if program == "" {
		var err error
		if program, err = os.Executable(); err != nil {
			return buildkit.SourceOptions{}, err
		}
	}
	empty, programs, file := filepath.Join(dir, "context"), filepath.Join(dir, "program"), filepath.Join(dir, "Dockerfile")
	err := errors.Join(os.Mkdir(empty, 0o755), os.Mkdir(programs, 0o755), os.WriteFile(file, []byte(text), 0o644))
	if err == nil {
		err = copyFile(program, filepath.Join(programs, "mabuild"))
	}
	return buildkit.SourceOptions{
		Context: empty, Dockerfile: file, NamedContexts: map[string]string{boxes.ProgramContext: programs},
	}, err
}

// copyFile copies a program.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
