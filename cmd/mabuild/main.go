package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/sirupsen/logrus"

	"github.com/mabuild/mabuild/builder/engine"
)

func main() {
	if filepath.Base(os.Args[0]) == engine.SingleIDRuntime { // called by an engine as its runc
		fmt.Fprintln(os.Stderr, engine.ExecSingleID(os.Args))
		os.Exit(exitFailed)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		cancel(&interruptError{signal: <-signals})
		second := interruptError{signal: <-signals}
		os.Exit(second.code())
	}()
	os.Exit(run(ctx, os.Args[1:]))
}

// run is the command with its arguments; it returns the exit code.
func run(ctx context.Context, args []string) int {
	// containerd and BuildKit log through the global loggers. What a user has to know
	// comes back as errors; the engine points logrus at its log file.
	logrus.SetOutput(io.Discard)
	log.SetOutput(io.Discard)
	root := newRootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if program := (*runError)(nil); errors.As(err, &program) && program.err == nil {
		return program.code // it has said itself what there is to say
	}
	fmt.Fprintln(os.Stderr, describe(err))
	return exitCode(err)
}
