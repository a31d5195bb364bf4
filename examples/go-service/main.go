// Command linkd shortens links.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"gopkg.in/yaml.v3"

	"github.com/mabuild/mabuild/examples/go-service/internal/links"
	"github.com/mabuild/mabuild/examples/go-service/internal/web"
)

// settings are what the configuration file may say.
type settings struct {
	Listen   string  `yaml:"listen"`
	Database string  `yaml:"database"` // empty: links are kept in memory
	Secret   string  `yaml:"secret"`   // signs the tokens of those who may add links
	Rate     float64 `yaml:"rate"`     // requests per second
	Trace    bool    `yaml:"trace"`    // to standard output
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{Use: "linkd", Short: "Shorten links", SilenceUsage: true}
	var file string
	serve := &cobra.Command{
		Use: "serve", Short: "Answer requests until SIGTERM", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := load(file)
			if err != nil {
				return err
			}
			return run(cmd.Context(), s)
		},
	}
	serve.Flags().StringVarP(&file, "config", "c", "", "configuration `file` (YAML)")
	var secret, user string
	token := &cobra.Command{
		Use: "token", Short: "Print a token that lets a user add links for a day", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			signed, err := web.Token([]byte(secret), user, 24*time.Hour)
			if err == nil {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), signed)
			}
			return err
		},
	}
	token.Flags().StringVar(&secret, "secret", "", "the `secret` of the configuration")
	token.Flags().StringVar(&user, "user", "", "`name` of the user")
	root.AddCommand(serve, token)
	return root
}

func load(file string) (settings, error) {
	s := settings{Listen: ":8080", Rate: 100}
	if file == "" {
		return s, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return s, fmt.Errorf("reading the configuration: %w", err)
	}
	if err := yaml.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("reading the configuration %q: %w", file, err)
	}
	return s, nil
}

func run(ctx context.Context, s settings) error {
	logger, err := zap.NewProduction()
	if err != nil {
		return fmt.Errorf("starting the log: %w", err)
	}
	defer func() { _ = logger.Sync() }() // there is nowhere left to say it
	if s.Trace {
		exporter, err := stdouttrace.New()
		if err != nil {
			return fmt.Errorf("starting the traces: %w", err)
		}
		provider := trace.NewTracerProvider(trace.WithBatcher(exporter))
		defer func() { _ = provider.Shutdown(context.WithoutCancel(ctx)) }() // as above
		otel.SetTracerProvider(provider)
	}
	store := links.NewMemory()
	if s.Database != "" {
		pool, err := pgxpool.New(ctx, s.Database)
		if err != nil {
			return fmt.Errorf("opening the database: %w", err)
		}
		defer pool.Close()
		if store, err = links.NewPostgres(ctx, pool); err != nil {
			return err
		}
	}
	handler, err := web.New(store, web.Options{Secret: []byte(s.Secret), Rate: s.Rate, Logger: logger})
	if err != nil {
		return err
	}
	server := &http.Server{Addr: s.Listen, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		logger.Info("listening", zap.String("address", s.Listen))
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving on %q: %w", s.Listen, err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return server.Shutdown(end)
	})
	return group.Wait()
}
