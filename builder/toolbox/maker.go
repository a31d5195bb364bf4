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
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

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
	bases  chan boxes.Recipe // made of an image alone, in seconds
	wanted chan boxes.Recipe // all others
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
	m := newMaker(opts)
	m.start(ctx, m.try)
	return m
}

func newMaker(opts Options) *Maker {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Maker{
		opts: opts, bases: make(chan boxes.Recipe, maxWanted), wanted: make(chan boxes.Recipe, maxWanted),
		done: make(chan struct{}), tried: make(map[boxes.Recipe]bool),
	}
}

// start has what is wanted tried, one after the other.
func (m *Maker) start(ctx context.Context, try func(context.Context, boxes.Recipe)) {
	ctx, m.cancel = context.WithCancelCause(ctx)
	go func() {
		defer close(m.done)
		for {
			recipe, ok := m.next(ctx)
			if !ok {
				return
			}
			try(ctx, recipe)
		}
	}()
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
		if !strings.HasPrefix(s.ID, dispatch.WantStatus) || m.opts.Base == nil || json.Unmarshal([]byte(s.Name), &want) != nil {
			continue
		}
		base, platform := m.opts.Base(s.Vertex)
		if base == "" {
			continue
		}
		for _, suite := range want.Suites {
			if recipe := m.recipe(suite, base, platform); want.Long || recipe.OfBase() {
				m.want(recipe)
			}
		}
	}
}

func (m *Maker) want(recipe boxes.Recipe) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key, queue := recipe, m.bases
	if !recipe.OfBase() {
		queue = m.wanted
	}
	if !recipe.OfImage() {
		key.Base = "" // stages on different images of one suite want the same
	}
	if m.tried[key] {
		return
	}
	select {
	case queue <- recipe:
		m.tried[key] = true
	default:
	}
}

// try makes a toolbox if it can be made, and tells the log.
func (m *Maker) try(ctx context.Context, recipe boxes.Recipe) {
	log := m.opts.Logger.With("suite", recipe.Suite, "platform", recipe.Platform)
	if recipe.OfImage() && m.isThere(ctx, recipe) {
		log.DebugContext(ctx, "the toolbox of the image is there")
		return
	}
	switch box, err := m.Make(ctx, recipe); {
	case context.Cause(ctx) != nil:
	case err != nil:
		log.InfoContext(ctx, "there is no toolbox; programs stay emulated", "error", err)
	default:
		log.InfoContext(ctx, "made a toolbox", "tools", len(box.Box.Tools))
		if more, ok := m.more(ctx, recipe); ok {
			m.want(more)
		}
	}
}

// more returns what an image wants now that another toolbox is there: compilers of an
// archive that is newer may not go with its libraries.
func (m *Maker) more(ctx context.Context, made boxes.Recipe) (boxes.Recipe, bool) {
	missing, err := m.missing(ctx, made.Base, made.Platform)
	if err != nil {
		m.opts.Logger.InfoContext(ctx, "looking for what else an image wants", "image", made.Base, "error", err)
	}
	for _, suite := range missing {
		if recipe := m.recipe(suite, made.Base, made.Platform); recipe.OfImage() && !recipe.OfBase() {
			return recipe, true
		}
	}
	return boxes.Recipe{}, false
}

// next waits for what to make, first of all what takes seconds.
func (m *Maker) next(ctx context.Context) (recipe boxes.Recipe, ok bool) {
	select {
	case recipe = <-m.bases:
		return recipe, ctx.Err() == nil
	default:
	}
	select {
	case <-ctx.Done():
	case recipe = <-m.bases:
	case recipe = <-m.wanted:
	}
	return recipe, ctx.Err() == nil
}

// isThere reports whether the store has the toolbox of an image. A step that has
// upgraded the packages of its image wants one of its own, which cannot be made.
func (m *Maker) isThere(ctx context.Context, recipe boxes.Recipe) bool {
	missing, err := m.missing(ctx, recipe.Base, recipe.Platform)
	return err == nil && !slices.Contains(missing, recipe.Suite)
}

// missing names the toolboxes that an image wants and that are not there.
func (m *Maker) missing(ctx context.Context, ref, platform string) (missing []string, err error) {
	err = m.read(ctx, ref, platform, func(target ocispec.Platform, file func(string) ([]byte, error)) (err error) {
		missing, err = m.opts.Store.Missing(target.Architecture, m.opts.OptIn, file)
		return err
	})
	return missing, err
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
	var recipes []boxes.Recipe
	for _, suite := range wanted.Suites {
		recipes = append(recipes, m.recipe(suite, ref, platform))
	}
	var made []boxes.Installed
	for len(recipes) > 0 {
		box, err := m.Make(ctx, recipes[0])
		if err != nil {
			return made, err
		}
		made = append(made, box)
		if more, ok := m.more(ctx, recipes[0]); ok && !slices.Contains(recipes, more) {
			recipes = append(recipes, more)
		}
		recipes = recipes[1:]
	}
	return made, nil
}

func (m *Maker) recipe(suite, ref, platform string) boxes.Recipe {
	recipe := boxes.Recipe{Suite: suite, Base: ref, Platform: platform, Host: runtime.GOARCH, OptIn: m.opts.OptIn}
	if !recipe.OfBase() {
		recipe.Fresh = time.Now().UTC().Format(time.DateOnly) // the archive is asked once a day
	}
	return recipe
}

// Detect tells what toolboxes an image wants.
func (m *Maker) Detect(ctx context.Context, ref, platform string) (wanted boxes.Wanted, err error) {
	err = m.read(ctx, ref, platform, func(_ ocispec.Platform, file func(string) ([]byte, error)) (err error) {
		wanted, err = boxes.Detect(file)
		return err
	})
	return wanted, err
}

// read reads files of an image.
func (m *Maker) read(ctx context.Context, ref, platform string, do func(ocispec.Platform, func(string) ([]byte, error)) error) error {
	target, err := platforms.Parse(platform)
	if err != nil {
		return err
	}
	err = m.opts.Node.ReadImage(ctx, ref, target, func(file func(string) ([]byte, error)) error { return do(target, file) })
	if err != nil {
		return fmt.Errorf("reading what %s is of: %w", ref, err)
	}
	return nil
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
