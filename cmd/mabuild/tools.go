package main

import (
	"context"
	"os"
	"slices"

	"github.com/mabuild/mabuild/builder/engine"
	"github.com/mabuild/mabuild/builder/tools"
	"github.com/mabuild/mabuild/emulation"
)

// findTools gets the programs that the engine needs and PATH lacks: runc, and QEMU
// for the needed platforms.
func (c connection) findTools(ctx context.Context) (engine.Tools, error) {
	mode, err := tools.ParseMode(os.Getenv("MABUILD_TOOLS"))
	if err != nil {
		return engine.Tools{}, usagef("MABUILD_TOOLS: %w", err)
	}
	images, err := tools.ParseImages(c.toolsImages...)
	if err != nil {
		return engine.Tools{}, &usageError{err}
	}
	needs := tools.Needs{Runc: mode == tools.ImageOnly || !engine.HasRuntime(), QEMU: c.missingQEMU(mode)}
	if mode == tools.Never || !needs.Runc && len(needs.QEMU) == 0 {
		return engine.Tools{}, nil
	}
	client, err := newRegistryClient(c.engineConfig)
	if err != nil {
		return engine.Tools{}, err
	}
	paths, err := tools.Find(ctx, tools.Options{Mode: mode, Images: images, Registry: client, Logger: logger()}, needs)
	if err != nil {
		return engine.Tools{}, err
	}
	found := engine.Tools{Runc: paths.Runc.Path, QEMU: map[string]string{}}
	for arch, tool := range paths.QEMU {
		found.QEMU[arch] = tool.Path
	}
	return found, nil
}

// missingQEMU are the architectures that are needed and that PATH has no QEMU for.
func (c connection) missingQEMU(mode tools.Mode) []string {
	if way := c.emulation.Choose(c.needed); way == engine.Host || way == engine.Off {
		return nil
	}
	var names []string
	for _, p := range c.needed {
		arch, err := emulation.Lookup(p)
		if err != nil || slices.Contains(names, arch.Name) {
			continue
		}
		if _, err := arch.FindQEMU(); err != nil || mode == tools.ImageOnly {
			names = append(names, arch.Name)
		}
	}
	return names
}
