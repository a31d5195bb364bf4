package testbed

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"

	// A storage driver makes itself known to the registry by being linked.
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

// closeGrace is how long Close lets running requests finish.
const closeGrace = time.Minute

// RegistryOptions say what a registry serves.
type RegistryOptions struct {
	// Root is the folder of the registry's storage, made if it is missing.
	// Empty: a temporary folder, gone after Close. The registry's storage in memory copies
	// all of an upload for each part of it that comes: 100 MB take 45 s, in a folder 0.3 s.
	Root string
	// ReadOnly refuses everything that would change the storage with status 405.
	ReadOnly bool
	// Middleware wraps the registry's handler: faults, delays, authentication.
	// The request log sees what reaches the listener, before the middleware. Nil: none.
	Middleware func(http.Handler) http.Handler
	// Logger gets what the registry logs, one level lower than the registry thinks
	// it is. Nil: discarded.
	Logger *slog.Logger
}

// Registry is a distribution registry that listens on a loopback port of its own.
type Registry struct {
	// Addr is host:port, as it is written in an image reference.
	Addr string

	app       *handlers.App
	temporary string // folder to delete
	server    *http.Server
	served    chan error
	once      sync.Once
	err       error

	mu       sync.Mutex
	requests []Request
	unused   map[net.Conn]struct{} // connections on which nothing was asked yet
}

// Request is one line of a registry's request log.
type Request struct {
	Method string
	Path   string
	// Query is the raw query: mounts and digests of uploads are in it.
	Query string
	// Status is 0 while the request is running.
	Status int
}

// NewRegistry starts a registry on a loopback port that the system picks.
// It answers plain HTTP without authentication.
func NewRegistry(opts RegistryOptions) (*Registry, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the registry: %w", err)
	}
	temporary := ""
	if opts.Root == "" {
		temporary, err = os.MkdirTemp("", "mabuild-registry-")
		opts.Root = temporary
	} else {
		err = os.MkdirAll(opts.Root, 0o755)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making the registry's storage: %w", err), listener.Close())
	}

	quiet := quietContext{Context: context.Background(), entry: logEntry(opts.Logger)}
	r := &Registry{
		Addr:      listener.Addr().String(),
		app:       handlers.NewApp(quiet, registryConfig(opts)),
		temporary: temporary,
		served:    make(chan error, 1),
		unused:    map[net.Conn]struct{}{},
	}
	var handler http.Handler = r.app
	if opts.Middleware != nil {
		handler = opts.Middleware(handler)
	}
	r.server = &http.Server{
		Handler:           r.record(handler),
		BaseContext:       func(net.Listener) context.Context { return quiet },
		ErrorLog:          slog.NewLogLogger(opts.Logger.Handler(), slog.LevelDebug),
		ConnState:         r.track,
		ReadHeaderTimeout: time.Minute,
	}
	go func() { r.served <- r.server.Serve(listener) }()
	return r, nil
}

// registryConfig describes a registry that does nothing but serve its storage:
// no debug listener, no metrics, no health polling, no notifications, no cache
// server, and no purging of uploads in the background. Tracing is out of reach
// too: it is set up by the package registry, which is not used here.
func registryConfig(opts RegistryOptions) *configuration.Configuration {
	config := &configuration.Configuration{Version: configuration.CurrentVersion}
	config.Storage = configuration.Storage{
		"filesystem": configuration.Parameters{"rootdirectory": opts.Root},
		"delete":     configuration.Parameters{"enabled": true},
		"maintenance": configuration.Parameters{
			"uploadpurging": map[any]any{"enabled": false},
			"readonly":      map[any]any{"enabled": opts.ReadOnly},
		},
	}
	config.HTTP.Secret = rand.Text()
	config.Log.AccessLog.Disabled = true
	config.Catalog.MaxEntries = 1000
	return config
}

// Requests returns the requests so far, in the order of their arrival.
func (r *Registry) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// track remembers the connections on which nothing was asked yet.
func (r *Registry) track(connection net.Conn, state http.ConnState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if state == http.StateNew {
		r.unused[connection] = struct{}{}
	} else {
		delete(r.unused, connection)
	}
}

// cutUnused closes the connections on which nothing was asked yet: clients open
// some in advance, and a server's Shutdown would give each five seconds.
func (r *Registry) cutUnused() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for connection := range r.unused {
		_ = connection.Close() // it is the client's loss alone
	}
}

func (r *Registry) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		place := len(r.requests)
		r.requests = append(r.requests, Request{Method: req.Method, Path: req.URL.Path, Query: req.URL.RawQuery})
		r.mu.Unlock()

		watched := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			r.mu.Lock()
			r.requests[place].Status = watched.status
			r.mu.Unlock()
		}()
		next.ServeHTTP(watched, req)
	})
}

// statusWriter remembers the status of a response.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets [http.ResponseController] reach the connection, for middleware that hijacks it.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Close stops listening, lets running requests finish for a while, then cuts
// them, and returns when the registry has stopped. Later calls return the same.
func (r *Registry) Close() error {
	r.once.Do(func() { r.err = r.close() })
	return r.err
}

func (r *Registry) close() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), closeGrace,
		errors.New("requests are still running"))
	defer cancel()
	r.server.RegisterOnShutdown(r.cutUnused)
	err := r.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(context.Cause(ctx), r.server.Close())
	}
	if served := <-r.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	err = errors.Join(err, r.app.Shutdown())
	if r.temporary != "" {
		err = errors.Join(err, os.RemoveAll(r.temporary))
	}
	if err != nil {
		return fmt.Errorf("closing the registry on %s: %w", r.Addr, err)
	}
	return nil
}
