package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/engine"
	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/planner"
)

// foreignPlatforms are those that a plan runs commands on and this machine does not.
func foreignPlatforms(plan *planner.Plan) []ocispec.Platform {
	var list []ocispec.Platform
	for _, stage := range plan.Foreign(emulation.Native()) {
		if !slices.ContainsFunc(list, platforms.OnlyStrict(stage.Platform).Match) {
			list = append(list, stage.Platform)
		}
	}
	return list
}

// emulators names what emulates the platforms, as far as that is known.
func (n *node) emulators(ctx context.Context, foreign ...ocispec.Platform) string {
	if n.lease == nil || len(foreign) == 0 {
		return ""
	}
	info, err := n.lease.Info(ctx)
	if err != nil {
		return ""
	}
	return info.Emulation.Describe(foreign)
}

// emulationHint tells how to make the node run what it cannot run.
func (n *node) emulationHint(ctx context.Context, missing []ocispec.Platform) string {
	if n.lease == nil {
		return fmt.Sprintf("Register QEMU where the BuildKit daemon at %s runs and restart it, or use a node of that platform.", n.address)
	}
	info, err := n.lease.Info(ctx)
	if err != nil {
		return ""
	}
	var hints []string
	for _, platform := range missing {
		if hint := missingHint(info.Emulation, platform); !slices.Contains(hints, hint) {
			hints = append(hints, hint)
		}
	}
	if n.missing != nil {
		hints = append(hints, n.missing.Error())
	}
	return strings.Join(hints, "\n")
}

func missingHint(how engine.Emulation, platform ocispec.Platform) string {
	name := platforms.Format(platform)
	switch how.Way {
	case engine.Off:
		return "Emulation is off: leave --emulation=off away, or use a node of that platform with --node."
	case engine.Host:
		hint := fmt.Sprintf("%s: the host has no usable handler: register one with `sudo mabuild emulation install %s`.", name, platform.Architecture)
		if how.Reason != "" {
			hint += " A private handler is not possible here: " + how.Reason
		}
		return hint
	}
	arch, err := emulation.Lookup(platform)
	if err == nil {
		_, err = arch.FindQEMU()
	}
	var e *emulation.Error
	switch {
	case errors.As(err, &e):
		return fmt.Sprintf("%s: %v", name, e)
	case err != nil:
		return fmt.Sprintf("%s: %v", name, err)
	}
	return fmt.Sprintf("%s: QEMU is installed, but the engine could not register it; see `mabuild engine status`.", name)
}
