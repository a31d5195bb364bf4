// Command handlers starts a program with binfmt_misc handlers of its own.
//
//	handlers PROGRAM [ARGUMENT]...
//
// It has to be started in a new user namespace and a mount namespace of that: there
// it mounts a private binfmt_misc, registers a handler for every QEMU on PATH, and
// becomes the program. The machine's own handlers are neither seen nor changed.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/mabuild/mabuild/emulation"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "handlers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("nothing to run: give a program")
	}
	program, err := exec.LookPath(args[0])
	if err != nil {
		return fmt.Errorf("finding the program: %w", err)
	}
	if err := emulation.MountPrivate(""); err != nil {
		return err
	}
	table, err := emulation.Open("")
	if err != nil {
		return err
	}
	if _, err := table.RegisterFound(ctx, emulation.RegisterOptions{}); err != nil {
		return err
	}
	if err := unix.Exec(program, args, os.Environ()); err != nil {
		return fmt.Errorf("starting %q: %w", program, err)
	}
	return nil
}
