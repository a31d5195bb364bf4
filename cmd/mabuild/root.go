package main

import (
	"encoding/json"
	"os"

	"github.com/spf13/cobra"
)

func newRootCommand() *cobra.Command {
	root := newBuildCommand()
	root.Use = "mabuild [flags] CONTEXT"
	root.Short = "Build one Dockerfile for several platforms and deliver one image index"
	root.Version = version()
	root.SetVersionTemplate("{{.Version}}\n")
	root.SilenceErrors, root.SilenceUsage = true, true
	explicit := newBuildCommand()
	root.AddCommand(
		explicit,
		newPlanCommand(),
		newPinCommand(),
		newAssistCommand(),
		newPushCommand(),
		newCICommand(),
		newJoinCommand(),
		newLoadCommand(),
		newInspectCommand(),
		newVerifyCommand(),
		newImagesCommand(),
		newHistoryCommand(),
		newEngineCommand(),
		newEmulationCommand(),
		newToolboxCommand(),
		newCacheCommand(),
		newVersionCommand(),
	)
	onUsageError(root)
	root.AddCommand(newRunCommand()) // its exit codes are the program's, and wrong usage docker's
	return root
}

// onUsageError gives a command and those below it the exit code of wrong usage
// for flags and arguments that cobra refuses.
func onUsageError(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w\nRun `%s --help` for the flags.", err, cmd.CommandPath())
	})
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usagef("%w\nUsage: %s", err, cmd.UseLine())
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		onUsageError(sub)
	}
}

// printJSON writes a result for programs.
func printJSON(result any) error {
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(result)
}
