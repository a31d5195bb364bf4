package suite

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/mabuild/mabuild/integration/bench/report"
	"github.com/mabuild/mabuild/integration/bench/rig"
)

// LargeCases returns the cases of large contexts, in their order.
func LargeCases() []Case {
	two := []string{"linux/amd64", "linux/arm64"}
	return []Case{
		{Name: "200k files, warm", Platforms: two, Files: 200_000},
		{Name: "file of 5 GB", Platforms: two, Files: 10, Big: 5 << 30, Cold: true, Rounds: 1},
	}
}

// layerSizes are those of all layers of the images that are pushed. Memory that grows
// with them would show.
var layerSizes = []int64{512 << 20, 1 << 30, 2 << 30}

// layersPerImage is how many layers share the size of an image.
const layersPerImage = 4

// How a large image gets to the registry. All but the first go through the memory of
// mabuild itself.
const (
	toStore   = "mabuild, to its store"
	fromStore = "mabuild push, from there"
	toArchive = "mabuild, to an archive"
)

// RunLarge measures large contexts and large layers. It needs some 30 GB of disk.
func RunLarge(ctx context.Context, opts Options) (rows []report.Row, err error) {
	if opts.Runs == 0 {
		opts.Runs = 3
	}
	b, err := newBench(opts)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.clean()) }()
	stop, err := b.start(ctx, rig.DaemonOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, c := range LargeCases() {
		if !b.Cases.MatchString(c.Name) {
			continue
		}
		measured, err := b.measure(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("measuring %q: %w", c.Name, err)
		}
		if rows = append(rows, measured...); c.Big > 0 {
			if err := b.prune(ctx); err != nil {
				return nil, err
			}
		}
	}
	for _, size := range layerSizes {
		name := fmt.Sprintf("%.1f GB of layers", float64(size)/(1<<30))
		if !b.Cases.MatchString(name) {
			continue
		}
		measured, err := b.layers(ctx, name, size)
		if err != nil {
			return nil, fmt.Errorf("measuring %q: %w", name, err)
		}
		rows = append(rows, measured...)
	}
	if len(rows) == 0 {
		return nil, b.nothing()
	}
	return rows, nil
}

// layers lets an image of that size be delivered in several ways, each of them once:
// peak memory is what is asked for.
func (b *bench) layers(ctx context.Context, name string, size int64) ([]report.Row, error) {
	dir := filepath.Join(b.dir, "context-"+slug(name))
	defer os.RemoveAll(dir)
	if err := writeLayers(dir, size); err != nil {
		return nil, err
	}
	repository := b.registry.Addr + "/" + slug(name)
	archive := filepath.Join(b.dir, "image.tar")
	defer os.Remove(archive)
	store := []string{b.Mabuild, "--node", b.daemon.Address(), "--progress=quiet", "-t", repository + ":store"}
	var rows []report.Row
	for _, way := range []struct {
		tool string
		args []string
	}{
		{mabuild, []string{
			b.Mabuild, "--node", b.daemon.Address(), "--progress=quiet", "-t", repository + ":mabuild",
			"-o", "type=image,push=true,compression=uncompressed", dir,
		}},
		{buildx, []string{
			b.Tools.Buildx, "build", "--builder", builder, "--provenance=false", "--sbom=false", "--progress=quiet",
			"-t", repository + ":buildx", "-o", "type=image,push=true,compression=uncompressed", dir,
		}},
		{toStore, append(store, "-o", "type=image,compression=uncompressed", dir)},
		{fromStore, []string{b.Mabuild, "push", "--as", strings.Replace(repository, "/", "/again-", 1) + ":push", repository + ":store"}},
		{toArchive, append(store, "-o", "type=oci,compression=uncompressed,dest="+archive, dir)},
	} {
		b.Logger.Info("measuring", "case", name, "program", way.tool)
		result, err := b.runner.Run(ctx, way.args...)
		if err != nil {
			return nil, err
		}
		sample := report.Sample{Elapsed: result.Elapsed, Peak: result.Peak}
		rows = append(rows, report.Summarise(name, "", []report.Series{{Tool: way.tool, Samples: []report.Sample{sample}}})...)
	}
	return rows, b.forget(ctx)
}

// forget makes room for the next size.
func (b *bench) forget(ctx context.Context) error {
	if _, err := b.runner.Run(ctx, b.Mabuild, "images", "prune", "--all"); err != nil {
		return err
	}
	return b.prune(ctx)
}

// writeLayers writes a context whose image has layers of that size together. They are
// random: nothing on the way makes them smaller.
func writeLayers(dir string, size int64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing a context: %w", err)
	}
	var recipe strings.Builder
	recipe.WriteString("FROM scratch\n")
	for i := range layersPerImage {
		fmt.Fprintf(&recipe, "COPY layer%d /\n", i)
		file, err := os.Create(filepath.Join(dir, fmt.Sprintf("layer%d", i)))
		if err == nil {
			_, err = io.CopyN(file, rand.Reader, size/layersPerImage)
			err = errors.Join(err, file.Close())
		}
		if err != nil {
			return fmt.Errorf("writing a context of %d bytes: %w: set TMPDIR to where there is room", size, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(recipe.String()), 0o644); err != nil {
		return fmt.Errorf("writing a context: %w", err)
	}
	return nil
}

// writeBig adds one file to a context. It has holes here; where it is sent it has not.
func writeBig(dir string, size int64) error {
	file, err := os.Create(filepath.Join(dir, "big"))
	if err == nil {
		err = errors.Join(file.Truncate(size), file.Close())
	}
	if err != nil {
		return fmt.Errorf("writing a file of %d bytes: %w", size, err)
	}
	return nil
}
