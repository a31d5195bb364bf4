package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/emulation/dispatch"
	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/history"
)

// jobsOf plans a job for every platform.
func jobsOf(t testing.TB, names ...string) []planner.Job {
	t.Helper()
	list, err := planner.ParsePlatforms(names...)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := planner.Expand([]byte("FROM busybox\nRUN make\n"), planner.Options{Platforms: list})
	if err != nil {
		t.Fatal(err)
	}
	return plan.Jobs
}

// ended tells that vertices took a second, or came from the cache.
func ended(cached bool, digests ...digest.Digest) *client.SolveStatus {
	from, to := time.Unix(1, 0), time.Unix(2, 0)
	status := &client.SolveStatus{}
	for _, d := range digests {
		status.Vertexes = append(status.Vertexes, &client.Vertex{
			Digest: d, Name: "step", Inputs: []digest.Digest{digest.FromString("base")}, Started: &from, Completed: &to, Cached: cached,
		})
	}
	return status
}

func execStep(name string, digests ...string) exact.Step {
	step := exact.Step{ID: digest.FromString(name), Kind: "exec", Args: []string{name}, ExecPlatform: "linux/amd64", State: exact.StateNative, Platforms: []string{"linux/amd64", "linux/arm64"}}
	for _, d := range digests {
		step.Digests = append(step.Digests, digest.FromString(d))
	}
	return step
}

func TestRecorder(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	var heard []string
	r := newRecorder(buildOptions{context: ".", dockerfile: "Dockerfile"}, "session", slog.New(slog.DiscardHandler))
	report := r.report(func(job planner.Job, status *client.SolveStatus) {
		heard = append(heard, fmt.Sprint(job.Platform.Architecture, status != nil))
	})
	plan := &exact.Result{Platforms: []string{"linux/amd64", "linux/arm64"}, Steps: []exact.Step{
		execStep("shared", "shared"), execStep("selects", "selects for amd64", "selects for arm64"),
		execStep("without cache", "without cache"), execStep("cached", "cached"),
		{ID: digest.FromString("copy"), Kind: "file", Digests: []digest.Digest{digest.FromString("copy")}},
	}}
	r.expect(plan)
	jobs := jobsOf(t, "linux/amd64", "linux/arm64")
	for _, job := range jobs {
		report(job, ended(false, digest.FromString("shared"), digest.FromString("copy"), digest.FromString("exporting to image")))
	}
	report(jobs[0], ended(false, digest.FromString("selects for amd64")))
	report(jobs[1], ended(true, digest.FromString("selects for arm64"), digest.FromString("cached")))
	report(jobs[1], ended(false, buildkit.Uncached(digest.FromString("without cache"))))
	report(jobs[1], nil)
	report(jobs[0], nil)

	past, err := history.Store{}.Load(history.Project(".", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	var got [][]string
	for _, record := range past.Records() {
		var ids []string
		for _, run := range record.Runs {
			for _, name := range []string{"shared", "selects", "without cache", "cached", "copy"} {
				if run.ID == digest.FromString(name) && run.Duration == time.Second {
					ids = append(ids, name)
				}
			}
		}
		got = append(got, ids)
	}
	if diff := cmp.Diff([][]string{{"shared", "without cache"}, {"selects"}}, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	want := []string{"amd64true", "arm64true", "amd64true", "arm64true", "arm64true", "arm64false", "amd64false"}
	if diff := cmp.Diff(want, heard); diff != "" {
		t.Errorf("what the display hears (-want +got):\n%s", diff)
	}
}

// What the engine tells of a vertex is kept with the step's time, and comes back.
func TestRecorderPrograms(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	emulated := execStep("emulated", "vertex")
	emulated.ExecPlatform, emulated.State, emulated.Platforms = "linux/arm64", exact.StateEmulated, []string{"linux/arm64"}
	plan := &exact.Result{Platforms: []string{"linux/arm64"}, Steps: []exact.Step{emulated, execStep("native", "another")}}
	told := map[digest.Digest]*dispatch.Step{digest.FromString("vertex"): {CPU: []dispatch.CPU{
		{Name: "/usr/bin/as", Emulated: true, Seconds: 10},
		{Name: "/usr/libexec/cc1", Emulated: true, Seconds: 60},
		{Name: "/bin/cp", Seconds: 20},
		{Name: "/opt/cc1", Emulated: true, Seconds: 10},
	}}}
	compared := map[digest.Digest]*dispatch.Step{digest.FromString("vertex"): {
		CPU: told[digest.FromString("vertex")].CPU, Verification: &dispatch.Verification{Seconds: 0.75},
	}}
	programs := []history.Program{{Name: "cc1", Time: 70 * time.Second, Share: 0.7}, {Name: "as", Time: 10 * time.Second, Share: 0.1}}
	for name, test := range map[string]struct {
		told func(digest.Digest) *dispatch.Step
		want []history.Program
		took time.Duration
	}{
		"told":     {func(d digest.Digest) *dispatch.Step { return told[d] }, programs, time.Second},
		"compared": {func(d digest.Digest) *dispatch.Step { return compared[d] }, programs, 250 * time.Millisecond},
		"not told": {func(digest.Digest) *dispatch.Step { return nil }, nil, time.Second},
		"nobody":   {nil, nil, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			o := buildOptions{context: name, dockerfile: "Dockerfile"}
			r := newRecorder(o, "session", slog.New(slog.DiscardHandler))
			r.told = test.told
			r.expect(plan)
			report := r.report(func(planner.Job, *client.SolveStatus) {})
			job := jobsOf(t, "linux/arm64")[0]
			report(job, ended(false, digest.FromString("vertex"), digest.FromString("another")))
			report(job, nil)
			f := forecast(plan, history.Project(o.context, o.dockerfile), o.builder(), slog.New(slog.DiscardHandler))
			if f == nil || f.Known != 2 {
				t.Fatalf("forecast %+v", f)
			}
			if took := f.Steps[emulated.ID].Duration; took != test.took {
				t.Errorf("it took %v, want %v", took, test.took)
			}
			if diff := cmp.Diff(test.want, f.Programs[emulated.ID]); diff != "" || len(f.Programs) > 1 {
				t.Errorf("of %d steps (-want +got):\n%s", len(f.Programs), diff)
			}
		})
	}
}

// Without a plan, nothing is kept; without a place to keep it, one line says so.
func TestRecorderKeepsNothing(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(nowhere, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CACHE_HOME", nowhere)
	t.Setenv("HOME", nowhere)
	var log bytes.Buffer
	r := newRecorder(buildOptions{}, "session", slog.New(slog.NewTextHandler(&log, nil)))
	report := r.report(func(planner.Job, *client.SolveStatus) {})
	jobs := jobsOf(t, "linux/amd64", "linux/arm64")
	run := func() {
		for i, job := range jobs {
			report(job, ended(false, digest.FromString(fmt.Sprint("d", i))))
			report(job, nil)
		}
	}
	run()
	if log.Len() != 0 {
		t.Errorf("without a plan: %s", &log)
	}
	r.expect(&exact.Result{Steps: []exact.Step{execStep("a", "d0"), execStep("b", "d1")}})
	run()
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "not kept") {
		t.Errorf("%d lines: %s", n, &log)
	}
	if (*recorder)(nil).sessionID() != "" || r.sessionID() != "session" {
		t.Error("the session is another one")
	}
}

// What has to wait for another job is weighed, and nothing else.
func TestRecorderWeight(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	step := execStep("arm64", "arm64")
	step.Platforms = []string{"linux/arm64"}
	plan := &exact.Result{Platforms: []string{"linux/amd64", "linux/arm64"}, Steps: []exact.Step{step}}
	o := buildOptions{context: ".", dockerfile: "Dockerfile"}
	record := history.Record{Time: time.Now(), Build: "a", Builder: "engine", Runs: []history.Run{history.RunOf(step, time.Minute)}}
	if err := (history.Store{}).Append(history.Project(o.context, o.dockerfile), record); err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int]time.Duration{0: 0, 1: time.Minute, 2: 0} {
		o.jobs.atOnce = limit
		r := newRecorder(o, "", slog.New(slog.DiscardHandler))
		r.expect(plan)
		jobs := jobsOf(t, "linux/amd64", "linux/arm64")
		if got := r.weight(jobs[1]); got != want || r.weight(jobs[0]) != 0 {
			t.Errorf("--jobs %d: arm64 weighs %s, want %s", limit, got, want)
		}
	}
}

func TestBuilderName(t *testing.T) {
	a, b := connection{node: "tcp://user:secret@a:1"}.builder(), connection{node: "tcp://b:1"}.builder()
	if a == b || a != (connection{node: "tcp://user:secret@a:1"}).builder() || strings.Contains(a, "secret") || (connection{}).builder() != "engine" {
		t.Errorf("builders %s and %s", a, b)
	}
}

// BenchmarkRecorderWarm is what a build pays in which nothing runs: 20 commands for
// each of three platforms.
func BenchmarkRecorderWarm(b *testing.B) {
	b.Setenv("XDG_CACHE_HOME", b.TempDir())
	jobs := jobsOf(b, "linux/amd64", "linux/arm64", "linux/s390x")
	plan := &exact.Result{Platforms: []string{"linux/amd64", "linux/arm64", "linux/s390x"}}
	var digests [3][]digest.Digest
	for i := range 60 {
		name := fmt.Sprint("step ", i)
		plan.Steps = append(plan.Steps, execStep(name, name))
		digests[i%3] = append(digests[i%3], digest.FromString(name))
	}
	b.ReportAllocs()
	for b.Loop() {
		r := newRecorder(buildOptions{context: ".", dockerfile: "Dockerfile"}, "session", slog.New(slog.DiscardHandler))
		report := r.report(func(planner.Job, *client.SolveStatus) {})
		r.expect(plan)
		for i, job := range jobs {
			for _, d := range digests[i] {
				report(job, ended(true, d))
			}
			report(job, nil)
		}
	}
}
