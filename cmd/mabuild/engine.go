package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/containerd/platforms"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/engine"
)

func newEngineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "engine",
		Short: "Look after the built-in BuildKit engine",
		Long: `The engine starts with the first build that needs it and ends by itself when it
was not used for 10 minutes (MABUILD_ENGINE_IDLE). Its state is in
/var/lib/mabuild for root and $XDG_STATE_HOME/mabuild otherwise
(MABUILD_STATE_DIR).`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(newEngineStatusCommand(), newEngineStopCommand(), newEngineLogsCommand(),
		newEngineDuCommand(), newEnginePruneCommand(), newEngineRunCommand())
	return cmd
}

func newEngineStatusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show whether the engine runs, what it can build and where its state is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			state, err := engine.DefaultState()
			if err != nil {
				return err
			}
			info, err := engine.Inspect(cmd.Context(), state)
			if errors.Is(err, engine.ErrNotRunning) {
				fmt.Printf("not running (the next build starts it)\nstate\t%s\n", state)
				return nil
			}
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(info)
			}
			node, err := buildkit.Dial(cmd.Context(), state.Address())
			if err != nil {
				return err
			}
			defer node.Close()
			printStatus(os.Stdout, state, info, node)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printStatus(w io.Writer, state engine.State, info engine.Info, node *buildkit.Node) {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	defer table.Flush()
	row := func(key, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", key, fmt.Sprintf(format, args...))
	}
	ids := map[string]string{
		"identity": "all", "subordinate": "root and a range of /etc/subuid", "single": "root alone: only files of root can be made",
	}[info.IDs]
	row("running", "process %d, for %s; ends after %s without a build", info.PID, time.Since(info.Started).Round(time.Second), info.Idle)
	row("address", "%s", state.Address())
	row("state", "%s", state)
	row("log", "%s", state.Log())
	row("buildkit", "%s", info.BuildKit)
	row("runc", "%s", info.Runtime)
	row("snapshots", "%s", info.Snapshots)
	row("ids", "%s", ids)
	if info.Config != "" {
		row("config", "%s", info.Config)
	}
	var list []string
	for _, p := range node.Platforms() {
		list = append(list, platforms.Format(p))
	}
	row("platforms", "%s", strings.Join(list, " "))
	way := map[engine.Way]string{
		engine.Private: "own binfmt_misc; the host's is not touched", engine.Host: "the host's binfmt_misc as it is", engine.Off: "off",
	}[info.Emulation.Way]
	if info.Emulation.Reason != "" {
		way += ", because: " + info.Emulation.Reason
	}
	row("emulation", "%s", way)
	for _, h := range info.Emulation.Handlers {
		row("  "+h.Arch, "%s %s", h.Interpreter, h.Version)
	}
}

func newEngineStopCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "Stop the engine after its running builds",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			state, err := engine.DefaultState()
			if err != nil {
				return err
			}
			err = engine.Stop(cmd.Context(), state, force)
			if errors.Is(err, engine.ErrNotRunning) {
				fmt.Fprintln(os.Stderr, "not running")
				return nil
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "cancel running builds")
	return cmd
}

func newEngineLogsCommand() *cobra.Command {
	var lines int
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Print the end of the engine's log",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			state, err := engine.DefaultState()
			if err != nil {
				return err
			}
			f, err := os.Open(state.Log())
			if errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("there is no log yet: %s", state.Log())
			}
			if err != nil {
				return err
			}
			defer f.Close()
			return printTail(os.Stdout, f, lines)
		},
	}
	cmd.Flags().IntVarP(&lines, "lines", "n", 200, "how many lines; 0 is all of them")
	return cmd
}

// printTail prints the last n lines, or all for n = 0.
func printTail(w io.Writer, r io.Reader, n int) error {
	if n <= 0 {
		_, err := io.Copy(w, r)
		return err
	}
	var last []string
	scan := bufio.NewScanner(r)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		if len(last) == n {
			last = append(last[:0], last[1:]...)
		}
		last = append(last, scan.Text())
	}
	for _, line := range last {
		fmt.Fprintln(w, line)
	}
	return scan.Err()
}

func newEngineDuCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "du",
		Short: "Show what the build cache takes on disk",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			node, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer node.close()
			usage, err := node.DiskUsage(cmd.Context())
			if err != nil {
				return err
			}
			printUsage(os.Stdout, usage)
			return nil
		},
	}
	c.addFlags(cmd)
	return cmd
}

func printUsage(w io.Writer, usage []buildkit.Usage) {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	defer table.Flush()
	var total, reclaimable int64
	fmt.Fprintln(table, "SIZE\tLAST USED\tIN USE\tDESCRIPTION")
	for _, u := range usage {
		used := "never"
		if !u.LastUsed.IsZero() {
			used = units.HumanDuration(time.Since(u.LastUsed)) + " ago"
		}
		fmt.Fprintf(table, "%s\t%s\t%t\t%s\n", units.HumanSize(float64(u.Size)), used, u.InUse, u.Description)
		total += u.Size
		if !u.InUse {
			reclaimable += u.Size
		}
	}
	fmt.Fprintf(table, "\ntotal %s, reclaimable %s\n", units.HumanSize(float64(total)), units.HumanSize(float64(reclaimable)))
}

func newEnginePruneCommand() *cobra.Command {
	var c connection
	var options buildkit.PruneOptions
	var keep string
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Delete build cache that nothing uses",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if keep != "" {
				bytes, err := units.RAMInBytes(keep)
				if err != nil {
					return usagef("--keep-storage %q: %w; write 500MB or 20GB", keep, err)
				}
				options.Keep = bytes
			}
			node, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer node.close()
			free, err := node.Prune(cmd.Context(), options)
			if err != nil {
				return err
			}
			fmt.Printf("freed %s\n", units.HumanSize(float64(free)))
			return nil
		},
	}
	cmd.Flags().BoolVarP(&options.All, "all", "a", false, "also what BuildKit keeps for itself (frontends, shared content)")
	cmd.Flags().DurationVar(&options.Unused, "unused-for", 0, "only what was not used for this long, e.g. 24h")
	cmd.Flags().StringVar(&keep, "keep-storage", "", "keep this much, e.g. 20GB")
	c.addFlags(cmd)
	return cmd
}

func (c *connection) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.node, "node", os.Getenv("BUILDKIT_HOST"), "`ADDRESS` of a BuildKit daemon instead of the built-in engine (or BUILDKIT_HOST)")
	cmd.Flags().StringVar(&c.engineConfig, "engine-config", os.Getenv("MABUILD_ENGINE_CONFIG"), "`buildkitd.toml` of the built-in engine (or MABUILD_ENGINE_CONFIG)")
}

// newEngineRunCommand is the engine process; builds start it.
func newEngineRunCommand() *cobra.Command {
	var options engine.RunOptions
	cmd := &cobra.Command{
		Use:    "run",
		Short:  "Run the engine process",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return engine.Run(cmd.Context(), options)
		},
	}
	cmd.Flags().StringVar((*string)(&options.State), "state", "", "state directory")
	cmd.Flags().StringVar(&options.ConfigFile, "config", "", "buildkitd.toml")
	cmd.Flags().DurationVar(&options.Idle, "idle", engine.DefaultIdle, "end after this long without a client")
	cmd.Flags().StringVar(&options.IDs, "ids", "", "how ids are mapped")
	cmd.Flags().BoolVar(&options.AwaitMap, "await-map", false, "wait for the id map")
	cmd.Flags().BoolVar(&options.Supervise, "supervise", false, "start the engine and clean up after it")
	cmd.Flags().StringVar(&options.Settings, "settings", "{}", "what the engine was started with")
	return cmd
}
