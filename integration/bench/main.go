package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/mabuild/mabuild/integration/bench/report"
	"github.com/mabuild/mabuild/integration/bench/rig"
	"github.com/mabuild/mabuild/integration/bench/suite"
)

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	mabuild := flags.String("mabuild", "", "`path` of the mabuild to measure")
	runs := flags.Int("runs", 0, "how many rounds are counted, by default 6, 3 with -large, 1 with -service or -native; a multiple of 3 lets each program be first equally often")
	service := flags.String("service", "", "measure this `folder` of a Go service instead: examples/go-service")
	native := flags.String("native", "", "measure native tools in emulated steps instead, with this `folder` of examples")
	large := flags.Bool("large", false, "measure large contexts and large layers instead; that needs some 30 GB of disk")
	only := flags.String("case", "", "measure only the cases that match this `regexp`")
	verbose := flags.Bool("v", false, "log every run")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cases, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("reading -case: %w: quote what is special in regular expressions", err)
	}
	binary, err := checked(*mabuild, *runs)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The second Ctrl-C must not wait for the cleaning up after the first.
	context.AfterFunc(ctx, stop)

	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	logger.Info("building buildx, buildctl and buildkitd; minutes if they aren't cached")
	tools, err := rig.Build(ctx, rig.BuildOptions{})
	if err != nil {
		return err
	}
	opts := suite.Options{Mabuild: binary, Tools: tools, Runs: *runs, Cases: cases, Logger: logger}
	rows, err := measure(ctx, opts, subject{*service, *native, *large})
	if err != nil {
		return err
	}
	fmt.Printf("%s beside buildx %s and buildctl %s on buildkitd %s\n\n",
		binary, tools.BuildxVersion, tools.BuildKitVersion, tools.BuildKitVersion)
	return write(rows, os.Stdout, os.Getenv("BENCH_JSON"))
}

// subject says what to measure instead of the usual cases.
type subject struct {
	service, native string // folders
	large           bool
}

func measure(ctx context.Context, opts suite.Options, what subject) ([]report.Row, error) {
	if what.service != "" && what.native != "" || what.large && what.service+what.native != "" {
		return nil, errors.New("-large, -service and -native are three measurements: give one of them")
	}
	dir, err := filepath.Abs(what.service + what.native)
	if err != nil {
		return nil, fmt.Errorf("finding what to build: %w", err)
	}
	switch {
	case what.large:
		return suite.RunLarge(ctx, opts)
	case what.native != "":
		return suite.RunNative(ctx, suite.NativeOptions{Options: opts, Dir: dir})
	case what.service != "":
		return suite.RunService(ctx, suite.ServiceOptions{Options: opts, Dir: dir})
	}
	return suite.Run(ctx, opts)
}

// checked refuses what would fail only after minutes, and returns the absolute path
// of mabuild.
func checked(mabuild string, runs int) (string, error) {
	if mabuild == "" {
		return "", errors.New("which mabuild? give its path: go run . -mabuild PATH")
	}
	path, err := filepath.Abs(mabuild)
	if err != nil {
		return "", fmt.Errorf("finding mabuild: %w", err)
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("finding mabuild: %w: build it, or give another -mabuild", err)
	}
	if runs < 0 {
		return "", fmt.Errorf("-runs %d counts no round: give 1 or more", runs)
	}
	if os.Geteuid() != 0 {
		return "", errors.New("buildkitd and mabuild's engine are measured as root: run it with sudo")
	}
	return path, nil
}

func write(rows []report.Row, table io.Writer, file string) error {
	if err := errors.Join(report.WriteTable(table, rows), report.WriteBeside(table, rows)); err != nil {
		return err
	}
	if file == "" {
		return nil
	}
	out, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("writing the rows: %w: set BENCH_JSON to a file that can be written", err)
	}
	return errors.Join(report.WriteJSON(out, rows), out.Close())
}
