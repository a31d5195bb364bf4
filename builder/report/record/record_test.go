package record_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/builder/buildkit"
	"github.com/mabuild/mabuild/builder/report"
	"github.com/mabuild/mabuild/builder/report/record"
	"github.com/mabuild/mabuild/planner/assist"
	"github.com/mabuild/mabuild/planner/exact"
)

var start = time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

const (
	amd = "linux/amd64"
	arm = "linux/arm64"
)

// build hears of a build at times that the test sets.
type build struct {
	*record.Recorder
	now time.Time
}

func newBuild(opts record.Options) *build {
	b := &build{now: start}
	opts.ID, opts.Now = "TEST", func() time.Time { return b.now }
	b.Recorder = record.New(opts)
	return b
}

func d(name string) digest.Digest { return digest.FromString(name) }

// vertex is a step called as its digest; times are seconds, a negative one is none.
func vertex(name string, from, to float64, needs ...string) *client.Vertex {
	v := &client.Vertex{Digest: d(name), Name: name}
	for _, need := range needs {
		v.Inputs = append(v.Inputs, d(need))
	}
	if from >= 0 {
		started := at(from)
		v.Started = &started
	}
	if to >= 0 {
		completed := at(to)
		v.Completed = &completed
	}
	return v
}

func (b *build) hear(platform string, vertices ...*client.Vertex) {
	b.Observe(platform, &client.SolveStatus{Vertexes: vertices})
}

func (b *build) say(platform, step, text string) {
	b.Observe(platform, &client.SolveStatus{Logs: []*client.VertexLog{{Vertex: d(step), Data: []byte(text)}}})
}

func (b *build) end(outcome record.Outcome) map[string]report.Step {
	steps := make(map[string]report.Step)
	for _, s := range b.Build(outcome).Steps {
		steps[s.Name] = s
	}
	return steps
}

func failed(v *client.Vertex, text string) *client.Vertex { v.Error = text; return v }
func cached(v *client.Vertex) *client.Vertex              { v.Cached = true; return v }

var unset = cmpopts.EquateEmpty()

func plan() (*exact.Result, []assist.Step) {
	return &exact.Result{Platforms: []string{amd, arm}, Steps: []exact.Step{
		{ID: d("id base"), Digests: []digest.Digest{d("base")}, Place: exact.Place{Stage: "build", Line: 1}, Kind: "image", Command: "FROM golang", Platforms: []string{amd}, ExecPlatform: amd},
		{ID: d("id native"), Digests: []digest.Digest{d("native")}, Place: exact.Place{Stage: "build", Line: 2}, Kind: "exec", Command: "RUN make\n", Inputs: []digest.Digest{d("id base")}, Platforms: []string{amd}, ExecPlatform: amd, State: exact.StateNative},
		{ID: d("id go"), Digests: []digest.Digest{d("planned go")}, Place: exact.Place{Stage: "build", Line: 2}, Kind: "exec", Command: "RUN make\n", Platforms: []string{arm}, ExecPlatform: arm, State: exact.StateEmulated},
		{ID: d("id slow"), Digests: []digest.Digest{d("slow")}, Place: exact.Place{Stage: "stage-1", Line: 5}, Kind: "exec", Command: "RUN <<EOF\nslow\nEOF", Platforms: []string{arm}, ExecPlatform: arm, State: exact.StateEmulated},
	}}, []assist.Step{{ID: d("id go"), Recipe: "go", Note: "make was not read"}, {ID: d("id slow"), Reason: "no recipe knows it"}}
}

func TestPlanned(t *testing.T) {
	b := newBuild(record.Options{Platforms: []string{amd, arm}})
	b.Expect(plan())
	b.hear(amd, vertex("base", 0, 1), vertex("native", 1, 3, "base"))
	edited := vertex("assisted go", 1, 2, "x")
	edited.Name = "[linux/arm64 build 2/5] RUN --mount=type=bind,from=mabuild-assist-go-1,source=/usr/local/go,target=/usr/local/go make"
	uncached := vertex("slow", 2, 9)
	uncached.Digest = buildkit.Uncached(uncached.Digest)
	b.hear(arm, edited, uncached)
	steps := b.Build(record.Outcome{}).Steps
	interval := func(from, to float64) []report.Interval {
		return []report.Interval{{Started: at(from), Completed: at(to)}}
	}
	want := []report.Step{
		{ID: d("id base").String(), Name: "FROM golang", Command: "FROM golang", Kind: "image", Stage: "build", Line: 1, Platforms: []string{amd}, ExecPlatform: amd, Intervals: interval(0, 1)},
		{ID: d("id native").String(), Name: "RUN make", Command: "RUN make", Kind: "exec", Stage: "build", Line: 2, Platforms: []string{amd}, ExecPlatform: amd, State: report.Native, Inputs: []string{d("id base").String()}, Intervals: interval(1, 3)},
		{ID: d("id go").String(), Name: "RUN make", Command: "RUN make", Kind: "exec", Stage: "build", Line: 2, Platforms: []string{arm}, ExecPlatform: arm, State: report.Assisted, Note: "native tools of go; make was not read", Intervals: interval(1, 2)},
		{ID: d("id slow").String(), Name: "RUN <<EOF", Command: "RUN <<EOF\nslow\nEOF", Kind: "exec", Stage: "stage-1", Line: 5, Platforms: []string{arm}, ExecPlatform: arm, State: report.Emulated, Note: "no recipe knows it", Intervals: interval(2, 9)},
	}
	if diff := cmp.Diff(want, steps, unset); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNames(t *testing.T) {
	b := newBuild(record.Options{})
	for name, want := range map[string]string{
		"[linux/arm64 build 2/5] RUN make":            "build|RUN make|",
		"[build 10/12] COPY . .":                      "build|COPY . .|",
		"[linux/amd64->arm64 build  2/12] RUN make":   "build|RUN make|",
		"[2/5] RUN <<EOF":                             "stage-0|RUN <<EOF|",
		"[linux/arm/v7 2/5] LINK COPY --link a b":     "stage-0|COPY --link a b|",
		"[internal] load build definition":            "|[internal] load build definition|internal",
		"exporting to image":                          "|exporting to image|internal",
		"[auth] example/app:pull,push token for x.io": "|[auth] example/app:pull,push token for x.io|internal",
		"": "||internal",
	} {
		b.hear(amd, vertex(name, 0, 1))
		s := b.end(record.Outcome{})[strings.Split(want, "|")[1]]
		if got := s.Stage + "|" + s.Name + "|" + s.Kind; got != want {
			t.Errorf("%q gives %q, want %q", name, got, want)
		}
	}
}

// TestShared: what one job ran and another took from the cache ran once.
func TestShared(t *testing.T) {
	b := newBuild(record.Options{})
	b.hear(amd, vertex("pull", 0, 1), vertex("all cached", 1, 1), vertex("run", 1, 4, "pull"))
	b.say(amd, "run", "once\n")
	b.say(arm, "run", "once\n")
	b.hear(arm, cached(vertex("run", 4, 4, "pull")), vertex("pull", 0, 1))
	for _, p := range []string{amd, arm} {
		b.hear(p, cached(vertex("cached", 4, 4, "run")))
		b.hear(p, cached(vertex("pull", 4, 4)))
	}
	steps := b.end(record.Outcome{})
	run := steps["run"]
	if run.Cached || run.Duration() != 3*time.Second || len(run.Intervals) != 1 || strings.Join(run.Platforms, " ") != amd+" "+arm || strings.Join(run.Log, "|") != "once" {
		t.Errorf("shared: %+v", run)
	}
	if !steps["cached"].Cached || len(steps["cached"].Platforms) != 2 {
		t.Errorf("cached: %+v", steps["cached"])
	}
}

// TestFailures tells what failed from what was stopped for it.
func TestFailures(t *testing.T) {
	b := newBuild(record.Options{Platforms: []string{amd, arm, "linux/s390x"}})
	b.hear(amd, vertex("slow", 0, -1))
	b.hear(arm, failed(vertex("bad", 0, 2), "exit code: 1"), vertex("shared", 0, 1))
	b.hear(amd, failed(vertex("slow", 0, 2), "process did not complete: context canceled"), vertex("shared", 0, 1), vertex("later", -1, -1, "slow"))
	b.hear(amd, vertex("cut off", 1, -1))
	b.hear("linux/s390x", vertex("flaky", 0, 1))
	b.hear("linux/s390x", failed(vertex("flaky", 2, 3), "crashed"))
	b.Observe(amd, nil)
	b.now = at(4)
	b.hear("linux/s390x", vertex("flaky", 3, 4))
	b.now = at(5)
	got := b.Build(record.Outcome{Err: errors.New("building: exit code: 1"), Failed: map[string]error{arm: errors.New("exit code: 1")}, Images: map[string]record.Image{"linux/s390x": {Digest: "sha256:a"}}})
	states := make(map[string]string)
	for _, s := range got.Steps {
		states[s.Name] = fmt.Sprintf("%s canceled=%v %s", s.Error, s.Canceled, s.Duration())
	}
	if diff := cmp.Diff(map[string]string{
		"bad": "exit code: 1 canceled=false 2s", "slow": " canceled=true 2s", "shared": " canceled=false 1s", "later": " canceled=false 0s",
		"cut off": " canceled=true 4s", "flaky": " canceled=false 3s",
	}, states); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var results []string
	for _, p := range got.Platforms {
		results = append(results, fmt.Sprintf("%s %s %v %s", p.Name, p.Error, p.Canceled, p.Completed.Sub(p.Started)))
	}
	if diff := cmp.Diff([]string{amd + "  true 0s", arm + " exit code: 1 false 5s", "linux/s390x  false 5s"}, results); diff != "" {
		t.Errorf("platforms (-want +got):\n%s", diff)
	}
	if got.Error != "building: exit code: 1" || !got.Completed.Equal(at(5)) {
		t.Errorf("%+v", got)
	}
}

// TestInputs: BuildKit does not say what its own steps wait for.
func TestInputs(t *testing.T) {
	b := newBuild(record.Options{})
	b.Expect(plan())
	b.hear(amd,
		vertex("[internal] load build definition", 0, 1), vertex("[internal] load metadata", 1, 2), vertex("base", 2, 4),
		vertex("native", 4, 6, "base"), vertex("exporting to image", 6, 7), vertex("pushing", 7, 8))
	b.hear(arm, vertex("[internal] of another job", 0, 2))
	built := b.Build(record.Outcome{})
	names := make(map[string]string)
	for _, s := range built.Steps {
		names[s.ID] = s.Name
	}
	var path []string
	for _, id := range built.CriticalPath().Steps {
		path = append(path, names[id])
	}
	want := []string{"[internal] load build definition", "[internal] load metadata", "FROM golang", "RUN make", "exporting to image", "pushing"}
	if diff := cmp.Diff(want, path); diff != "" {
		t.Errorf("critical path (-want +got):\n%s", diff)
	}
}

// TestLog keeps the end of the output.
func TestLog(t *testing.T) {
	for text, want := range map[string]string{
		"":                         " 0",
		"one\n":                    "one 0",
		"one\ntwo":                 "one|two 0",
		"1\n2\n3\n":                "1|2|3 0",
		"1\n2\n3\n4\n5":            "3|4|5 2",
		"1\n2\n3\n4\n5\n6\n7\n8\n": "6|7|8 5",
		"a\r\n\nb\n":               "a||b 0",
	} {
		b := newBuild(record.Options{LogLines: 3})
		b.hear(amd, vertex("run", 0, 1))
		for _, c := range []byte(text) {
			b.say(amd, "run", string(c))
		}
		b.say(amd, "unknown", "lost")
		s := b.end(record.Outcome{})["run"]
		if got := fmt.Sprintf("%s %d", strings.Join(s.Log, "|"), s.LogOmitted); got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
	b := newBuild(record.Options{})
	b.hear(amd, vertex("run", 0, 1))
	for range 1000 {
		b.say(amd, "run", strings.Repeat("endless", 1000))
	}
	if s := b.end(record.Outcome{})["run"]; len(s.Log) != 1 || len(s.Log[0]) > 5000 {
		t.Errorf("an endless line is kept whole")
	}
}

// TestClocks: a daemon whose clock is wrong moves nothing out of the picture.
func TestClocks(t *testing.T) {
	for off, want := range map[float64]time.Time{0: at(1), 2: at(3), 7200: at(1), -7200: at(1)} {
		b := newBuild(record.Options{})
		run, next := vertex("run", 8000+off, 8001+off), vertex("next", 8001+off, 8002+off)
		b.now = at(8000)
		b.hear(amd, run, next)
		if got := b.end(record.Outcome{})["next"].Intervals[0].Started; !got.Equal(want.Add(8000 * time.Second)) {
			t.Errorf("off by %gs: the next step begins at %s, want %s", off, got, want.Add(8000*time.Second))
		}
	}
}

func TestConcurrent(t *testing.T) {
	b := newBuild(record.Options{})
	var group sync.WaitGroup
	for job := range 8 {
		group.Go(func() {
			for i := range 50 {
				name := fmt.Sprint("step ", i)
				b.hear(fmt.Sprint("linux/", job), vertex(name, float64(i), float64(i+1)))
				b.say(fmt.Sprint("linux/", job), name, "line\n")
				b.Build(record.Outcome{})
			}
			b.Observe(fmt.Sprint("linux/", job), nil)
		})
	}
	group.Wait()
	if got := b.Build(record.Outcome{}); len(got.Steps) != 50 || len(got.Platforms) != 8 || len(got.Steps[7].Platforms) != 8 || len(got.Steps[7].Log) != 1 {
		t.Errorf("%d steps on %d platforms: %+v", len(got.Steps), len(got.Platforms), got.Steps[7])
	}
}
