package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/pin"
)

func newPinCommand() *cobra.Command {
	var flags buildFlags
	var write, offline bool
	cmd := &cobra.Command{
		Use:   "pin [flags] CONTEXT",
		Short: "Move stages to the build platform, or say why they cannot move",
		Long: `Show which stages of the Dockerfile could run on the build platform instead of under
an emulator, and why others cannot, with the change of the Dockerfile that does it.
--pin-native chooses stages; without it all that can move are chosen.

--write makes the change, which is for you to review: it works without mabuild, too.
mabuild build --pin-native does the same for one build and leaves the file alone.`,
		Example: `  mabuild pin --platform linux/amd64,linux/arm64 .
  mabuild pin --platform linux/amd64,linux/arm64 --pin-native build:go --write .`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := flags.options(args[0])
			if err != nil {
				return err
			}
			return pinStages(cmd.Context(), &options, write, offline)
		},
	}
	set := cmd.Flags()
	flags.addPlanFlags(set)
	set.BoolVar(&write, "write", false, "change the Dockerfile")
	set.BoolVar(&offline, "offline", false, "ask no registry; use what is known of base images from before")
	return cmd
}

func pinStages(ctx context.Context, o *buildOptions, write, offline bool) error {
	if isRemote(o.context) {
		return usagef("mabuild pin changes a Dockerfile; clone %s and give the directory", o.context)
	}
	text, err := o.read()
	if err != nil {
		return err
	}
	wanted, err := planner.ParsePlatforms(o.platforms...)
	if err != nil {
		return err
	}
	pins := o.pins
	o.pins, o.assist.recipes = nil, nil
	planned, err := o.exactPlan(ctx, planRequest{text: text, wanted: wanted, offline: offline})
	if err != nil {
		return err
	}
	stages, err := pin.Candidates(planned.Plan, text)
	if err != nil {
		return err
	}
	if len(pins) == 0 {
		for _, s := range stages {
			if s.State == pin.Candidate {
				pins = append(pins, s.Pin)
			}
		}
	}
	if err := printStages(os.Stderr, stages); err != nil {
		return err
	}
	if len(pins) == 0 {
		fmt.Fprintln(os.Stderr, "No stage can move.")
		return nil
	}
	return o.patch(text, pins, wanted, write)
}

// patch shows the change of the Dockerfile, or makes it.
func (o *buildOptions) patch(text []byte, pins []pin.Pin, wanted []ocispec.Platform, write bool) error {
	changed, err := pin.Patch(text, pins, wanted)
	if err != nil {
		return usagef("--pin-native: %w", err)
	}
	if _, err := os.Stdout.Write(diff.Diff(o.dockerfile, text, o.dockerfile, changed)); err != nil || !write {
		return err
	}
	info, err := os.Stat(o.dockerfile)
	if err != nil {
		return err
	}
	return writeWhole(o.dockerfile, changed, info.Mode().Perm())
}

// printStages says of every stage whether it can move.
func printStages(w io.Writer, stages []pin.Stage) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "STAGE\tLINE\tSTATE\tEMULATED RUNS\tWHY")
	for _, s := range stages {
		state, why := string(s.State), s.Verify
		if s.Lang != "" {
			state += " (" + s.Lang + ")"
		}
		var reasons []string
		for _, r := range s.Reasons {
			text := r.Text
			if r.Line > 0 {
				text = fmt.Sprintf("L%d: %s", r.Line, text)
			}
			reasons = append(reasons, strings.TrimSpace(r.Rule+" "+text))
		}
		if len(reasons) > 0 {
			why = strings.Join(reasons, "; ")
		}
		fmt.Fprintf(table, "%s\tL%d\t%s\t%d\t%s\n", s.Name, s.Line, state, s.Runs, why)
	}
	return table.Flush()
}
