package testbed

import (
	"context"
	"io"
	"log/slog"
	"reflect"

	"github.com/sirupsen/logrus"
)

// quietContext gives a registry its own logger. Distribution logs to logrus'
// global logger, and the key under which a context may carry another one is
// internal to it; so the key is recognised by its type instead. The alternative,
// silencing the global logger, would silence BuildKit's client in the same
// process as well.
type quietContext struct {
	context.Context //nolint:containedctx // it is a context itself
	entry           *logrus.Entry
}

// Value implements [context.Context].
func (c quietContext) Value(key any) any {
	if t := reflect.TypeOf(key); t != nil && t.Name() == "loggerKey" &&
		t.PkgPath() == "github.com/distribution/distribution/v3/internal/dcontext" {
		return c.entry
	}
	return c.Context.Value(key)
}

// logEntry returns a logrus entry whose lines go to logger alone.
func logEntry(logger *slog.Logger) *logrus.Entry {
	bridge := logrus.New()
	bridge.SetOutput(io.Discard)
	bridge.AddHook(slogHook{logger})
	return logrus.NewEntry(bridge)
}

// slogHook hands logrus' lines to slog. What a registry calls an error (a manifest
// that isn't there, an upload that was cut) is everyday in tests: so nothing is
// above info, and the registry's info is debug.
type slogHook struct{ logger *slog.Logger }

// Levels implements [logrus.Hook].
func (slogHook) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements [logrus.Hook].
func (h slogHook) Fire(entry *logrus.Entry) error {
	level := slog.LevelDebug
	if entry.Level <= logrus.WarnLevel {
		level = slog.LevelInfo
	}
	ctx := entry.Context
	if ctx == nil {
		ctx = context.Background()
	}
	var attrs []slog.Attr
	if err, ok := entry.Data[logrus.ErrorKey]; ok {
		attrs = append(attrs, slog.Any("error", err))
	}
	h.logger.LogAttrs(ctx, level, entry.Message, attrs...)
	return nil
}
