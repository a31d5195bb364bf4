package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"
)

// Modules is a Go module proxy on a loopback port of its own: steps of a build that
// share the machine's network reach it, whatever else they can't reach.
type Modules struct {
	// URL is what GOPROXY has to be.
	URL string

	server *http.Server
	served chan error
}

// StartModules downloads the modules that the program in dir needs, as go mod
// download does, and serves them from the machine's module cache.
func StartModules(ctx context.Context, dir string) (*Modules, error) {
	if _, err := goTool(ctx, dir, "mod", "download"); err != nil {
		return nil, err
	}
	cache, err := goTool(ctx, dir, "env", "GOMODCACHE")
	if err != nil {
		return nil, err
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the modules: %w", err)
	}
	files := http.Dir(filepath.Join(strings.TrimSpace(string(cache)), "cache", "download"))
	m := &Modules{
		URL:    "http://" + listener.Addr().String(),
		server: &http.Server{Handler: http.FileServer(files), ReadHeaderTimeout: time.Minute},
		served: make(chan error, 1),
	}
	go func() { m.served <- m.server.Serve(listener) }()
	return m, nil
}

// Close cuts what is still connected and returns when nothing is served any more.
func (m *Modules) Close() error {
	err := m.server.Close()
	if served := <-m.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("closing the module proxy at %s: %w", m.URL, err)
	}
	return nil
}
