package buildkit

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner"
)

// watched is a step that a status tells of.
func watched(name string, completed bool) *client.SolveStatus {
	now := time.Now()
	v := &client.Vertex{Digest: digest.FromString(name), Name: name, Started: &now}
	if completed {
		v.Completed = &now
	}
	return &client.SolveStatus{Vertexes: []*client.Vertex{v}}
}

func printed(name string) *client.SolveStatus {
	return &client.SolveStatus{Logs: []*client.VertexLog{{Vertex: digest.FromString(name), Data: []byte(".")}}}
}

// limited returns a solver whose limit is ten minutes.
func limited() *Solver {
	return &Solver{opts: Options{IdleTimeout: 10 * time.Minute, Source: &Source{}}}
}

// What happens to a watch with a limit of ten minutes, in a bubble where time is
// what it should be.
func TestWatch(t *testing.T) {
	const step, other = "[build 2/2] RUN make", "[2/2] RUN test"
	for name, test := range map[string]struct {
		happens func(w *watch)
		ended   string // step that is ended, empty for none
	}{
		"silent":       {func(w *watch) { w.observe(watched(step, false)); time.Sleep(11 * time.Minute) }, step},
		"not so long":  {func(w *watch) { w.observe(watched(step, false)); time.Sleep(9 * time.Minute) }, ""},
		"nothing runs": {func(*watch) { time.Sleep(time.Hour) }, ""},
		"prints now and then": {func(w *watch) {
			w.observe(watched(step, false))
			for range 10 {
				time.Sleep(9 * time.Minute)
				w.observe(printed(step))
			}
		}, ""},
		"falls silent": {func(w *watch) {
			w.observe(watched(step, false))
			w.observe(printed(step))
			time.Sleep(11 * time.Minute)
		}, step},
		"ends":       {func(w *watch) { w.observe(watched(step, false)); w.observe(watched(step, true)); time.Sleep(time.Hour) }, ""},
		"cached":     {func(w *watch) { w.observe(watched(step, true)); time.Sleep(time.Hour) }, ""},
		"no RUN":     {func(w *watch) { w.observe(watched("[1/2] FROM debian", false)); time.Sleep(time.Hour) }, ""},
		"build ends": {func(w *watch) { w.observe(watched(step, false)); w.stop(); time.Sleep(time.Hour) }, ""},
		"another talks": {func(w *watch) {
			w.observe(watched(step, false))
			w.observe(watched(other, false))
			for range 3 {
				time.Sleep(5 * time.Minute)
				w.observe(printed(other))
			}
		}, step},
		"told twice": {func(w *watch) {
			w.observe(watched(step, false))
			time.Sleep(6 * time.Minute)
			w.observe(watched(step, false))
			time.Sleep(6 * time.Minute)
		}, step},
		"runs again": {func(w *watch) {
			w.observe(watched(step, false))
			w.observe(watched(step, true))
			time.Sleep(time.Hour)
			w.observe(watched(step, false))
			time.Sleep(time.Hour)
		}, step},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var cause error
				w := limited().watch(planner.Job{}, func(err error) {
					if cause == nil {
						cause = err
					}
				})
				test.happens(w)
				synctest.Wait()
				w.stop()
				if (test.ended == "") != (cause == nil) || cause != nil && !strings.Contains(cause.Error(), test.ended) {
					t.Errorf("ended by %v, want %q", cause, test.ended)
				}
			})
		})
	}
}

// A step that waits for the cache mount of another job's step is not idle while that
// one gets on.
func TestWatchAStepThatWaits(t *testing.T) {
	const mount = "RUN --mount=type=cache,target=/c,sharing=locked "
	const waits, holds, other = "[build 2/2] " + mount + "make", "[build 2/2] " + mount + "make arm", "[2/2] RUN test"
	gets := func(holder *watch, after time.Duration, status *client.SolveStatus) {
		time.Sleep(after)
		holder.observe(status)
	}
	for name, test := range map[string]struct {
		happens func(w, holder *watch)
		ended   string // step that is ended, empty for none
	}{
		"the other prints": {func(_, holder *watch) {
			for range 5 {
				gets(holder, 9*time.Minute, printed(holds))
			}
		}, ""},
		"the other is silent": {func(_, _ *watch) { time.Sleep(11 * time.Minute) }, waits},
		"the other falls silent": {func(_, holder *watch) {
			gets(holder, 9*time.Minute, printed(holds))
			time.Sleep(11 * time.Minute)
		}, waits},
		"the other ends": {func(_, holder *watch) {
			gets(holder, 9*time.Minute, watched(holds, true))
			time.Sleep(9 * time.Minute)
		}, ""},
		"waits no more": {func(w, holder *watch) {
			w.observe(printed(waits))
			gets(holder, 9*time.Minute, printed(holds))
			time.Sleep(5 * time.Minute)
		}, waits},
		"needs no lock": {func(w, holder *watch) {
			w.observe(watched(other, false))
			gets(holder, 9*time.Minute, printed(holds))
			time.Sleep(5 * time.Minute)
		}, other},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended, solver := "", limited()
				w := solver.watch(planner.Job{}, func(err error) { ended = err.(*Error).Step })
				holder := solver.watch(planner.Job{}, func(error) {})
				w.observe(watched(waits, false))
				holder.observe(watched(holds, false))
				test.happens(w, holder)
				synctest.Wait()
				w.stop()
				holder.stop()
				if ended != test.ended {
					t.Errorf("ended %q, want %q", ended, test.ended)
				}
			})
		})
	}
}

// A timer may fire while the end of its step is observed.
func TestWatchThatFiresLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const step = "[build 2/2] RUN make"
		w := limited().watch(planner.Job{}, func(err error) { t.Error(err) })
		w.observe(watched(step, false))
		ended := w.running[digest.FromString(step)]
		time.Sleep(9 * time.Minute)
		w.observe(watched(step, true))
		w.observe(watched(step, false))
		time.Sleep(9 * time.Minute)
		w.expire(digest.FromString(step), ended)
		w.stop()
	})
}

func TestWatchWithoutLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := (&Solver{opts: Options{Source: &Source{}}}).watch(planner.Job{}, func(err error) { t.Error(err) })
		w.observe(watched("[build 2/2] RUN make", false))
		time.Sleep(time.Hour)
		w.stop()
	})
}

func places(t testing.TB) planner.Job {
	t.Helper()
	plan, err := planner.Expand([]byte("FROM golang AS build\nWORKDIR /src\nCOPY . .\n\nRUN go build\n\nFROM build\nRUN go test\n"), planner.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return plan.Jobs[0]
}

func TestPlaceOf(t *testing.T) {
	type place struct {
		stage string
		line  int
	}
	for step, want := range map[string]place{
		"[build 1/4] FROM golang":       {"build", 0},
		"[build 2/4] WORKDIR /src":      {"build", 2},
		"[build 4/4] RUN go build":      {"build", 5},
		"[build 4/4] RUN echo ']'":      {"build", 5},
		"[build  4/4] RUN go build":     {"build", 5},
		"[build 5/4] RUN go build":      {"build", 0},
		"[build 0/4] RUN go build":      {"build", 0},
		"[stage-1 1/1] RUN go test":     {"stage-1", 8},
		"[1/1] RUN go test":             {"stage-1", 8},
		"[other 2/4] RUN go build":      {"other", 0},
		"[internal] load .dockerignore": {"", 0},
		"[auth] token":                  {"", 0},
		"exporting to image":            {"", 0},
		"RUN go build":                  {"", 0},
		"[build 4/4":                    {"", 0},
		"[":                             {"", 0},
		"":                              {"", 0},
	} {
		if stage, line := placeOf(places(t), step); (place{stage, line}) != want {
			t.Errorf("%q is in stage %q at line %d, want %+v", step, stage, line, want)
		}
	}
	if stage, line := placeOf(planner.Job{}, "[1/1] RUN make"); stage != "" || line != 0 {
		t.Errorf("without stages it is in %q at %d", stage, line)
	}
}

func FuzzPlaceOf(f *testing.F) {
	f.Add("[build 4/4] RUN go build")
	f.Add("[1/1] RUN go test")
	f.Add("[build 9223372036854775807/-9223372036854775808] RUN")
	job := places(f)
	f.Fuzz(func(t *testing.T, step string) {
		_, line := placeOf(job, step)
		if line < 0 || line > 8 {
			t.Errorf("line %d", line)
		}
	})
}
