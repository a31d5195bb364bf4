package main

import (
	"context"
	"fmt"
	"os"
	"regexp"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/mabuild/mabuild/builder/buildkit"
)

func newCacheCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "Take results back that native tools made",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newCacheDropCommand())
	return cmd
}

// buildID is what a GNU build-id looks like, as long as the engine looks at.
var buildID = regexp.MustCompile(`^([0-9a-f]{2}){8,32}$`)

func newCacheDropCommand() *cobra.Command {
	var c connection
	var tool string
	var dry bool
	cmd := &cobra.Command{
		Use:   "drop --tool BUILD-ID",
		Short: "Delete the build cache that a native tool had a part in",
		Long: `Delete the engine's build cache of every emulated command that a native tool ran
in, and of all that was made from it, so that the next build runs it again. It is for
a tool that turned out not to make the same bytes as the program that it stands for.

The build-id is that program's: mabuild toolbox ls --json has it, and so does the error
of a build with --assist-verify.`,
		Example: "  mabuild cache drop --dry-run --tool 3a1f0c2b9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !buildID.MatchString(tool) {
				return usagef("--tool %q is no build-id; `mabuild toolbox ls --json` has those of all tools", tool)
			}
			node, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer node.close()
			return dropTool(cmd.Context(), node.Node, tool, dry)
		},
	}
	cmd.Flags().StringVar(&tool, "tool", "", "`BUILD-ID` of the program that the tool stands for")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would be deleted")
	cmd.Flags().StringVar(&c.engineConfig, "engine-config", os.Getenv("MABUILD_ENGINE_CONFIG"), "`buildkitd.toml` of the built-in engine (or MABUILD_ENGINE_CONFIG)")
	return cmd
}

func dropTool(ctx context.Context, node *buildkit.Node, tool string, dry bool) error {
	made, err := node.MadeWith(ctx, tool)
	if err != nil {
		return err
	}
	deleted, did := made, "would delete"
	if !dry && len(made) > 0 {
		did = "deleted"
		if deleted, err = node.Drop(ctx, tool); err != nil {
			return err
		}
	}
	if len(made) == 0 {
		fmt.Println("nothing in the build cache was made with it")
	} else {
		var size int64
		for _, u := range deleted {
			size += u.Size
			fmt.Println(u.Description)
		}
		fmt.Printf("%s %d records of %s\n", did, len(deleted), units.HumanSize(float64(size)))
	}
	if kept := len(made) - len(deleted); kept > 0 {
		fmt.Printf("%d in use: no build takes them from the cache again, `mabuild engine prune` deletes them\n", kept)
	}
	fmt.Println("images and caches that were pushed to a registry or exported are as they were")
	return nil
}
