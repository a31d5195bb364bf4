package engine

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/moby/buildkit/util/bklog"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/engine/internal/foreign"
	"github.com/mabuild/mabuild/emulation"
)

// enterEmulation gives the engine's containers the handlers of the way. Private is
// a binfmt_misc of the engine's namespace with a handler for every QEMU on PATH;
// where the kernel cannot do that, the host's handlers have to serve. What is
// registered in a private table are copies that can execute native tools.
//
// The function it returns puts right what something has changed in a private table
// since; it costs a few reads when nothing has.
func enterEmulation(ctx context.Context, state State, settings Settings) (Emulation, func(), error) {
	nothing := func() {}
	if settings.Way == Host {
		return Emulation{Way: Host, Handlers: describe(ctx, hostHandlers())}, nothing, nil
	}
	if err := emulation.MountPrivate(emulation.DefaultDir); err != nil {
		bklog.L.WithError(err).Warn("no private binfmt_misc; using the host's handlers")
		return Emulation{Way: Host, Reason: err.Error(), Handlers: describe(ctx, hostHandlers())}, nothing, nil
	}
	if settings.Way == Off {
		return Emulation{Way: Off}, nothing, nil // an empty table of its own hides the host's
	}
	table, err := emulation.Open(emulation.DefaultDir)
	if err != nil {
		return Emulation{}, nothing, fmt.Errorf("opening the private binfmt_misc: %w", err)
	}
	own := Emulation{Way: Private}
	var expected []emulation.Handler
	for _, r := range registerAll(ctx, table, settings.Emulators, dispatchers(state, settings)) {
		expected = append(expected, r.Handler)
		described := Handler{Arch: r.Arch.Name, Interpreter: r.Handler.Interpreter, Version: r.Version.String()}
		if emulator := settings.Emulators[r.Arch.Name].Path; emulator != described.Interpreter {
			described.Interpreter, described.Dispatcher = emulator, described.Interpreter
		}
		own.Handlers = append(own.Handlers, described)
	}
	repair := func() {
		repaired, err := table.Repair(expected)
		for _, r := range repaired {
			bklog.L.Warnf("registered %s again: it %s", r.Handler.Name, r.Reason)
		}
		if err != nil {
			bklog.L.WithError(err).Error("repairing the handlers")
		}
	}
	return own, repair, nil
}

// dispatchers makes the copies of the QEMUs that can execute native tools. Those that
// cannot be made are left out.
func dispatchers(state State, settings Settings) map[string]string {
	qemus := map[string]string{}
	for arch, emulator := range settings.Emulators {
		qemus[arch] = emulator.Path
	}
	made, err := foreign.Inject(state.dispatchers(), settings.Binary, qemus)
	if err != nil {
		bklog.L.WithError(err).Warn("some programs are only emulated")
	}
	return made
}

// registerAll registers what it can; what is missing is for the plan to complain about.
// A copy that does not run is no better than none.
func registerAll(ctx context.Context, table *emulation.Table, emulators map[string]Emulator, copies map[string]string) []emulation.Registered {
	var all []emulation.Registered
	for _, arch := range emulation.Arches() {
		emulator, ok := emulators[arch.Name]
		if !ok {
			continue
		}
		paths := []string{emulator.Path}
		if dispatcher, ok := copies[arch.Name]; ok {
			paths = []string{dispatcher, emulator.Path}
		}
		for _, path := range paths {
			registered, err := table.RegisterFound(ctx, emulation.RegisterOptions{
				Platforms: []ocispec.Platform{arch.Platform}, Dirs: []string{filepath.Dir(path)},
			})
			if err == nil {
				all = append(all, registered...)
				break
			}
			bklog.L.WithError(err).Warnf("registering %s", path)
		}
	}
	return all
}

// describe lists the architectures that handlers serve, with QEMU's version where
// the interpreter can be asked.
func describe(ctx context.Context, handlers []emulation.Handler) []Handler {
	var list []Handler
	for _, arch := range emulation.Arches() {
		h, ok := arch.ServedBy(handlers)
		if !ok {
			continue
		}
		described := Handler{Arch: arch.Name, Interpreter: h.Interpreter}
		if version, err := emulation.QEMUVersion(ctx, h.Interpreter); err == nil {
			described.Version = version.String()
		}
		list = append(list, described)
	}
	return list
}
