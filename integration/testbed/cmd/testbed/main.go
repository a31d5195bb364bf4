package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/mabuild/mabuild/integration/testbed"
)

const usage = `usage: testbed serve [--config FILE] [--ready FILE] [--cache DIR] [--images LIST]
       testbed prepare [--cache DIR] [--images LIST]
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp), errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "testbed:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong usage")

// settings are the command line's flags.
type settings struct {
	bases         testbed.Options
	config, ready string
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] != "serve" && args[0] != "prepare" {
		fmt.Fprint(os.Stderr, usage)
		return errUsage
	}
	flags := flag.NewFlagSet("testbed "+args[0], flag.ContinueOnError)
	var given settings
	images := flags.String("images", "", "comma-separated `images` (default busybox, debian and golang)")
	flags.StringVar(&given.bases.Cache, "cache", "", "`folder` that keeps the images (default in the user's cache)")
	if args[0] == "serve" {
		flags.StringVar(&given.config, "config", "", "write the engine's configuration to `file` (default in a temporary folder)")
		flags.StringVar(&given.ready, "ready", "", "write the addresses to `file` when everything answers")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return errors.Join(errUsage, err)
	}
	if flags.NArg() > 0 {
		fmt.Fprint(os.Stderr, usage)
		return errUsage
	}
	given.bases.Images = strings.FieldsFunc(*images, func(r rune) bool { return r == ',' })
	given.bases.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	if args[0] == "prepare" {
		root, err := testbed.Prepare(ctx, given.bases)
		if err == nil {
			fmt.Println(root)
		}
		return err
	}
	return serve(ctx, given)
}

func serve(ctx context.Context, given settings) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if pipe(os.Stdin) {
		go func() {
			_, err := io.Copy(io.Discard, os.Stdin)
			cancel(fmt.Errorf("reading standard input: %w", errors.Join(err, io.EOF)))
		}()
	}
	bases, err := testbed.Bases(ctx, given.bases)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bases.Close()) }()
	pushes, err := testbed.NewRegistry(testbed.RegistryOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pushes.Close()) }()

	if given.config == "" {
		dir, err := os.MkdirTemp("", "mabuild-testbed-")
		if err != nil {
			return fmt.Errorf("making a folder for the engine's configuration: %w", err)
		}
		defer os.RemoveAll(dir)
		given.config = filepath.Join(dir, "buildkitd.toml")
	}
	if given.config, err = filepath.Abs(given.config); err != nil {
		return fmt.Errorf("finding the engine's configuration: %w", err)
	}
	if err := os.WriteFile(given.config, []byte(testbed.EngineConfig(bases.Addr, pushes.Addr)), 0o644); err != nil {
		return fmt.Errorf("writing the engine's configuration: %w", err)
	}
	addresses := fmt.Sprintf("TESTBED_MIRROR=%s\nTESTBED_REGISTRY=%s\nTESTBED_CONFIG=%s\n",
		bases.Addr, pushes.Addr, quote(given.config))
	if given.ready != "" {
		if err := publish(given.ready, addresses); err != nil {
			return err
		}
		defer os.Remove(given.ready)
	}
	fmt.Print(addresses)
	<-ctx.Done()
	return nil
}

// publish writes the addresses in one step: who waits for the file reads all of it.
func publish(path, addresses string) error {
	whole := path + ".part"
	if err := os.WriteFile(whole, []byte(addresses), 0o644); err != nil {
		return fmt.Errorf("writing the addresses: %w", err)
	}
	if err := os.Rename(whole, path); err != nil {
		return fmt.Errorf("writing the addresses: %w", err)
	}
	return nil
}

// quote makes one word of a shell of text.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// pipe reports whether file is a pipe, whose end says that the other side is gone.
// A terminal and /dev/null, which a shell gives to background jobs, say nothing.
func pipe(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) != 0
}
