package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/engine"
	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/planner"
)

// connection says which BuildKit a command uses.
type connection struct {
	node         string // address; empty is the built-in engine
	engineConfig string
	emulation    engine.Way
	needed       []ocispec.Platform // foreign platforms that something runs on
	toolsImages  []string           // where to take missing tools from
}

// node is a BuildKit daemon in use.
type node struct {
	*buildkit.Node
	address string
	lease   *engine.Lease // nil for a daemon that is not ours
	missing error         // why a tool could not be had
}

// connect dials the daemon of --node or the engine, which it starts if needed.
func (c connection) connect(ctx context.Context) (*node, error) {
	if c.node != "" {
		dialled, err := buildkit.Dial(ctx, c.node)
		hangUp(ctx, dialled)
		return &node{Node: dialled, address: c.node}, err
	}
	options, err := c.engineOptions()
	if err != nil {
		return nil, err
	}
	// Without a tool the build may still be possible, on an engine that runs already.
	var missing error
	if options.Tools, missing = c.findTools(ctx); isUsage(missing) {
		return nil, missing
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	// An engine that was found alive can have been killed a moment ago.
	for try := 1; ; try++ {
		lease, err := engine.Acquire(ctx, options)
		if err != nil {
			return nil, errors.Join(err, missing)
		}
		dialled, err := buildkit.Dial(ctx, lease.Address())
		if err == nil {
			hangUp(ctx, dialled)
			return &node{Node: dialled, address: lease.Address(), lease: lease, missing: missing}, nil
		}
		if err = errors.Join(err, lease.Release()); try == 3 || context.Cause(ctx) != nil {
			return nil, err
		}
	}
}

// hangUp ends the connection when a second signal comes: the first one waits for the
// daemon to say that it cancelled what ran.
func hangUp(ctx context.Context, dialled *buildkit.Node) {
	context.AfterFunc(ctx, func() {
		var interrupt *interruptError
		if dialled != nil && errors.As(context.Cause(ctx), &interrupt) {
			<-interrupt.again
			_ = dialled.Close()
		}
	})
}

func (c connection) engineOptions() (engine.Options, error) {
	config := c.engineConfig
	if config != "" {
		var err error
		if config, err = filepath.Abs(config); err != nil {
			return engine.Options{}, err
		}
	}
	options := engine.Options{
		ConfigFile: config, Emulation: c.emulation, Needed: c.needed, Logger: logger(),
	}
	if idle := os.Getenv("MABUILD_ENGINE_IDLE"); idle != "" {
		var err error
		if options.Idle, err = time.ParseDuration(idle); err != nil {
			return options, usagef("MABUILD_ENGINE_IDLE: %w; write 10m or 1h, or -1s for never", err)
		}
	}
	return options, nil
}

// natives are the platforms whose programs the daemon's machine runs by itself. Of the
// engine's it is known; others list 386 where the processor runs it, or QEMU, and who has
// QEMU for it beside a processor of amd64 is yet to be found.
func (n *node) natives() []ocispec.Platform {
	if n.lease != nil {
		return emulation.Native()
	}
	native := []ocispec.Platform{n.Native()}
	if i386 := (ocispec.Platform{OS: "linux", Architecture: "386"}); native[0].Architecture == "amd64" && planner.Runnable(n.Platforms(), i386) {
		native = append(native, i386)
	}
	return native
}

// close lets go of the daemon.
func (n *node) close() {
	_ = n.Close()
	if n.lease != nil {
		_ = n.lease.Release()
	}
}

// logger writes what a user should know to standard error: waits and second tries.
func logger() *slog.Logger {
	level := slog.LevelInfo
	if os.Getenv("MABUILD_DEBUG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(&notes{w: os.Stderr, level: level})
}
