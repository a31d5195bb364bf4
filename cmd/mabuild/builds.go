package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/mabuild/mabuild/builder/report"
)

func newHistoryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "history",
		Short: "List the last builds, and show what they did",
		Long: `The last 50 builds are kept in $XDG_STATE_HOME/mabuild/builds, or in mabuild/builds in
the cache folder: the steps with their times and the end of their output.

ID is the beginning of one in the list; without it, the last build is meant.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return listBuilds(false) },
	}
	var asJSON bool
	list := &cobra.Command{
		Use: "ls", Short: "List the last builds", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return listBuilds(asJSON) },
	}
	list.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	inspect := &cobra.Command{
		Use: "inspect [ID]", Short: "Print a build as JSON", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			build, err := loadBuild(args)
			if err != nil {
				return err
			}
			return report.JSON(os.Stdout, build)
		},
	}
	var file string
	open := &cobra.Command{
		Use: "open [ID]", Short: "Show a build's report in the browser, or write it to a file", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			build, err := loadBuild(args)
			if err != nil {
				return err
			}
			if file != "" {
				return report.WriteFile(file, build, report.Options{})
			}
			return openBuild(cmd.Context(), build)
		},
	}
	open.Flags().StringVarP(&file, "output", "o", "", "write the page to this `FILE` and open nothing")
	cmd.AddCommand(list, inspect, open)
	return cmd
}

func loadBuild(args []string) (*report.Build, error) {
	build, err := report.Store{}.Load(strings.Join(args, ""))
	if ambiguous := (*report.AmbiguousError)(nil); errors.Is(err, report.ErrNoBuild) || errors.As(err, &ambiguous) {
		return nil, usagef("%w\nRun `mabuild history` for the list.", err)
	}
	return build, err
}

func listBuilds(asJSON bool) error {
	builds, err := report.Store{}.List()
	if err != nil {
		return err
	}
	if asJSON {
		if builds == nil {
			builds = []report.Summary{}
		}
		return printJSON(builds)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTARTED\tTOOK\tRESULT\tPLATFORMS\tWHAT")
	for _, b := range builds {
		result, what := "ok", b.File
		if b.Error != "" {
			result = "failed"
		}
		if len(b.Names) > 0 {
			what = b.Names[0]
		}
		fmt.Fprintf(w, "%.12s\t%s ago\t%s\t%s\t%d\t%s\n", b.ID, units.HumanDuration(time.Since(b.Started)), b.Duration().Round(100*time.Millisecond), result, len(b.Platforms), what)
	}
	return w.Flush()
}

// openBuild writes the page where it can stay and hands it to the desktop.
func openBuild(ctx context.Context, build *report.Build) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	dir := filepath.Join(cache, "mabuild", "reports")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, build.ID+".html")
	if err := report.WriteFile(path, build, report.Options{}); err != nil {
		return err
	}
	fmt.Println(path)
	program := map[string]string{"darwin": "open", "windows": "explorer"}[runtime.GOOS]
	if program == "" {
		program = "xdg-open"
	}
	if _, err := exec.LookPath(program); err != nil {
		fmt.Fprintln(os.Stderr, "There is no", program, "here: open the file in a browser.")
		return nil
	}
	return exec.CommandContext(context.WithoutCancel(ctx), program, path).Start() // it outlives mabuild
}
