package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/bases"
	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/native"
)

// planRequest says what to plan, beside the command line.
type planRequest struct {
	text    []byte // the Dockerfile as it is written
	wanted  []ocispec.Platform
	offline bool
	node    *node // that will build, nil if nothing does
}

// registryClient is the one of the whole build, which keeps connections and tokens.
func (o *buildOptions) registryClient() (*registry.Client, error) {
	if o.registry == nil {
		client, err := newRegistryClient(o.engineConfig)
		if err != nil {
			return nil, err
		}
		o.registry = client
	}
	return o.registry, nil
}

// exactPlan is what BuildKit will do.
func (o *buildOptions) exactPlan(ctx context.Context, r planRequest) (*native.Result, error) {
	client, err := o.registryClient()
	if err != nil {
		return nil, err
	}
	options := exact.Options{
		Dockerfile: r.text, Platforms: r.wanted, Target: o.target, Args: o.args, Native: emulation.Native(),
		Overrides: o.inputs.overrides, Attrs: o.inputs.attrs,
		NamedContexts: o.contexts, Pull: o.pull, SessionID: o.history.sessionID(),
		Resolver: bases.New(bases.Options{Registry: client, Offline: r.offline, Pull: o.pull, Logger: logger()}),
	}
	o.addContext(&options)
	if o.remote != nil {
		options.Remote = o.remote.client
	} else {
		named := o.newContextClient() // SOURCE_DATE_EPOCH may want the time of a named context
		defer named.Close()
		options.Remote = named
	}
	natively := native.Options{Pins: o.pins, Recipes: o.assist.recipes, Logger: logger()}
	if cache, err := os.UserCacheDir(); err == nil {
		natively.Cache = filepath.Join(cache, "mabuild", "assist")
	}
	if r.node != nil {
		options.BuildPlatform, options.Native = r.node.Native(), r.node.natives()
		natively.Kernel = r.node.Platforms()
		natively.Content = client // images are compared before they are used the first time
	}
	return native.Plan(ctx, options, natively)
}

// tellAssists says for every emulated command whether it gets native tools, a line
// for each reason. What toolboxes have for it shows when it runs.
func tellAssists(steps []assist.Step, toolboxes bool) string {
	var order []string
	lines := make(map[string][]string)
	for _, s := range steps {
		what := "plain under QEMU: " + s.Reason
		if toolboxes {
			what = "under QEMU, but for what toolboxes have: " + s.Reason
		}
		if s.Recipe != "" {
			what = "native tools of recipe " + s.Recipe
		}
		if s.Note != "" {
			what += " (" + s.Note + ")"
		}
		if lines[what] == nil {
			order = append(order, what)
		}
		if line := fmt.Sprintf("L%d", s.Line); !slices.Contains(lines[what], line) {
			lines[what] = append(lines[what], line)
		}
	}
	var b strings.Builder
	for _, what := range order {
		fmt.Fprintf(&b, "Assist: %s %s\n", strings.Join(lines[what], ", "), what)
	}
	return b.String()
}
