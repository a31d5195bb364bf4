package rig

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/sirupsen/logrus"

	// The storage driver makes itself known by being linked.
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

// Registry is a distribution registry on a loopback port of its own.
type Registry struct {
	// Addr is host:port, as it is written in an image reference.
	Addr string

	app    *handlers.App
	server *http.Server
	served chan error
}

// StartRegistry starts an empty registry that keeps its content in dir. It answers
// plain HTTP without authentication.
//
// It silences logrus, which distribution logs to and gives no other way: a registry
// says "error" of each blob that isn't there yet.
func StartRegistry(ctx context.Context, dir string) (*Registry, error) {
	logrus.SetOutput(io.Discard)
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the registry: %w", err)
	}
	config := &configuration.Configuration{Version: configuration.CurrentVersion}
	config.Storage = configuration.Storage{
		"filesystem":  configuration.Parameters{"rootdirectory": dir},
		"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
	}
	config.HTTP.Secret = rand.Text()
	config.Log.AccessLog.Disabled = true
	config.Catalog.MaxEntries = 1000

	background := context.WithoutCancel(ctx)
	r := &Registry{
		Addr:   listener.Addr().String(),
		app:    handlers.NewApp(background, config),
		served: make(chan error, 1),
	}
	r.server = &http.Server{
		Handler:           r.app,
		BaseContext:       func(net.Listener) context.Context { return background },
		ReadHeaderTimeout: time.Minute,
	}
	go func() { r.served <- r.server.Serve(listener) }()
	return r, nil
}

// Close cuts what is still connected and returns when the registry has stopped.
func (r *Registry) Close() error {
	err := r.server.Close()
	if served := <-r.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err = errors.Join(err, r.app.Shutdown()); err != nil {
		return fmt.Errorf("closing the registry on %s: %w", r.Addr, err)
	}
	return nil
}
