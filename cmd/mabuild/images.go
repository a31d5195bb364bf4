package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/mabuild/mabuild/builder/output"
)

func openStore() (*output.Layout, error) {
	dir, err := output.DefaultStore()
	if err != nil {
		return nil, err
	}
	return output.OpenLayout(dir)
}

// useStore opens the image store, from which nothing is deleted until release.
func useStore() (store *output.Layout, release func() error, err error) {
	if store, err = openStore(); err != nil {
		return nil, nil, err
	}
	if release, err = store.Use(); err != nil {
		return nil, nil, err
	}
	return store, release, nil
}

func newImagesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "images",
		Short: "List what is in the image store, or delete from it",
		Long: `The image store keeps the results of builds that were not sent elsewhere. It is an
OCI layout in $XDG_DATA_HOME/mabuild/images.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return listImages(cmd.Context()) },
	}
	var all bool
	prune := &cobra.Command{
		Use:   "prune",
		Short: "Delete content that no image uses",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := openStore()
			if err != nil {
				return err
			}
			free, err := store.Prune(cmd.Context(), all)
			if err != nil {
				return err
			}
			fmt.Printf("freed %s\n", units.HumanSize(float64(free)))
			return nil
		},
	}
	prune.Flags().BoolVarP(&all, "all", "a", false, "also images without a name")
	remove := &cobra.Command{
		Use:   "rm IMAGE…",
		Short: "Delete images by name or digest",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := openStore()
			if err != nil {
				return err
			}
			for _, image := range args {
				if err := store.Remove(cmd.Context(), image); err != nil {
					return err
				}
			}
			_, err = store.Prune(cmd.Context(), false)
			if errors.Is(err, output.ErrInUse) {
				fmt.Fprintf(os.Stderr, "The image store is in use: what only %s had is deleted by the next `mabuild images prune`.\n", strings.Join(args, ", "))
				return nil
			}
			return err
		},
	}
	cmd.AddCommand(prune, remove)
	return cmd
}

func listImages(ctx context.Context) error {
	store, err := openStore()
	if err != nil {
		return err
	}
	entries, err := store.List(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 8, 3, ' ', 0)
	fmt.Fprintln(table, "NAME\tDIGEST\tPLATFORMS\tCREATED")
	for _, entry := range entries {
		image, err := inspectStored(ctx, store, entry)
		if err != nil {
			return err
		}
		name := entry.Name
		if name == "" {
			name = "-"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s ago\n", name, entry.Descriptor.Digest.Encoded()[:12],
			image.platformList(), units.HumanDuration(time.Since(entry.Created)))
	}
	return table.Flush()
}
