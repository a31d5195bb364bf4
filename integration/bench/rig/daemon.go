package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moby/sys/mount"

	"github.com/mabuild/mabuild/integration/testbed"
)

const (
	readyWithin = 5 * time.Minute
	readyPoll   = 100 * time.Millisecond
	endWithin   = 30 * time.Second
)

// DaemonOptions say which buildkitd to start.
type DaemonOptions struct {
	Tools Tools
	// Dir is a folder for its state, socket, configuration and log. It must be short:
	// the path of a unix socket has at most 107 bytes.
	Dir string
	// Registry is the host:port that it may talk plain HTTP to.
	Registry string
	// Mirror is the host:port, for plain HTTP too, that has the images of docker.io.
	// Empty: none are needed.
	Mirror string
	// Emulate gives it a handler for every QEMU on PATH, in the kernel but in
	// namespaces of its own: what a machine has that ran tonistiigi/binfmt.
	Emulate bool
	// Entitlements are what it lets clients allow for their steps, network.host say.
	Entitlements []string
}

// Daemon is a running buildkitd.
type Daemon struct {
	dir   string
	cmd   *exec.Cmd
	log   *os.File
	ended chan struct{} // closed when the process was waited for
}

// StartDaemon starts a buildkitd with an empty state and returns when it answers.
func StartDaemon(ctx context.Context, opts DaemonOptions) (*Daemon, error) {
	if _, err := exec.LookPath("runc"); err != nil {
		return nil, fmt.Errorf("finding a runtime for buildkitd: %w: install the package runc", err)
	}
	config := filepath.Join(opts.Dir, "buildkitd.toml")
	if err := os.WriteFile(config, daemonConfig(opts), 0o644); err != nil {
		return nil, fmt.Errorf("writing buildkitd's configuration: %w", err)
	}
	log, err := os.Create(filepath.Join(opts.Dir, "buildkitd.log"))
	if err != nil {
		return nil, fmt.Errorf("making buildkitd's log: %w", err)
	}
	d := &Daemon{dir: opts.Dir, log: log, ended: make(chan struct{})}
	// Not ended by ctx: it has to outlive the clients that ctx ends, and Close waits.
	args := []string{
		opts.Tools.Buildkitd, "--config", config, "--root", d.root(), "--addr", d.Address(),
		"--oci-worker-net=host", "--containerd-worker=false",
	}
	attributes := &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the bench
	if opts.Emulate {
		args = append([]string{opts.Tools.Handlers}, args...)
		ownNamespaces(attributes)
	}
	d.cmd = exec.CommandContext(context.WithoutCancel(ctx), args[0], args[1:]...)
	d.cmd.Stdout, d.cmd.Stderr, d.cmd.SysProcAttr = log, log, attributes
	if err := d.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting buildkitd: %w", err), log.Close())
	}
	go func() {
		defer close(d.ended)
		_ = d.cmd.Wait() // how it ended is in its log
	}()
	if err := d.ready(ctx, opts.Tools.Buildctl); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// daemonConfig has nothing but what a measurement needs: the collector would do its
// work in the turn of whichever client is running.
func daemonConfig(opts DaemonOptions) []byte {
	allowed := make([]string, len(opts.Entitlements))
	for i, entitlement := range opts.Entitlements {
		allowed[i] = strconv.Quote(entitlement)
	}
	config := fmt.Appendf(nil, "insecure-entitlements = [%s]\n\n[worker.oci]\n  gc = false\n\n", strings.Join(allowed, ", "))
	return append(config, RegistryConfig(opts.Mirror, opts.Registry)...)
}

// RegistryConfig is the part of a buildkitd.toml about registries: where the images
// of docker.io are, if mirror isn't empty, and what answers plain HTTP.
func RegistryConfig(mirror, registry string) []byte {
	if mirror == "" {
		return fmt.Appendf(nil, "[registry.%q]\n  http = true\n", registry)
	}
	return []byte(testbed.EngineConfig(mirror, registry))
}

// ownNamespaces starts a process as root of a user namespace and in a mount namespace
// of that. The ids are those of the machine. It isn't the map of all ids: by that one
// buildkitd would not see that it is in a namespace.
func ownNamespaces(attributes *syscall.SysProcAttr) {
	attributes.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1 << 16}}
	attributes.UidMappings, attributes.GidMappings = ids, ids
	attributes.GidMappingsEnableSetgroups = true
}

func (d *Daemon) root() string { return filepath.Join(d.dir, "root") }

// Address is where clients dial.
func (d *Daemon) Address() string { return "unix://" + filepath.Join(d.dir, "buildkitd.sock") }

// PID is the daemon's process.
func (d *Daemon) PID() int { return d.cmd.Process.Pid }

// CPU is the time that the processors have worked for the daemon and for those of its
// processes that have ended, which is all steps when no build runs.
func (d *Daemon) CPU() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.PID()))
	if err != nil {
		return 0, fmt.Errorf("reading the times of process %d: %w", d.PID(), err)
	}
	return ParseCPU(stat)
}

func (d *Daemon) ready(ctx context.Context, buildctl string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("it doesn't answer after %s", readyWithin))
	defer cancel()
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		if exec.CommandContext(ctx, buildctl, "--addr", d.Address(), "debug", "workers").Run() == nil {
			return nil
		}
		select {
		case <-poll.C:
		case <-d.ended:
			return fmt.Errorf("starting buildkitd: it ended; its log ends with\n%s", d.logTail())
		case <-ctx.Done():
			return fmt.Errorf("starting buildkitd: %w; its log ends with\n%s", context.Cause(ctx), d.logTail())
		}
	}
}

func (d *Daemon) logTail() string {
	text, err := os.ReadFile(d.log.Name())
	if err != nil {
		return err.Error()
	}
	return Tail(text, 20)
}

// Snapshotter is the one that buildkitd has chosen, as its state's folder says:
// overlayfs, or native where overlays don't work.
func (d *Daemon) Snapshotter() string {
	found, err := filepath.Glob(filepath.Join(d.root(), "runc-*"))
	if err != nil || len(found) != 1 {
		return "unknown"
	}
	return strings.TrimPrefix(filepath.Base(found[0]), "runc-")
}

// Close ends the daemon and undoes the mounts that it left in its state.
func (d *Daemon) Close() error {
	// A process that has ended can't be signalled; that's all the error says.
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(endWithin):
		_ = d.cmd.Process.Kill()
		<-d.ended
	}
	return errors.Join(d.log.Close(), Unmount(d.dir))
}

// Unmount undoes every mount inside of dir. As long as it returns an error, dir
// must not be deleted: what is mounted there would be, too.
func Unmount(dir string) error {
	if err := mount.RecursiveUnmount(dir); err != nil {
		return fmt.Errorf("undoing the mounts in %q: %w: see /proc/mounts, use umount, then delete it", dir, err)
	}
	return nil
}
