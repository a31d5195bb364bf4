package engine

import (
	"context"
	"fmt"

	"github.com/moby/buildkit/util/bklog"

	"github.com/mabuild/mabuild/emulation"
)

// enterEmulation gives the engine's namespace a binfmt_misc of its own with a
// handler for every QEMU on PATH. Where the kernel cannot do that, the engine
// goes on with the host's handlers.
func enterEmulation(ctx context.Context) (Emulation, error) {
	if err := emulation.MountPrivate(emulation.DefaultDir); err != nil {
		bklog.L.WithError(err).Warn("no private binfmt_misc; using the host's handlers")
		return Emulation{Reason: err.Error()}, nil
	}
	table, err := emulation.Open(emulation.DefaultDir)
	if err != nil {
		return Emulation{}, fmt.Errorf("opening the private binfmt_misc: %w", err)
	}
	registered, err := table.RegisterFound(ctx, emulation.RegisterOptions{})
	if err != nil && len(registered) > 0 { // none at all is for the plan to complain about
		bklog.L.WithError(err).Warn("some QEMU handlers are missing")
	}
	private := Emulation{Private: true}
	for _, h := range registered {
		private.Handlers = append(private.Handlers, Handler{
			Arch: h.Arch.Name, Interpreter: h.Handler.Interpreter, Version: h.Version.String(),
		})
	}
	return private, nil
}
