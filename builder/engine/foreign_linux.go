package engine

import (
	"context"

	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/worker/base"

	"github.com/mabuild/mabuild/builder/engine/internal/foreign"
	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/toolbox"
)

// newForeignWorker is the worker that looks after the steps which the handlers run.
func newForeignWorker(ctx context.Context, w *base.Worker, state State, handlers Emulation, keys solver.CacheKeyStorage) (*foreign.Worker, error) {
	store := toolbox.Open(state.Toolboxes())
	opts := foreign.Options{LogDir: state.stepLogs(), Tools: toolsOf(store), Wants: store.Missing, Keys: keys} //nolint:contextcheck // steps have contexts of their own
	for _, h := range handlers.Handlers {
		arch, err := emulation.ParseArch(h.Arch)
		if err != nil {
			return nil, err
		}
		e := foreign.Emulator{Architecture: arch.Platform.Architecture, Interpreter: h.Interpreter}
		if h.Dispatcher != "" {
			e.Interpreter, e.Dispatches = h.Dispatcher, true
		}
		opts.Emulators = append(opts.Emulators, e)
	}
	return foreign.New(ctx, w, opts)
}

// toolsOf are the tools of a store.
func toolsOf(store *toolbox.Store) foreign.Tools {
	return func(architecture string, all bool) (*foreign.View, error) {
		view, err := store.View(architecture, all)
		if err != nil {
			return nil, err
		}
		return &foreign.View{
			Dir: view.Dir, Policy: view.Policy, Release: view.Release,
			Contents: func() (foreign.Contents, error) {
				c, err := view.Contents()
				return foreign.Contents{Boxes: c.Boxes, Has: func(sha256 string) bool {
					_, ok := c.Has(sha256)
					return ok
				}}, err
			},
		}, nil
	}
}
