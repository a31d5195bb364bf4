package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/mabuild/mabuild/builder/engine"
	"github.com/mabuild/mabuild/builder/registry"
)

func newPushCommand() *cobra.Command {
	var names []string
	var engineConfig string
	cmd := &cobra.Command{
		Use:   "push [flags] IMAGE…",
		Short: "Push images from the image store",
		Long: `Push images that an earlier build kept, under their names or with --as under others.
All platforms' images are pushed by digest first and the names are written last.
The digest of each image is printed on standard output.`,
		Example: `  mabuild push ghcr.io/me/app:1.2
  mabuild push --as ghcr.io/me/app:1.2 app`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(names) > 0 && len(args) > 1 {
				return usagef("--as goes with one image, not with %d", len(args))
			}
			return push(cmd.Context(), args, names, engineConfig)
		},
	}
	cmd.Flags().StringArrayVar(&names, "as", nil, "push under this `NAME` instead; may be given several times")
	cmd.Flags().StringVar(&engineConfig, "engine-config", os.Getenv("MABUILD_ENGINE_CONFIG"), "`buildkitd.toml` with registry settings (or MABUILD_ENGINE_CONFIG)")
	return cmd
}

func push(ctx context.Context, images, as []string, engineConfig string) error {
	store, release, err := useStore()
	if err != nil {
		return err
	}
	defer func() { _ = release() }()
	client, err := newRegistryClient(engineConfig)
	if err != nil {
		return err
	}
	for _, image := range images {
		entry, err := store.Find(ctx, image)
		if err != nil {
			return fmt.Errorf("%w\n`mabuild images` lists what is in the image store.", err)
		}
		names := as
		if len(names) == 0 {
			names = []string{entry.Name}
		}
		if names[0] == "" {
			return usagef("%s has no name; give one with --as REGISTRY/NAME:TAG", image)
		}
		for _, name := range names {
			fmt.Fprintf(os.Stderr, "Pushing %s\n", name)
			if err := client.Copy(ctx, name, store, entry.Descriptor); err != nil {
				return err
			}
		}
		fmt.Println(entry.Descriptor.Digest)
	}
	return nil
}

// newRegistryClient is a client with the registry settings of a buildkitd.toml,
// so that mirrors and certificates are the same for the engine and for us.
func newRegistryClient(engineConfig string) (*registry.Client, error) {
	config, err := engine.LoadConfig(engineConfig)
	if err != nil {
		return nil, err
	}
	return registry.New(registry.Options{Hosts: config.Registries, UserAgent: "mabuild/" + version(), Logger: logger()}), nil
}
