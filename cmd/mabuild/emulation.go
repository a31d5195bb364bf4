package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/mabuild/mabuild/builder/engine"
	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/host"
)

func newEmulationCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "emulation",
		Short: "Look after the emulation of other architectures",
		Long: `Builds need none of this where the kernel is Linux 6.7 or later: mabuild registers
the QEMUs that are installed in a namespace of its own, without root. These
commands show and test what works, and register QEMU for the whole machine, for
older kernels and other programs. See docs/emulation.md.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(newEmulationStatusCommand(), newEmulationInstallCommand(),
		newEmulationUninstallCommand(), newEmulationTestCommand(), newEmulationProbeCommand())
	return cmd
}

func newEmulationInstallCommand() *cobra.Command {
	var options host.Options
	cmd := &cobra.Command{
		Use:   "install [flags] [ARCH…|all]",
		Short: "Register QEMU for the whole machine (as root)",
		Long: `Register the QEMUs on PATH with the machine's binfmt_misc, all of them or those for
the architectures named (arm64, aarch64 or linux/arm64), and prove that they
work. Handlers of others that do their work are kept. Exits with 1 if anything
failed.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeHandlers(cmd.Context(), args, options, host.Install)
		},
	}
	cmd.Flags().BoolVar(&options.Persist, "persist", false, "register them at every boot, too (writes to /etc/binfmt.d)")
	cmd.Flags().BoolVar(&options.Replace, "replace", false, "take the places of other QEMU handlers; uninstall brings them back")
	cmd.Flags().BoolVar(&options.Mount, "mount", false, "mount binfmt_misc if it is not mounted")
	addTableFlags(cmd, &options)
	return cmd
}

func newEmulationUninstallCommand() *cobra.Command {
	var options host.Options
	cmd := &cobra.Command{
		Use:   "uninstall [ARCH…|all]",
		Short: "Take back what install did (as root)",
		Long: `Remove the handlers and files that install made, all of them or those for the
architectures named, and register again what they had replaced. Handlers of
others stay.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeHandlers(cmd.Context(), args, options, host.Uninstall)
		},
	}
	addTableFlags(cmd, &options)
	return cmd
}

// addTableFlags are for tests and for systems with files elsewhere.
func addTableFlags(cmd *cobra.Command, options *host.Options) {
	cmd.Flags().StringVar(&options.ConfigDir, "binfmt-dir", host.DefaultConfigDir, "`directory` of the files for systemd-binfmt")
	cmd.Flags().StringVar(&options.Table, "table", emulation.DefaultDir, "where binfmt_misc is mounted")
	_ = cmd.Flags().MarkHidden("table")
}

type changer func(context.Context, host.Options) ([]host.Change, error)

func changeHandlers(ctx context.Context, args []string, options host.Options, change changer) error {
	var err error
	if options.Platforms, err = parseArches(args); err != nil {
		return err
	}
	if options.State, err = emulationState(); err != nil {
		return err
	}
	changes, err := change(ctx, options)
	if printErr := printChanges(os.Stdout, changes); printErr != nil {
		return printErr
	}
	return err
}

// parseArches returns the platforms that a user named; none is all of them.
func parseArches(args []string) ([]ocispec.Platform, error) {
	var list []ocispec.Platform
	for _, arg := range args {
		if arg == "all" {
			if len(args) > 1 {
				return nil, usagef("%q goes alone", arg)
			}
			return nil, nil
		}
		arch, err := emulation.ParseArch(arg)
		if err != nil {
			return nil, usagef("%w", err)
		}
		list = append(list, arch.Platform)
	}
	return list, nil
}

// emulationState is where the machine's handlers are remembered: with root's
// state, whoever asks.
func emulationState() (string, error) {
	dir := engine.State("/var/lib/mabuild")
	if os.Getenv("MABUILD_STATE_DIR") != "" {
		var err error
		if dir, err = engine.DefaultState(); err != nil {
			return "", err
		}
	}
	return filepath.Join(string(dir), "emulation.json"), nil
}

func printChanges(w io.Writer, changes []host.Change) error {
	if len(changes) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "PLATFORM\tACTION\tHANDLER\tINTERPRETER\tQEMU\tNOTES")
	for _, c := range changes {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Platform, c.Action, c.Handler,
			orDash(c.Interpreter), orDash(c.QEMU), orDash(strings.Join(c.Notes, "; ")))
	}
	return table.Flush()
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
