package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/integration/bench/report"
	"github.com/mabuild/mabuild/integration/bench/rig"
	"github.com/mabuild/mabuild/integration/testbed"
)

// Names of the ways to build, of which the engine is the same in all.
const (
	dispatched = "mabuild"                      // as it is
	toolsAlone = "mabuild, --assist=tools"      // the engine's native tools, without the planner's
	emulated   = "mabuild, --assist=off"        // the engine's QEMU
	bare       = "mabuild, QEMU as it is"       // with its own default of how addresses are signed
	rootless   = "mabuild, an ordinary user's"  // without root, on an engine of its own
	byHand     = "mabuild, cross-built by hand" // the case's other Dockerfile
	foreign    = "linux/arm64"                  // what all is built for
	builtStage = "build"                        // the stage that is run again
	sourceDate = "SOURCE_DATE_EPOCH=1700000000" // of every layer
)

// nativeCase is an example, built in several ways.
type nativeCase struct {
	name    string
	folder  string // below the examples
	image   string // what its toolboxes are made of
	byHand  string // the Dockerfile that was changed by hand
	clients []string
}

// nativeCases returns the cases in their order.
func nativeCases() []nativeCase {
	return []nativeCase{
		{name: "C program, arm64", folder: "c-program", image: testbed.Trixie, byHand: "Dockerfile.cross", clients: []string{byHand, dispatched, rootless, emulated}},
		{name: "apt-get, configure and make, arm64", folder: "c-hello", image: testbed.Trixie, clients: []string{dispatched, rootless, emulated, bare}},
		{name: "Go service, arm64", folder: "go-service", image: testbed.Golang, byHand: "Dockerfile.pinned", clients: []string{byHand, dispatched, rootless, toolsAlone, emulated}},
	}
}

// NativeOptions say what to measure.
type NativeOptions struct {
	Options
	// Dir is the folder of the examples.
	Dir string
}

// native is a bench and what the examples' builds need.
type native struct {
	*bench
	dir     string
	modules *rig.Modules
	user    account
}

// RunNative measures examples on mabuild's own engine with native tools in place of
// emulated programs, and without, and compares the layers that came out.
func RunNative(ctx context.Context, opts NativeOptions) (rows []report.Row, err error) {
	if opts.Runs == 0 {
		opts.Runs = 1
	}
	b, err := newBench(opts.Options)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.clean()) }()
	n := &native{bench: b, dir: opts.Dir}
	b.Logger.Info("preparing the base images; minutes the first time")
	mirror, err := testbed.Bases(ctx, testbed.Options{Images: []string{testbed.Debian, testbed.Golang, testbed.Trixie}, Logger: b.Logger})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, mirror.Close()) }()
	if n.modules, err = rig.StartModules(ctx, filepath.Join(opts.Dir, "go-service")); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.modules.Close()) }()
	config := filepath.Join(b.dir, "registries.toml")
	if err := os.WriteFile(config, []byte(testbed.EngineConfig(mirror.Addr)), 0o644); err != nil {
		return nil, fmt.Errorf("telling mabuild about the registries: %w", err)
	}
	if err := os.Mkdir(filepath.Join(b.dir, "home"), 0o755); err != nil {
		return nil, fmt.Errorf("preparing the measurement: %w", err)
	}
	b.runner.Env = append(b.runner.Env, "MABUILD_ENGINE_CONFIG="+config)
	if err := os.Chmod(b.dir, 0o711); err != nil {
		return nil, fmt.Errorf("preparing the measurement: %w", err)
	}
	if n.user, err = newAccount(ctx, filepath.Join(b.dir, "user")); err != nil {
		return nil, err
	}
	defer func() {
		ctx := context.WithoutCancel(ctx)
		_, stopped := b.runner.Run(ctx, n.user.command([]string{n.Mabuild, "engine", "stop", "--force"})...)
		err = errors.Join(err, stopped, n.user.remove(ctx), b.stopEngine(ctx, "--force"))
	}()

	return each(b, nativeCases(), func(c nativeCase) string { return c.name }, func(c nativeCase) ([]report.Row, error) { return n.measure(ctx, c) })
}

// measure builds an example in all ways, round by round. Toolboxes, base images and
// the stages before the one that is measured are made before the first.
func (n *native) measure(ctx context.Context, c nativeCase) ([]report.Row, error) {
	args := []string{n.Mabuild, "toolbox", "make", "--platform", foreign, "--progress=quiet", c.image}
	for _, args := range [][]string{args, n.user.command(args)} {
		made, err := n.runner.Run(ctx, args...)
		if err != nil {
			return nil, err
		}
		n.Logger.Info("made the toolboxes", "image", c.image, "seconds", made.Elapsed.Seconds())
	}
	series := make([]report.Series, len(c.clients))
	for i, name := range c.clients {
		series[i].Tool = name
		if name != emulated && name != bare { // they have the same stages as the others
			if _, _, err := n.run(ctx, c, name); err != nil {
				return nil, err
			}
		}
	}
	var layers []digest.Digest
	for round := 1; round <= n.Runs; round++ {
		n.Logger.Info("measuring", "case", c.name, "round", round, "of", n.Runs)
		for k := range c.clients {
			which := (round - 1 + k) % len(c.clients)
			sample, made, err := n.run(ctx, c, c.clients[which])
			if err != nil {
				return nil, err
			}
			n.Logger.Info("ran", "client", c.clients[which], "seconds", sample.Elapsed.Seconds(), "layers", made)
			series[which].Samples = append(series[which].Samples, sample)
			if c.clients[which] == byHand {
				continue // whose compiler is another
			}
			if layers == nil {
				layers = made
			}
			if !slices.Equal(layers, made) {
				return nil, fmt.Errorf("comparing what %s made: its layers are %v, others made %v", c.clients[which], made, layers)
			}
		}
	}
	rows := report.Summarise(c.name, "", series)
	for i, this := range series {
		for k, other := range series {
			if k != i {
				rows[i].Beside = append(rows[i].Beside, report.Compare(this, other))
			}
		}
	}
	return rows, nil
}

// run builds an example once and returns the layers of its image.
func (n *native) run(ctx context.Context, c nativeCase, name string) (report.Sample, []digest.Digest, error) {
	folder := filepath.Join(n.dir, c.folder)
	layout, err := os.MkdirTemp(n.bench.dir, "layout-")
	if err != nil {
		return report.Sample{}, nil, fmt.Errorf("making a folder for an image: %w", err)
	}
	defer os.RemoveAll(layout)
	args := []string{
		n.Mabuild, "--platform", foreign, "--no-cache-filter", builtStage, "--progress=quiet", "-t", "measured",
		"-o", "type=oci,tar=false,rewrite-timestamp=true,dest=" + filepath.Join(layout, "image"),
		"--build-arg", sourceDate, "--build-arg", "GOPROXY=" + n.modules.URL,
	}
	switch name {
	case toolsAlone, emulated:
		_, flag, _ := strings.Cut(name, ", ")
		args = append(args, flag)
	case rootless:
		if err := n.user.give(ctx, layout); err != nil {
			return report.Sample{}, nil, err
		}
		args = n.user.command(args)
	case byHand:
		args = append(args, "-f", filepath.Join(folder, c.byHand))
	case bare:
		file, err := undispatched(filepath.Join(folder, "Dockerfile"), n.bench.dir)
		if err != nil {
			return report.Sample{}, nil, err
		}
		args = append(args, "--assist=off", "-f", file)
	}
	result, err := n.runner.Run(ctx, append(args, folder)...)
	if err != nil {
		return report.Sample{}, nil, err
	}
	layers, err := diffIDs(filepath.Join(layout, "image"))
	return report.Sample{Elapsed: result.Elapsed, Peak: result.Peak}, layers, err
}

// undispatched writes the Dockerfile with the processor that QEMU would emulate without
// a dispatcher in it, for the stage that is measured. Layers have no variables.
func undispatched(dockerfile, dir string) (string, error) {
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		return "", fmt.Errorf("reading an example: %w", err)
	}
	before, after, ok := strings.Cut(string(text), " AS "+builtStage+"\n")
	if !ok {
		return "", fmt.Errorf("reading %s: it has no stage %s", dockerfile, builtStage)
	}
	file := filepath.Join(dir, "Dockerfile")
	err = os.WriteFile(file, []byte(before+" AS "+builtStage+"\nENV QEMU_CPU=max\n"+after), 0o644)
	if err != nil {
		return "", fmt.Errorf("writing an example: %w", err)
	}
	return file, nil
}

// diffIDs reads the layers of the only image in an OCI layout.
func diffIDs(layout string) ([]digest.Digest, error) {
	file := filepath.Join(layout, "index.json")
	for range 4 { // index, perhaps another one, manifest, configuration
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading the image that was built: %w", err)
		}
		var found struct {
			Manifests []ocispec.Descriptor
			Config    ocispec.Descriptor
			RootFS    ocispec.RootFS `json:"rootfs"`
		}
		if err := json.Unmarshal(text, &found); err != nil {
			return nil, fmt.Errorf("reading the image that was built: %w", err)
		}
		next := found.Config.Digest
		switch {
		case len(found.RootFS.DiffIDs) > 0:
			return found.RootFS.DiffIDs, nil
		case len(found.Manifests) > 0:
			next = found.Manifests[0].Digest
		}
		file = filepath.Join(layout, "blobs", "sha256", next.Encoded())
	}
	return nil, errors.New("reading the image that was built: it has no layers")
}
