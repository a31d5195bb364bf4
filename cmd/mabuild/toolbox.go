package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/mabuild/mabuild/builder/engine"
	"github.com/mabuild/mabuild/emulation/toolbox"
)

func newToolboxCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "toolbox",
		Short: "List or delete the native tools that emulated steps are given",
		Long: `A toolbox has native programs that write the same bytes as those of an emulated
image: compilers, linkers, archivers. mabuild makes them from the packages of an
image's own distribution, and keeps them with its engine's state.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(newToolboxListCommand(), newToolboxMakeCommand(), newToolboxPruneCommand(), newToolboxLayoutCommand())
	return cmd
}

func openToolboxes() (*toolbox.Store, error) {
	state, err := engine.DefaultState()
	if err != nil {
		return nil, err
	}
	return toolbox.Open(state.Toolboxes()), nil
}

func newToolboxListCommand() *cobra.Command {
	var asJSON, refused bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the toolboxes",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			store, err := openToolboxes()
			if err != nil {
				return err
			}
			boxes, err := store.List()
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(describeBoxes(boxes))
			}
			return listToolboxes(os.Stdout, boxes, refused)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	cmd.Flags().BoolVar(&refused, "refused", false, "also what was left out, and why")
	return cmd
}

func listToolboxes(w io.Writer, boxes []toolbox.Installed, refused bool) error {
	table := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	fmt.Fprintln(table, "DIGEST\tSUITE\tFOR\tTOOLS\tREFUSED\tSIZE\tMADE\tSTATE")
	for _, b := range boxes {
		if b.Box == nil {
			fmt.Fprintf(table, "%.12s\t-\t-\t-\t-\t-\t%s ago\tdamaged\n", b.Digest, units.HumanDuration(time.Since(b.Time)))
			continue
		}
		fmt.Fprintf(table, "%.12s\t%s\tlinux/%s\t%d\t%d\t%s\t%s ago\t%s\n", b.Digest, b.Box.Suite, b.Box.Arch, len(b.Box.Tools), len(b.Box.Refused),
			units.HumanSize(float64(b.Box.Size())), units.HumanDuration(time.Since(b.Time)), toolboxState(b))
	}
	if err := table.Flush(); err != nil || !refused {
		return err
	}
	for _, b := range boxes {
		if b.Box == nil {
			continue
		}
		for _, r := range b.Box.Refused {
			fmt.Fprintf(w, "%.12s %s\n", b.Digest, r)
		}
	}
	return nil
}

func toolboxState(b toolbox.Installed) string {
	switch {
	case b.Damage != nil:
		return "damaged"
	case b.Current:
		return "current"
	}
	return "replaced"
}

// describedBox is a toolbox for programs.
type describedBox struct {
	Digest  string       `json:"digest"`
	Made    time.Time    `json:"made"`
	State   string       `json:"state"`
	Toolbox *toolbox.Box `json:"toolbox,omitempty"`
}

func describeBoxes(boxes []toolbox.Installed) []describedBox {
	described := make([]describedBox, 0, len(boxes))
	for _, b := range boxes {
		described = append(described, describedBox{b.Digest, b.Time, toolboxState(b), b.Box})
	}
	return described
}

func newToolboxPruneCommand() *cobra.Command {
	var o toolbox.PruneOptions
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Delete toolboxes that newer ones have taken the place of",
		Long: `Delete toolboxes that newer ones have taken the place of, or that are damaged. What a
running step uses stays until another prune.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := openToolboxes()
			if err != nil {
				return err
			}
			pruned, err := store.Prune(cmd.Context(), o)
			if err != nil {
				return err
			}
			var size int64
			for _, b := range pruned.Boxes {
				if b.Box != nil {
					size += b.Box.Size()
				}
			}
			fmt.Printf("deleted %d toolboxes of %s\n", len(pruned.Boxes), units.HumanSize(float64(size)))
			if len(pruned.Kept) > 0 {
				fmt.Printf("%d in use: their files stay until another prune\n", len(pruned.Kept))
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&o.All, "all", "a", false, "also those that steps are given")
	return cmd
}

// layoutFlags are those of the command that runs while a toolbox is built.
type layoutFlags struct {
	toolbox.LayoutOptions
	fetch bool
}

func newToolboxLayoutCommand() *cobra.Command {
	var o layoutFlags
	cmd := &cobra.Command{
		Use:    "layout --suite SUITE --host ARCH --target ARCH --base DIR [--packages DIR] OUT",
		Short:  "Make a toolbox, inside the build of one",
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Out, o.Log = args[0], os.Stderr
			if o.fetch {
				o.Fetch = toolbox.Apt
			}
			return layoutToolbox(cmd.Context(), o.LayoutOptions)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Suite, "suite", "", "release of the distribution, or of Go")
	flags.StringVar(&o.Host, "host", "", "architecture of the tools, as the distribution or Go calls it")
	flags.StringVar(&o.Target, "target", "", "architecture of the programs they stand for")
	flags.StringVar(&o.Native, "native", "", "root of the native system; default this one")
	flags.StringVar(&o.Base, "base", "", "root of the base for the target")
	flags.StringVar(&o.Packages, "packages", "", "directory with packages of the target")
	flags.StringArrayVar(&o.Expected, "expect", nil, "package of the target whose absence is recorded")
	flags.BoolVar(&o.OptIn, "opt-in", false, "make the tools that must be asked for, too")
	flags.BoolVar(&o.fetch, "fetch", false, "download the target's packages of libraries by apt-get")
	return cmd
}

func layoutToolbox(ctx context.Context, o toolbox.LayoutOptions) error {
	suite, err := toolbox.LookupSuite(o.Suite)
	if err != nil {
		return usagef("--suite: %w\nThe toolbox's Dockerfile names it; this command is not for use by hand.", err)
	}
	started := time.Now()
	var box *toolbox.Box
	if suite.Kind == toolbox.Go {
		box, err = toolbox.LayoutGo(ctx, toolbox.GoOptions{Out: o.Out, Host: o.Host, Target: o.Target, Native: o.Native, Base: o.Base})
	} else {
		box, err = toolbox.Layout(ctx, o)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d tools for %s, %d refused, %s in %v\n", len(box.Tools), box.Arch, len(box.Refused),
		units.HumanSize(float64(box.Size())), time.Since(started).Round(time.Millisecond))
	return nil
}
