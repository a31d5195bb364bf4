package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// notes writes what is logged as the lines that the rest of the program writes: no time,
// which a terminal does not need and the log of a CI system adds, and the error as the end of
// a sentence.
//
//	warning: the build is not kept for mabuild history: open /x: permission denied
//	there is no cache yet (type registry, at localhost/cache)
type notes struct {
	w     io.Writer
	level slog.Level
	attrs []slog.Attr
	group string
}

// Enabled implements [slog.Handler].
func (n *notes) Enabled(_ context.Context, level slog.Level) bool { return level >= n.level }

// WithAttrs implements [slog.Handler].
func (n *notes) WithAttrs(attrs []slog.Attr) slog.Handler {
	more := *n
	more.attrs = append(more.attrs[:len(more.attrs):len(more.attrs)], n.qualified(attrs)...)
	return &more
}

// WithGroup implements [slog.Handler].
func (n *notes) WithGroup(name string) slog.Handler {
	more := *n
	if name != "" {
		more.group += name + "."
	}
	return &more
}

func (n *notes) qualified(attrs []slog.Attr) []slog.Attr {
	list := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		list[i] = slog.Attr{Key: n.group + a.Key, Value: a.Value}
	}
	return list
}

// Handle implements [slog.Handler]. The line is written at once, as others write, too.
func (n *notes) Handle(_ context.Context, record slog.Record) error {
	var b strings.Builder
	switch {
	case record.Level >= slog.LevelError:
		b.WriteString("error: ")
	case record.Level >= slog.LevelWarn:
		b.WriteString("warning: ")
	case record.Level < slog.LevelInfo:
		b.WriteString("debug: ")
	}
	b.WriteString(record.Message)
	all := n.attrs[:len(n.attrs):len(n.attrs)]
	record.Attrs(func(a slog.Attr) bool {
		all = append(all, n.qualified([]slog.Attr{a})...)
		return true
	})
	var facts []string
	problem := ""
	for _, a := range all {
		switch text := a.Value.Resolve().String(); {
		case a.Key == "error":
			problem = ": " + text
		case text != "":
			facts = append(facts, a.Key+" "+text)
		}
	}
	if len(facts) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(facts, ", "))
	}
	_, err := io.WriteString(n.w, b.String()+problem+"\n")
	return err
}
