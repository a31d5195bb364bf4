package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/defaults"
	"github.com/gofrs/flock"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/util/archutil"
	"github.com/moby/buildkit/util/bklog"
	"github.com/moby/buildkit/util/grpcerrors"
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto" // BuildKit's messages marshal themselves
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"gopkg.in/natefinch/lumberjack.v2"
)

// Run is the engine process. It returns when the engine has ended: after
// SIGTERM, after SIGINT, or when it was idle for opts.Idle. It changes settings
// of the whole process (umask, loggers, namespaces), so nothing else may run
// beside it. The outcome of the start goes to the starting process as well.
func Run(ctx context.Context, opts RunOptions) error {
	ready := os.NewFile(readyFD, "ready")
	if !opts.AwaitMap { // which executes this program again, with the pipe
		unix.CloseOnExec(readyFD)
	}
	var err error
	switch {
	case opts.AwaitMap:
		err = awaitMap()
	case opts.Supervise:
		err = supervise(ready)
	default:
		err = run(ctx, opts, ready)
	}
	if err != nil {
		sendReport(ready, err)
	}
	return err
}

func run(ctx context.Context, opts RunOptions, ready *os.File) error {
	lock := flock.New(opts.State.lock())
	if ok, err := lock.TryLock(); err != nil || !ok {
		return &Error{Op: "starting the engine", Err: errors.Join(ErrBusy, err), Hint: "Another engine holds " + opts.State.lock() + "."}
	}
	defer lock.Unlock()
	log := logTo(opts.State)
	defer func() {
		// Whoever waits for the lock may remove the directory: write nothing more to it.
		logrus.SetOutput(io.Discard)
		_ = log.Close()
	}()
	cfg, err := LoadConfig(opts.ConfigFile)
	if err != nil {
		return err
	}
	if err := configureProcess(cfg); err != nil {
		return err
	}

	// What the last engine wrote must not be taken for ours.
	if err := os.Remove(opts.State.info()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing a leftover description: %w", err)
	}
	info := Info{IDs: opts.IDs, Started: time.Now().UTC(), Idle: opts.Idle.String(), Config: opts.ConfigFile}
	if err := json.Unmarshal([]byte(opts.Settings), &info.Settings); err != nil {
		return fmt.Errorf("parsing the settings: %w", err)
	}
	var repair func()
	if info.Emulation, repair, err = enterEmulation(ctx, opts.State, info.Settings); err != nil {
		return err
	}
	if info.Emulation.Way == Private {
		// Handlers live and die with the engine, and a probe runs one binary per
		// architecture: no need to repeat it.
		archutil.CacheMaxAge = -1
	}
	// BuildKit wants its listener before its controller:
	// https://github.com/moby/buildkit/issues/4618
	listener, err := listen(ctx, opts.State)
	if err != nil {
		return err
	}
	defer listener.Close()

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	controller, err := newController(ctx, opts.State, cfg, &info)
	if err != nil {
		return err
	}
	defer func() {
		if err := controller.Close(); err != nil {
			bklog.L.WithError(err).Warn("closing the controller")
		}
	}()
	if err := opts.State.writeInfo(info); err != nil {
		return err
	}
	sendReport(ready, nil)
	return serve(ctx, opts, controller, &repairingListener{Listener: listener, repair: repair}, orphans{info.Runtime})
}

// serve answers until a signal or idleness ends it.
func serve(ctx context.Context, opts RunOptions, controller *control.Controller, listener net.Listener, left orphans) error {
	server := grpc.NewServer(
		grpc.ChainUnaryInterceptor(grpcerrors.UnaryServerInterceptor),
		grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
		grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize),
	)
	healthv1.RegisterHealthServer(server, health.NewServer())
	controller.Register(server)

	idle := newIdleListener(listener, opts.Idle, flock.New(opts.State.useLock()).TryLock)
	idle.quiet = func(still func() bool) {
		// Whatever is listed while nobody is connected belongs to nobody.
		if ids := left.list(ctx); still() {
			left.end(ctx, ids)
		}
	}
	defer idle.stop()
	// Whoever listened before would end the process on the second signal.
	signal.Reset(syscall.SIGTERM, syscall.SIGINT)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)

	served := make(chan error, 1)
	go func() { served <- server.Serve(idle) }()
	bklog.L.Infof("engine serves on %s", opts.State.Socket())
	select {
	case err := <-served:
		return err
	case <-idle.expired:
		bklog.L.Infof("engine ends: unused for %s", opts.Idle)
	case <-ctx.Done():
		bklog.L.Info("engine ends")
	case sig := <-signals:
		bklog.L.Infof("engine ends: %s", sig)
		if sig == syscall.SIGINT {
			server.Stop()
			return nil
		}
	}
	// Running builds may finish; new connections are refused from here on.
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		server.GracefulStop()
	}()
	for {
		select {
		case <-drained:
			return nil
		case sig := <-signals:
			if sig == syscall.SIGINT {
				server.Stop()
			}
		}
	}
}

// repairingListener repairs the handlers before a connection is served, which is at
// the start of every build (cases 19 and 25).
type repairingListener struct {
	net.Listener
	repair func()
}

func (l *repairingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.repair()
	}
	return conn, err
}

func listen(ctx context.Context, state State) (net.Listener, error) {
	// Safe under the lock: whoever made this socket is gone.
	if err := os.Remove(state.Socket()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing a leftover socket: %w", err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", state.Socket())
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	if err := os.Chmod(state.Socket(), 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// logTo sends BuildKit's log to a rotated file.
func logTo(state State) *lumberjack.Logger {
	log := &lumberjack.Logger{Filename: state.Log(), MaxSize: 10, MaxBackups: 3}
	logrus.SetOutput(log)
	logrus.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, DisableColors: true})
	return log
}

// sendReport tells the starting process how the start went. There is none when a
// person runs the engine in a terminal; the write fails then and nobody cares.
func sendReport(ready *os.File, err error) {
	var r report
	if err != nil {
		r = report{Op: "starting the engine", Err: err.Error()}
		if e := (*Error)(nil); errors.As(err, &e) {
			r.Op, r.Hint, r.Err = e.Op, e.Hint, e.Err.Error()
		}
		for _, kind := range kinds {
			if errors.Is(err, kind) {
				r.Kind = kind.Error()
			}
		}
		bklog.L.WithError(err).Error("engine does not start")
	}
	_ = json.NewEncoder(ready).Encode(r)
	_ = ready.Close()
}
