package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestNotes(t *testing.T) {
	for want, write := range map[string]func(*slog.Logger){
		"warning: the build is not kept: permission denied": func(l *slog.Logger) {
			l.Warn("the build is not kept", "error", errors.New("permission denied"))
		},
		"there is no cache yet (type registry, at localhost/cache)": func(l *slog.Logger) {
			l.Info("there is no cache yet", "type", "registry", "at", "localhost/cache")
		},
		"asking again (try 2): HTTP 503": func(l *slog.Logger) {
			l.With("try", 2).Info("asking again", "error", errors.New("HTTP 503"))
		},
		"error: broken (a.b 1, a.c 2)": func(l *slog.Logger) { l.WithGroup("a").With("b", 1).Error("broken", "c", 2) },
		"plain":                        func(l *slog.Logger) { l.Info("plain", "nothing", "") },
		"":                             func(l *slog.Logger) { l.Debug("not asked for") },
	} {
		var out strings.Builder
		write(slog.New(&notes{w: &out, level: slog.LevelInfo}))
		if got := strings.TrimSuffix(out.String(), "\n"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
