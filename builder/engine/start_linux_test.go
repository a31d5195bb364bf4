package engine_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/mabuild/mabuild/builder/engine"
)

// BenchmarkStart is a start of the engine in a state directory that it knows, until
// it answers.
func BenchmarkStart(b *testing.B) {
	dir, err := os.MkdirTemp("", "mabuild-engine-")
	if err != nil {
		b.Fatal(err)
	}
	opts := engine.Options{State: engine.State(dir), Idle: time.Minute}
	defer os.RemoveAll(dir)
	stop := func() {
		if err := engine.Stop(context.Background(), opts.State, true); err != nil && !errors.Is(err, engine.ErrNotRunning) {
			b.Fatal(err)
		}
	}
	defer stop()
	start := func() {
		lease, err := engine.Acquire(b.Context(), opts)
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(ask(b.Context(), lease.Address()), lease.Release()); err != nil {
			b.Fatal(err)
		}
	}
	began := time.Now()
	start()
	first := time.Since(began)
	for b.Loop() {
		b.StopTimer()
		stop()
		b.StartTimer()
		start()
	}
	b.ReportMetric(float64(first.Milliseconds()), "first-ms")
}
