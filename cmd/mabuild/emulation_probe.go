package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mabuild/mabuild/emulation"
	"github.com/mabuild/mabuild/emulation/probe"
)

// emulationError is an architecture that does not work.
type emulationError struct{ err error }

func (e *emulationError) Error() string { return e.err.Error() }
func (e *emulationError) Unwrap() error { return e.err }

func newEmulationTestCommand() *cobra.Command {
	var private, asJSON bool
	cmd := &cobra.Command{
		Use:   "test [flags] [ARCH…|all]",
		Short: "Run programs of other architectures and see how well it goes",
		Long: `Execute a tiny program of every architecture, as builds do: it has to run, get its
name, start another program, run in an empty root directory, and run as root when
it is root's and setuid. Without architectures, those that have a QEMU are
tested. Exits with 3 if an architecture fails.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			arches, err := namedArches(args)
			if err != nil {
				return err
			}
			way := wayAuto
			if cmd.Flags().Changed("private") {
				if way = wayHost; private {
					way = wayPrivate
				}
			}
			report, err := testEmulation(cmd.Context(), arches, way)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(report)
			} else {
				err = report.print(os.Stdout)
			}
			if err != nil {
				return err
			}
			return report.failure()
		},
	}
	cmd.Flags().BoolVar(&private, "private", true,
		"test the QEMUs on PATH in a binfmt_misc of its own, which is not always possible; false tests the machine's handlers")
	cmd.Flags().Lookup("private").DefValue = "where possible"
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func namedArches(args []string) ([]emulation.Arch, error) {
	list, err := parseArches(args)
	if err != nil {
		return nil, err
	}
	var arches []emulation.Arch
	for _, p := range list {
		arch, err := emulation.Lookup(p)
		if err != nil {
			return nil, err
		}
		arches = append(arches, arch)
	}
	return arches, nil
}

// way is whose handlers are tested.
type way string

const (
	wayAuto    way = "auto"
	wayPrivate way = "private"
	wayHost    way = "host"
)

// testReport is the JSON of `emulation test`; docs/emulation.md describes it.
type testReport struct {
	// Handlers is "private" or "host".
	Handlers way `json:"handlers"`
	// Reason says why not private, if that was to be found out.
	Reason  string       `json:"reason,omitempty"`
	Results []testResult `json:"results"`
	// Untested are architectures that were not asked for and have no QEMU or
	// handler.
	Untested []string `json:"untested"`
	// Problems are QEMUs that could not be registered.
	Problems []string `json:"problems,omitempty"`
	Seconds  float64  `json:"seconds"`
}

type testResult struct {
	probe.Result
	// Interpreter runs the programs; empty for the machine's own.
	Interpreter string `json:"interpreter,omitempty"`
}

func testEmulation(ctx context.Context, arches []emulation.Arch, how way) (testReport, error) {
	start := time.Now()
	var report testReport
	var err error
	if how == wayHost {
		report, err = testHere(ctx, arches, nil, "")
	} else {
		report, err = testInNamespace(ctx, arches)
		var impossible *namespaceError
		if errors.As(err, &impossible) {
			if how == wayPrivate {
				return report, &emulationError{err: err}
			}
			reason := impossible.Error()
			report, err = testHere(ctx, arches, nil, "")
			report.Reason = reason
		}
	}
	report.Seconds = time.Since(start).Seconds()
	return report, err
}

// testHere runs the programs with the handlers that apply to this process:
// those in the table, or the host's for nil.
func testHere(ctx context.Context, arches []emulation.Arch, table *emulation.Table, dir string) (testReport, error) {
	report := testReport{Handlers: wayPrivate, Untested: []string{}, Results: []testResult{}}
	if table == nil {
		report.Handlers = wayHost
		table, _ = emulation.Open("") // not mounted does not mean that no handler applies
	}
	named := len(arches) > 0
	if !named {
		arches = emulation.Arches()
	}
	results, err := probe.Run(ctx, probe.Options{Arches: arches, Dir: dir})
	if err != nil {
		return report, err
	}
	var handlers []emulation.Handler
	if table != nil {
		if handlers, err = table.Handlers(); err != nil {
			return report, err
		}
	}
	for i, result := range results {
		taken := slices.ContainsFunc(handlers, func(h emulation.Handler) bool { return h.Matches(arches[i].Magic) })
		if !named && !taken && !result.OK() {
			report.Untested = append(report.Untested, result.Platform)
			continue
		}
		tested := testResult{Result: result}
		if serving, ok := arches[i].ServedBy(handlers); ok && !result.Native {
			tested.Interpreter = serving.Interpreter
		}
		report.Results = append(report.Results, tested)
	}
	return report, nil
}

// namespaceError is why there is no private table here.
type namespaceError struct{ text string }

func (e *namespaceError) Error() string { return e.text }

// probeAnswer is what the process in the namespace says.
type probeAnswer struct {
	Report *testReport `json:"report,omitempty"`
	Error  string      `json:"error,omitempty"`
	// Impossible is set if the namespace is what failed.
	Impossible bool `json:"impossible,omitempty"`
}

// testInNamespace runs `emulation probe` in namespaces of its own.
func testInNamespace(ctx context.Context, arches []emulation.Arch) (testReport, error) {
	dir, err := os.MkdirTemp("", "mabuild-emulation-")
	if err != nil {
		return testReport{}, fmt.Errorf("%w; set TMPDIR to a directory that you can write to", err)
	}
	defer func() { _ = os.Remove(dir) }()
	args := []string{"emulation", "probe", "--dir", dir}
	for _, arch := range arches {
		args = append(args, arch.Name)
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0]
	var output, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &complaint
	if err := emulation.StartInNamespace(cmd); err != nil {
		return testReport{}, &namespaceError{text: err.Error()}
	}
	err = cmd.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return testReport{}, cause
	}
	var answer probeAnswer
	if err == nil {
		err = json.Unmarshal(output.Bytes(), &answer)
	}
	switch {
	case err != nil:
		return testReport{}, fmt.Errorf("testing in a namespace: %w\n%s", err, bytes.TrimSpace(complaint.Bytes()))
	case answer.Impossible:
		return testReport{}, &namespaceError{text: answer.Error}
	case answer.Report == nil:
		return testReport{}, &emulationError{err: errors.New(answer.Error)}
	}
	return *answer.Report, nil
}

// newEmulationProbeCommand is the process that testInNamespace starts.
func newEmulationProbeCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:    "probe",
		Short:  "Test a private binfmt_misc from inside its namespace",
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			arches, err := namedArches(args)
			if err != nil {
				return err
			}
			return json.NewEncoder(os.Stdout).Encode(probeHere(cmd.Context(), arches, dir))
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "where to put programs")
	return cmd
}

func probeHere(ctx context.Context, arches []emulation.Arch, dir string) probeAnswer {
	table, err := emulation.EnterNamespace()
	if err == nil {
		err = emulation.MountScratch(dir)
	}
	if err != nil {
		return probeAnswer{Error: err.Error(), Impossible: true}
	}
	var options emulation.RegisterOptions
	for _, arch := range arches {
		options.Platforms = append(options.Platforms, arch.Platform)
	}
	_, registerErr := table.RegisterFound(ctx, options)
	report, err := testHere(ctx, arches, table, dir)
	if err != nil {
		return probeAnswer{Error: err.Error()}
	}
	if registerErr != nil {
		report.Problems = strings.Split(registerErr.Error(), "\n")
	}
	return probeAnswer{Report: &report}
}

// failure is an error if an architecture failed, or none was tested.
func (r *testReport) failure() error {
	var failed []string
	emulated := 0
	for _, result := range r.Results {
		if !result.OK() {
			failed = append(failed, result.Platform)
		}
		if !result.Native {
			emulated++
		}
	}
	switch {
	case len(failed) > 0:
		return &emulationError{err: fmt.Errorf("%d of %d architectures failed: %s; `mabuild emulation status` says more about the handlers",
			len(failed), len(r.Results), strings.Join(failed, " "))}
	case len(r.Problems) > 0:
		return &emulationError{err: errors.New(r.Problems[0])}
	case emulated == 0 && len(r.Untested) > 0:
		return &emulationError{err: errors.New("no handler runs another architecture; run `mabuild emulation install` as root")}
	}
	return nil
}

func (r *testReport) print(w io.Writer) error {
	whose := "a private binfmt_misc"
	if r.Handlers == wayHost {
		whose = "the host's handlers"
		if r.Reason != "" {
			whose += ", because: " + r.Reason
		}
	}
	fmt.Fprintf(w, "tested %s in %.1f s\n\n", whose, r.Seconds)
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(table, "PLATFORM\tQEMU\t%s\n", strings.ToUpper(strings.Join(probe.Names(), "\t")))
	for _, result := range r.Results {
		by := orDash(result.QEMU)
		if result.Native {
			by = "native"
		}
		fmt.Fprintf(table, "%s\t%s", result.Platform, by)
		for _, c := range result.Checks {
			fmt.Fprintf(table, "\t%s", map[probe.Outcome]string{probe.Passed: "ok", probe.Failed: "FAILED", probe.Skipped: "skipped"}[c.Outcome])
		}
		fmt.Fprintln(table)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	notes := r.notes()
	if len(r.Untested) > 0 {
		notes = append(notes, "no handler: "+strings.Join(r.Untested, " "))
	}
	for _, text := range append(notes, r.Problems...) {
		fmt.Fprintf(w, "- %s\n", text)
	}
	return nil
}

// notes say what failures and skipped checks mean, each once for all platforms
// that have it.
func (r *testReport) notes() []string {
	var order []string
	where := make(map[string][]string)
	for _, result := range r.Results {
		for _, c := range result.Checks {
			var text string
			switch {
			case c.Outcome == probe.Failed:
				text = fmt.Sprintf("%s failed (%%s): %s; %s", c.Name, c.Detail, c.Meaning)
			case c.Outcome == probe.Skipped && result.Check(probe.CheckRun).Outcome == probe.Passed:
				text = fmt.Sprintf("%s skipped (%%s): %s", c.Name, c.Detail)
			default:
				continue
			}
			if where[text] == nil {
				order = append(order, text)
			}
			where[text] = append(where[text], result.Platform)
		}
	}
	for i, text := range order {
		platforms := strings.Join(where[text], " ")
		if len(where[text]) == len(r.Results) {
			platforms = "all"
		}
		order[i] = strings.Replace(text, "%s", platforms, 1)
	}
	return order
}
