package registrytest

import (
	"context"
	"io"
	"log"
	"net/http"
	"testing"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory" // the storage that Distribution uses
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/sirupsen/logrus"
)

// Memory returns go-containerregistry's registry, which keeps everything in
// memory.
func Memory() http.Handler {
	return registry.New(registry.Logger(log.New(io.Discard, "", 0)))
}

// Distribution returns the CNCF's registry, also known as registry:3, with
// everything in memory.
func Distribution(t testing.TB) http.Handler {
	config := &configuration.Configuration{
		Version: configuration.CurrentVersion,
		Storage: configuration.Storage{
			"inmemory": configuration.Parameters{},
			"delete":   configuration.Parameters{"enabled": true},
			"maintenance": configuration.Parameters{
				"uploadpurging": map[any]any{"enabled": false},
			},
		},
	}
	config.Log.Level = "panic"
	config.Log.AccessLog.Disabled = true
	config.HTTP.Secret = "registrytest"
	// It logs through logrus' standard logger and can't be told another one.
	logrus.SetLevel(logrus.PanicLevel)
	ctx, cancel := context.WithCancelCause(context.Background())
	t.Cleanup(func() { cancel(nil) })
	return handlers.NewApp(ctx, config)
}
