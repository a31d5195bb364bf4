package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/mabuild/mabuild/builder/engine"
	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/host"
)

func newEmulationStatusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status [flags] [ARCH…]",
		Short: "Show the handlers of the machine and the engine, and what is wrong with them",
		Long: `List the handlers of the machine and of the engine, if it runs, with a verdict on
each. It needs no privilege and changes nothing. With architectures, it exits
with 3 unless the machine runs each of them in containers, itself or with a
handler: a check for CI.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := parseArches(args)
			if err != nil {
				return err
			}
			status, err := inspectEmulation(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(status)
			} else {
				err = status.print(os.Stdout)
			}
			if err != nil {
				return err
			}
			return status.check(wanted)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// emulationStatus is the JSON of `emulation status`; docs/emulation.md describes it.
type emulationStatus struct {
	Host   host.Status     `json:"host"`
	Engine engineEmulation `json:"engine"`
}

// engineEmulation is the built-in engine's part.
type engineEmulation struct {
	Running bool `json:"running"`
	// Way is "private" if the engine has a table of its own, "host" if the host's
	// table applies, and Reason says why; "off" is a table of its own that is empty.
	Way    engine.Way `json:"way,omitempty"`
	Reason string     `json:"reason,omitempty"`
	// Table is the engine's own one, read from its namespace.
	Table *host.Status `json:"table,omitempty"`
	// Registered is what the engine said when it was started.
	Registered []engine.Handler `json:"registered,omitempty"`
	// Problem says why the engine could not be asked.
	Problem string `json:"problem,omitempty"`
}

func inspectEmulation(ctx context.Context) (emulationStatus, error) {
	state, err := emulationState()
	if err != nil {
		return emulationStatus{}, err
	}
	var status emulationStatus
	var hostErr error
	var group sync.WaitGroup
	group.Go(func() { status.Host, hostErr = host.Inspect(ctx, host.StatusOptions{State: state}) })
	group.Go(func() { status.Engine = inspectEngine(ctx) })
	group.Wait()
	return status, hostErr
}

// engineTimeout bounds an answer that takes milliseconds.
const engineTimeout = 2 * time.Second

func inspectEngine(ctx context.Context) engineEmulation {
	state, err := engine.DefaultState()
	if err != nil {
		return engineEmulation{Problem: err.Error()}
	}
	limited, cancel := context.WithTimeoutCause(ctx, engineTimeout, errors.New("the engine does not answer; see `mabuild engine logs`"))
	defer cancel()
	info, err := engine.Inspect(limited, state)
	if cause := context.Cause(limited); err != nil && cause != nil {
		return engineEmulation{Problem: cause.Error()}
	}
	if errors.Is(err, engine.ErrNotRunning) {
		return engineEmulation{}
	}
	if err != nil {
		return engineEmulation{Problem: err.Error()}
	}
	found := engineEmulation{
		Running: true, Way: info.Emulation.Way, Reason: info.Emulation.Reason,
		Registered: info.Emulation.Handlers,
	}
	if found.Way == engine.Host {
		return found
	}
	table, err := host.Inspect(ctx, host.StatusOptions{
		Table:   fmt.Sprintf("/proc/%d/root%s", info.PID, emulation.DefaultDir),
		Foreign: true,
	})
	if err != nil {
		found.Problem = err.Error()
		return found
	}
	for i, h := range table.Handlers {
		if slices.ContainsFunc(found.Registered, func(r engine.Handler) bool {
			return h.Name == "qemu-"+r.Arch && h.Interpreter == r.Interpreter
		}) {
			table.Handlers[i].Owner.Name = host.OwnerMabuild
		}
	}
	found.Table = &table
	return found
}

func (s *emulationStatus) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(table, "table\t%s: %s\n", s.Host.Dir, accessText(s.Host))
	if s.Host.Kernel != "" {
		fmt.Fprintf(table, "kernel\t%s\n", s.Host.Kernel)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if err := printHandlers(w, s.Host.Handlers); err != nil {
		return err
	}
	if len(s.Host.Missing) > 0 {
		fmt.Fprintf(w, "not run by the host: %s\n", strings.Join(s.Host.Missing, " "))
	}
	fmt.Fprintf(w, "\nengine: %s\n", s.Engine.text())
	if s.Engine.Table == nil {
		return nil
	}
	return printHandlers(w, s.Engine.Table.Handlers)
}

// accessText says in what state a table is, and what to do about it.
func accessText(s host.Status) string {
	text := map[host.Access]string{
		host.Writable:     "mounted",
		host.NoPermission: "mounted; changing it takes root",
		host.ReadOnly:     "mounted read-only",
		host.Unreadable:   "no permission to read it",
		host.NotMounted:   "not mounted; handlers may apply all the same, `mabuild emulation test --private=false` tells",
		host.Unsupported:  "not supported: " + s.Problem,
	}[s.Access]
	if !s.Enabled && (s.Access == host.Writable || s.Access == host.NoPermission || s.Access == host.ReadOnly) {
		text += ", SWITCHED OFF"
	}
	if s.Hint != "" && s.Access != host.NoPermission {
		text += "; " + s.Hint
	}
	return text
}

func (e engineEmulation) text() string {
	switch {
	case e.Problem != "":
		return e.Problem
	case !e.Running:
		return "not running; the next build starts it"
	case e.Way == engine.Host && e.Reason != "":
		return "uses the host's handlers, because: " + e.Reason
	case e.Way == engine.Host:
		return "uses the host's handlers"
	case e.Way == engine.Off:
		return "emulation is off"
	case e.Table == nil || e.Table.Access == host.Unreadable:
		return fmt.Sprintf("a table of its own, with %d handlers when it was started", len(e.Registered))
	case e.Table.Access == host.NotMounted:
		return "its table is gone; stop it with `mabuild engine stop`, the next build starts another"
	default:
		return "a table of its own; the host's does not matter for builds"
	}
}

// printHandlers shows the handlers for platforms of images one by one, and just
// names the others.
func printHandlers(w io.Writer, handlers []host.Handler) error {
	order := func(h host.Handler) int {
		return slices.IndexFunc(emulation.Arches(), func(a emulation.Arch) bool {
			return platforms.Format(a.Platform) == h.Platform
		})
	}
	known := slices.Clone(handlers)
	slices.SortStableFunc(known, func(a, b host.Handler) int { return order(a) - order(b) })
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	others := make(map[string][]string)
	lines := 0
	for _, h := range known {
		if h.Kind == emulation.QEMU && h.Platform == "" {
			label := "other QEMU handlers"
			if h.Level == emulation.Broken {
				label = "other QEMU handlers, broken"
			}
			others[label] = append(others[label], h.Name)
			continue
		}
		if h.Platform == "" {
			others["other handlers"] = append(others["other handlers"], h.Name)
			continue
		}
		if lines == 0 {
			fmt.Fprintln(table, "\nPLATFORM\tHANDLER\tFLAGS\tQEMU\tINTERPRETER\tBY\tVERDICT")
		}
		lines++
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", h.Platform, h.Name, orDash(h.Flags),
			orDash(h.QEMU), h.Interpreter, h.Owner.Name, verdictText(h))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, label := range []string{"other QEMU handlers", "other QEMU handlers, broken", "other handlers"} {
		if names := others[label]; len(names) > 0 {
			fmt.Fprintf(w, "%s: %s\n", label, strings.Join(names, " "))
		}
	}
	printVerdicts(w, known)
	return nil
}

// verdictText names the verdicts; printVerdicts explains them.
func verdictText(h host.Handler) string {
	if h.Kind != emulation.QEMU {
		return string(h.Kind) + ", not judged"
	}
	var codes []string
	for _, v := range h.Verdicts {
		codes = append(codes, v.Code)
	}
	if codes == nil {
		return h.Level.String()
	}
	return h.Level.String() + ": " + strings.Join(codes, ", ")
}

// printVerdicts explains each verdict once.
func printVerdicts(w io.Writer, handlers []host.Handler) {
	seen := make(map[string]bool)
	for _, h := range handlers {
		for _, v := range h.Verdicts {
			text := v.Text
			if v.Hint != "" {
				text += "; " + v.Hint
			}
			if !seen[text] {
				fmt.Fprintf(w, "- %s: %s\n", v.Code, text)
			}
			seen[text] = true
		}
	}
}

// check is an error unless the host runs all of the platforms.
func (s *emulationStatus) check(wanted []ocispec.Platform) error {
	var missing []string
	for _, p := range wanted {
		if name := platforms.Format(p); slices.Contains(s.Host.Missing, name) {
			missing = append(missing, name)
		}
	}
	if missing == nil {
		return nil
	}
	return &emulationError{err: fmt.Errorf("the host does not run %s in containers; run `mabuild emulation install %s` as root",
		strings.Join(missing, ", "), strings.Join(missing, " "))}
}
