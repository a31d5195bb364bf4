package engine_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"

	"github.com/mabuild/mabuild/builder/engine"
	"github.com/mabuild/mabuild/emulation/emulationtest"
)

// TestMain is the engine process when a test starts one, and its runtime where that
// is this program.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == engine.SingleIDRuntime {
		fmt.Fprintln(os.Stderr, engine.ExecSingleID(os.Args))
		os.Exit(1)
	}
	if len(os.Args) > 2 && os.Args[1] == "engine" && os.Args[2] == "run" {
		var opts engine.RunOptions
		flags := flag.NewFlagSet("engine run", flag.ExitOnError)
		flags.StringVar((*string)(&opts.State), "state", "", "")
		flags.StringVar(&opts.ConfigFile, "config", "", "")
		flags.DurationVar(&opts.Idle, "idle", 0, "")
		flags.StringVar(&opts.Settings, "settings", "", "")
		flags.StringVar(&opts.IDs, "ids", "", "")
		flags.BoolVar(&opts.AwaitMap, "await-map", false, "")
		flags.BoolVar(&opts.Supervise, "supervise", false, "")
		_ = flags.Parse(os.Args[3:])
		if err := engine.Run(context.Background(), opts); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	_ = os.RemoveAll(probes.dir)
	os.Exit(code)
}

// options are those of an engine of the test's own, gone when the test ends.
func options(t *testing.T) engine.Options {
	t.Helper()
	// t.TempDir is too long for a socket below it.
	dir, err := os.MkdirTemp("", "mabuild-engine-")
	if err != nil {
		t.Fatal(err)
	}
	opts := engine.Options{State: engine.State(dir), Idle: time.Minute}
	t.Cleanup(func() {
		if err := engine.Stop(context.Background(), opts.State, true); err != nil && !errors.Is(err, engine.ErrNotRunning) {
			t.Errorf("stopping the engine: %v", err)
		}
		if t.Failed() {
			log, _ := os.ReadFile(opts.State.Log())
			t.Logf("engine.log:\n%s", log)
		}
		var left error
		for range 100 { // its process may write for a moment longer
			if left = os.RemoveAll(dir); left == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Error(left)
	})
	return opts
}

func acquire(t *testing.T, opts engine.Options) *engine.Lease {
	t.Helper()
	lease, err := engine.Acquire(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

func pidOf(t *testing.T, lease *engine.Lease) int {
	t.Helper()
	info, err := lease.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.PID
}

// ask makes one request over a new connection, as a build does.
func ask(ctx context.Context, address string) error {
	c, err := client.New(ctx, address)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.ListWorkers(ctx)
	return err
}

func TestAcquireStartsOneEngineForAll(t *testing.T) {
	opts := options(t)
	before := emulationtest.HostTable(t)
	const clients = 8
	pids := make([]int, clients)
	errs := make([]error, clients)
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			lease, err := engine.Acquire(t.Context(), opts)
			if err != nil {
				errs[i] = err
				return
			}
			defer lease.Release()
			info, err := lease.Info(t.Context())
			pids[i], errs[i] = info.PID, errors.Join(err, ask(t.Context(), lease.Address()))
		})
	}
	group.Wait()
	for i := range clients {
		if errs[i] != nil {
			t.Fatalf("client %d: %v", i, errs[i])
		}
		if pids[i] != pids[0] {
			t.Errorf("client %d has engine %d, client 0 has %d", i, pids[i], pids[0])
		}
	}
	if diff := cmp.Diff(before, emulationtest.HostTable(t)); diff != "" {
		t.Errorf("the host's binfmt_misc changed (-before +after):\n%s", diff)
	}
}

func TestEngineHasPrivateHandlers(t *testing.T) {
	lease := acquire(t, options(t))
	defer lease.Release()
	info, err := lease.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.Emulation.Way != engine.Private || len(info.Emulation.Handlers) == 0 {
		t.Errorf("the engine has no private handlers: %+v", info.Emulation)
	}
	c, err := client.New(t.Context(), lease.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	workers, err := c.ListWorkers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, p := range workers[0].Platforms {
		found = found || p.Architecture == "s390x"
	}
	if !found {
		t.Errorf("s390x is not among the worker's platforms: %v", workers[0].Platforms)
	}
}

func TestAcquireAfterKill(t *testing.T) {
	opts := options(t)
	lease := acquire(t, opts)
	first := pidOf(t, lease)
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := lease.Release(); err != nil {
		t.Fatal(err)
	}
	waitForEnd(t, opts.State)
	// The socket is still there and nobody listens.
	if _, err := os.Stat(opts.State.Socket()); err != nil {
		t.Fatalf("the dead engine left no socket: %v", err)
	}
	lease = acquire(t, opts)
	defer lease.Release()
	if second := pidOf(t, lease); second == first {
		t.Errorf("engine %d is dead and still named", first)
	}
	if err := ask(t.Context(), lease.Address()); err != nil {
		t.Error(err)
	}
}

func TestAcquireWhileIdleEngineEnds(t *testing.T) {
	opts := options(t)
	opts.Idle = time.Millisecond
	engines := map[int]bool{}
	for deadline := time.Now().Add(5 * time.Minute); len(engines) < 3 && time.Now().Before(deadline); {
		lease := acquire(t, opts)
		engines[pidOf(t, lease)] = true
		if err := ask(t.Context(), lease.Address()); err != nil {
			t.Fatalf("the engine ended under a lease: %v", err)
		}
		if err := lease.Release(); err != nil {
			t.Fatal(err)
		}
	}
	if len(engines) < 3 {
		t.Errorf("%d engines ended although none was used", len(engines)-1)
	}
}

func TestEngineEndsWhenIdle(t *testing.T) {
	opts := options(t)
	opts.Idle = time.Millisecond
	lease := acquire(t, opts)
	if err := lease.Release(); err != nil {
		t.Fatal(err)
	}
	waitForEnd(t, opts.State)
}

// waitForEnd returns when no engine answers any more.
func waitForEnd(t *testing.T, state engine.State) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		_, err := engine.Inspect(t.Context(), state)
		if errors.Is(err, engine.ErrNotRunning) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the engine still runs: %v", err)
		}
	}
}

func TestAcquireWithAnotherConfiguration(t *testing.T) {
	opts := options(t)
	lease := acquire(t, opts)
	first := pidOf(t, lease)

	other := opts
	other.ConfigFile = filepath.Join(t.TempDir(), "buildkitd.toml")
	if err := os.WriteFile(other.ConfigFile, []byte("[worker.oci]\nmax-parallelism = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Acquire(t.Context(), other); !errors.Is(err, engine.ErrBusy) {
		t.Errorf("while the engine is in use: got %v, want ErrBusy", err)
	}
	if err := ask(t.Context(), lease.Address()); err != nil {
		t.Errorf("the engine in use was disturbed: %v", err)
	}
	if err := lease.Release(); err != nil {
		t.Fatal(err)
	}
	lease = acquire(t, other)
	defer lease.Release()
	if pidOf(t, lease) == first {
		t.Error("the unused engine was not replaced")
	}
	if info, _ := lease.Info(t.Context()); info.Config != other.ConfigFile {
		t.Errorf("the engine has configuration %q, want %q", info.Config, other.ConfigFile)
	}
}

func TestStop(t *testing.T) {
	opts := options(t)
	if err := engine.Stop(t.Context(), opts.State, false); !errors.Is(err, engine.ErrNotRunning) {
		t.Errorf("stopping nothing: got %v, want ErrNotRunning", err)
	}
	lease := acquire(t, opts)
	if err := lease.Release(); err != nil {
		t.Fatal(err)
	}
	if err := engine.Stop(t.Context(), opts.State, false); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Inspect(t.Context(), opts.State); !errors.Is(err, engine.ErrNotRunning) {
		t.Errorf("after a stop: got %v, want ErrNotRunning", err)
	}
}

func TestAcquireErrors(t *testing.T) {
	noRuntime := filepath.Join(t.TempDir(), "no-runc.toml")
	crun := filepath.Join(t.TempDir(), "crun")
	writeFile(t, crun, "#!/bin/sh\necho crun version 1.8.1\n", 0o755)
	writeFile(t, noRuntime, fmt.Sprintf("[worker.oci]\nbinary = %q\n", crun), 0o600)
	unknown := filepath.Join(t.TempDir(), "unknown.toml")
	writeFile(t, unknown, "[worker.oci]\nmax-paralelism = 1\n", 0o600)
	tests := []struct {
		config string
		want   error
		text   string
	}{
		{noRuntime, engine.ErrNoRuntime, "is crun"},
		{unknown, engine.ErrConfig, `line 2: unknown key "worker.oci.max-paralelism"`},
		{filepath.Join(t.TempDir(), "missing.toml"), engine.ErrConfig, "no such file"},
	}
	for _, test := range tests {
		t.Run(filepath.Base(test.config), func(t *testing.T) {
			opts := options(t)
			opts.ConfigFile = test.config
			_, err := engine.Acquire(t.Context(), opts)
			if !errors.Is(err, test.want) || !strings.Contains(fmt.Sprint(err), test.text) {
				t.Errorf("got %v, want %v with %q", err, test.want, test.text)
			}
		})
	}
}

func TestAcquireSaysThatTheSocketPathIsTooLong(t *testing.T) {
	state := engine.State(filepath.Join(t.TempDir(), strings.Repeat("long", 25)))
	_, err := engine.Acquire(t.Context(), engine.Options{State: state})
	if err == nil || !strings.Contains(err.Error(), "MABUILD_STATE_DIR") {
		t.Errorf("got %v, want an error that names MABUILD_STATE_DIR", err)
	}
}

func writeFile(t *testing.T, path, body string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(body), mode); err != nil {
		t.Fatal(err)
	}
}
