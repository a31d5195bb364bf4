package engine

import (
	"slices"

	"github.com/moby/buildkit/worker/base"

	"github.com/mabuild/mabuild/builder/engine/internal/foreign"
	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/toolbox"
)

// newForeignWorker is the worker that looks after the steps which the handlers run.
func newForeignWorker(w *base.Worker, state State, handlers Emulation) (*foreign.Worker, error) {
	store := toolbox.Open(state.Toolboxes())
	opts := foreign.Options{LogDir: state.stepLogs(), Tools: toolsOf(store), Wants: wantsOf(store)}
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
	return foreign.New(w, opts)
}

// toolsOf are the tools of a store.
func toolsOf(store *toolbox.Store) foreign.Tools {
	return func(architecture string, all bool) (*foreign.View, error) {
		view, err := store.View(architecture, all)
		if view == nil || err != nil {
			return nil, err
		}
		return &foreign.View{
			Dir: view.Dir, Policy: view.Policy, Boxes: view.Boxes, Release: view.Release,
			Has: func(sha256 string) bool {
				_, ok := view.Has(sha256)
				return ok
			},
		}, nil
	}
}

// wantsOf names the toolboxes that a store has not.
func wantsOf(store *toolbox.Store) foreign.Wants {
	return func(architecture string, read func(string) ([]byte, error)) ([]string, error) {
		wanted, err := toolbox.Detect(read)
		if err != nil || len(wanted.Suites) == 0 {
			return nil, err
		}
		boxes, err := store.List()
		if err != nil {
			return nil, err
		}
		return slices.DeleteFunc(wanted.Suites, func(suite string) bool {
			return slices.ContainsFunc(boxes, func(b toolbox.Installed) bool {
				return b.Damage == nil && b.Box.Arch == architecture && b.Box.Suite == suite
			})
		}), nil
	}
}
