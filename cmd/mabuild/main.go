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
	"time"

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
		again := make(chan struct{})
		cancel(&interruptError{signal: <-signals, again: again})
		second := interruptError{signal: <-signals}
		close(again)
		select {
		case <-signals:
		case <-time.After(unwinding):
		}
		os.Exit(second.code())
	}()
	os.Exit(run(ctx, os.Args[1:]))
}

// unwinding is how long the second signal lets temporary files be deleted; nobody
// waits for a daemon or a registry any more, and the third signal ends at once.
const unwinding = 3 * time.Second

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
	if told := (*toldError)(nil); errors.As(err, &told) {
		return exitCode(err)
	}
	fmt.Fprintln(os.Stderr, describe(err))
	return exitCode(err)
}
