package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/mabuild/mabuild/builder/docker"
	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/planner"
)

// loadFlags are the command line of load.
type loadFlags struct {
	names         []string
	platforms     []string
	to            string
	dockerContext string
}

func newLoadCommand() *cobra.Command {
	var flags loadFlags
	cmd := &cobra.Command{
		Use:   "load [flags] [IMAGE…]",
		Short: "Bring images from the image store into a running Docker",
		Long: `Bring images that an earlier build kept into a running Docker, under their names or
with --as under others. Without IMAGE it is what the last build kept. Docker is found
as the docker command finds it: DOCKER_HOST, DOCKER_CONTEXT, the current context, the
usual socket. The docker command itself is not needed.

A Docker with the containerd image store gets all platforms; any other one keeps a
single platform under a name and gets the one that its machine runs. --platform
chooses. The digest of what was loaded is printed on standard output.`,
		Example: `  mabuild load
  mabuild load --platform linux/arm64 --as app:arm64 app`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return causeOf(cmd.Context(), flags.run(cmd.Context(), args))
		},
	}
	set := cmd.Flags()
	set.StringArrayVar(&flags.names, "as", nil, "load under this `NAME` instead; may be given several times")
	set.StringArrayVar(&flags.platforms, "platform", nil, "load only these platforms; a `LIST`, may be given several times")
	set.StringVar(&flags.to, "to", "docker", "where to: docker")
	set.StringVar(&flags.dockerContext, "context", "", "docker context `NAME` instead of the current one")
	return cmd
}

func (f *loadFlags) run(ctx context.Context, args []string) error {
	if len(f.names) > 0 && len(args) > 1 {
		return usagef("--as goes with one image, not with %d", len(args))
	}
	if f.to != "docker" {
		return usagef("--to=%s is not supported, only docker is; for containerd write an archive by -o type=oci,dest=FILE and run `ctr -n NAMESPACE images import FILE`", f.to)
	}
	var wanted []ocispec.Platform
	if len(f.platforms) > 0 {
		var err error
		if wanted, err = planner.ParsePlatforms(f.platforms...); err != nil {
			return err
		}
	}
	store, release, err := useStore()
	if err != nil {
		return err
	}
	defer func() { _ = release() }()
	images, err := findStored(ctx, store, args)
	if err != nil {
		return err
	}
	engine, err := connectDocker(ctx, f.dockerContext)
	if err != nil {
		return err
	}
	defer engine.Close()
	for _, image := range images {
		if len(f.names) > 0 {
			image.Names = f.names
		}
		image.Platforms = wanted
		loaded, err := loadImage(ctx, engine, store, image)
		if err != nil {
			return err
		}
		fmt.Println(loaded.Digest)
	}
	return nil
}

// findStored returns images of the store by their names, or what came there last.
func findStored(ctx context.Context, store *output.Layout, names []string) ([]docker.Image, error) {
	if len(names) == 0 {
		return lastStored(ctx, store)
	}
	images := make([]docker.Image, 0, len(names))
	for _, name := range names {
		entry, err := store.Find(ctx, name)
		if errors.Is(err, output.ErrNotFound) {
			return nil, fmt.Errorf("%w\n`mabuild images` lists what is in the image store.", err)
		}
		if err != nil {
			return nil, err
		}
		images = append(images, storedImage(entry))
	}
	return images, nil
}

func storedImage(entry output.Entry) docker.Image {
	image := docker.Image{Root: entry.Descriptor}
	if entry.Name != "" {
		image.Names = []string{entry.Name}
	}
	return image
}

// lastStored is the image that came into the store last, under all its names.
func lastStored(ctx context.Context, store *output.Layout) ([]docker.Image, error) {
	entries, err := store.List(ctx)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, errors.New("there is nothing to load, the image store is empty; build something first")
	}
	image := storedImage(entries[len(entries)-1])
	for _, entry := range entries[:len(entries)-1] {
		if entry.Descriptor.Digest == image.Root.Digest && entry.Name != "" {
			image.Names = append(image.Names, entry.Name)
		}
	}
	return []docker.Image{image}, nil
}

// connectDocker reaches the Docker of a context, or of the environment if that is
// empty.
func connectDocker(ctx context.Context, name string) (*docker.Engine, error) {
	endpoint, err := docker.Find(docker.Options{Context: name})
	if err != nil {
		return nil, err
	}
	return docker.Connect(ctx, endpoint)
}

// loadImage brings one image into Docker and says what of it is there now.
func loadImage(ctx context.Context, engine *docker.Engine, store *output.Layout, image docker.Image) (*docker.Loaded, error) {
	loaded, err := engine.Load(ctx, store.Blobs(), image)
	if err != nil {
		return nil, err
	}
	what := loaded.ID.String()
	if len(image.Names) > 0 {
		what = strings.Join(image.Names, ", ")
	}
	fmt.Fprintf(os.Stderr, "Loaded %s for %s into Docker %s\n", what, platformNames(loaded.Platforms), engine.Version)
	if len(loaded.LeftOut) > 0 && len(image.Platforms) == 0 {
		fmt.Fprintf(os.Stderr, "Its store keeps one platform under a name, so %s stayed out. Choose another by --platform, or turn on Docker's containerd image store.\n",
			platformNames(loaded.LeftOut))
	}
	return loaded, nil
}

func platformNames(list []ocispec.Platform) string {
	names := make([]string, 0, len(list))
	for _, platform := range list {
		names = append(names, platforms.FormatAll(platform))
	}
	return strings.Join(names, ", ")
}

// docker connects to Docker if the result goes there, so that a missing one is found
// before anything is built.
func (o *buildOptions) docker(ctx context.Context) (*docker.Engine, error) {
	i := slices.IndexFunc(o.outputs, isLoaded)
	if i < 0 {
		return nil, nil //nolint:nilnil // nil is no Docker
	}
	return connectDocker(ctx, o.outputs[i].Context)
}

// loadInto brings what was built into Docker.
func (d *delivery) loadInto(ctx context.Context, engine *docker.Engine) error {
	if engine == nil {
		return nil
	}
	store, err := openStore()
	if err != nil {
		return err
	}
	_, err = loadImage(ctx, engine, store, docker.Image{Root: d.loads.root, Names: d.loads.names})
	return err
}
