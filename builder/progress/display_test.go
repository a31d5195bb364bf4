package progress_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/builder/progress"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestParseMode(t *testing.T) {
	for text, want := range map[string]progress.Mode{
		"": progress.Auto, "auto": progress.Auto, "tty": progress.TTY, "plain": progress.Plain,
		"json": progress.JSON, "rawjson": progress.JSON, "quiet": progress.Quiet, "none": progress.Quiet,
	} {
		if got, err := progress.ParseMode(text); got != want || err != nil {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"fancy", "TTY", " plain", "plain,json"} {
		got, err := progress.ParseMode(text)
		if err == nil || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), "use auto, tty, plain, json or quiet") {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
}

func TestPrefix(t *testing.T) {
	for name, want := range map[string]string{
		"[build 2/3] RUN make":          "[linux/arm64 build 2/3] RUN make",
		"[2/3] RUN make":                "[linux/arm64 2/3] RUN make",
		"exporting to image":            "[linux/arm64] exporting to image",
		"":                              "[linux/arm64] ",
		"[":                             "[linux/arm64 ",
		"[internal] load build context": "[internal] load build context",
		"[internals 1/2] FROM debian":   "[linux/arm64 internals 1/2] FROM debian",
		"[auth] library/debian:pull token for me": "[auth] library/debian:pull token for me",
	} {
		if got := progress.Prefix("linux/arm64", name); got != want {
			t.Errorf("%q is shown as %q, want %q", name, got, want)
		}
	}
}

func second(n float64) *time.Time {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(n * float64(time.Second)))
	return &at
}

// started and completed are what BuildKit tells of a step.
func started(name string, at float64) *client.SolveStatus {
	return &client.SolveStatus{Vertexes: []*client.Vertex{{Digest: digest.FromString(name), Name: name, Started: second(at)}}}
}

func completed(name string, from, to float64, failure string) *client.SolveStatus {
	return &client.SolveStatus{Vertexes: []*client.Vertex{{
		Digest: digest.FromString(name), Name: name, Started: second(from), Completed: second(to), Error: failure,
	}}}
}

func logged(name string, at float64, text string) *client.SolveStatus {
	return &client.SolveStatus{Logs: []*client.VertexLog{{Vertex: digest.FromString(name), Timestamp: *second(at), Data: []byte(text)}}}
}

// shown returns what a display in that mode writes.
func shown(t *testing.T, mode progress.Mode, report func(*progress.Display)) string {
	t.Helper()
	t.Setenv("TTY_DISPLAY_RATE", "3600000") // in milliseconds: when it is drawn does not hang on the machine
	var out bytes.Buffer
	display, err := progress.New(&out, mode)
	if err != nil {
		t.Fatal(err)
	}
	report(display)
	if err := display.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// with reports statuses of a job, whose name becomes the steps' prefix.
func with(display *progress.Display, job string, statuses ...*client.SolveStatus) {
	for _, status := range statuses {
		display.Report(job, status, func(step string) string { return progress.Prefix(job, step) })
	}
}

const compile = "[build 2/2] RUN make"

// Two jobs, of which one fails: names with platforms, a shared step, no doubled
// logs, one error, and not the error's output once more at the end.
func TestPlainGolden(t *testing.T) {
	got := shown(t, progress.Plain, func(d *progress.Display) {
		shared := []*client.SolveStatus{
			started("[internal] load build context", 0), completed("[internal] load build context", 0, 0.5, ""),
		}
		with(d, "linux/amd64", shared...)
		with(d, "linux/arm64", shared...)
		with(d, "linux/amd64", started(compile, 1), logged(compile, 1.25, "cc -c a.c\n"), logged(compile, 1.5, "------\n"))
		with(d, "linux/arm64", started(compile, 1), logged(compile, 1.25, "cc -c a.c\n"))
		with(d, "linux/amd64", completed(compile, 1, 2, ""))
		with(d, "linux/arm64", logged(compile, 1.5, "------\n"), completed(compile, 1, 2, ""))
		install := "[stage-1 2/3] RUN install"
		with(d, "linux/arm64", started(install, 3), logged(install, 3.5, "no such file\n"), completed(install, 3, 4, "exit code: 1"))
		with(d, "linux/amd64", started("exporting to image", 5), completed("exporting to image", 5, 5.5, "failed to solve: context canceled"))
	})
	file := filepath.Join("testdata", "plain.txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSharedStep(t *testing.T) {
	for name, test := range map[string]struct {
		report func(*progress.Display)
		want   map[string]int // how often texts are shown
	}{
		"both at once": {
			func(d *progress.Display) {
				for _, status := range []*client.SolveStatus{started(compile, 1), logged(compile, 2, "compiling\n"), completed(compile, 1, 3, "")} {
					with(d, "linux/amd64", status)
					with(d, "linux/arm64", status)
				}
			},
			map[string]int{"[linux/amd64 build 2/2]": 1, "[linux/arm64 build 2/2]": 0, "compiling": 1, "DONE 2.0s": 1},
		},
		"first job ends early": {
			func(d *progress.Display) {
				with(d, "linux/amd64", started(compile, 1), logged(compile, 2, "compiling a\n"))
				with(d, "linux/arm64", started(compile, 1), logged(compile, 2, "compiling a\n"))
				with(d, "linux/amd64", completed(compile, 1, 3, "context canceled"))
				d.End("linux/amd64")
				with(d, "linux/arm64", logged(compile, 4, "compiling b\n"), completed(compile, 1, 5, ""))
			},
			map[string]int{"compiling a": 1, "compiling b": 1, "DONE 4.0s": 1, "ERROR": 0},
		},
		"a third job comes after the first": { // it is told everything again
			func(d *progress.Display) {
				past := []*client.SolveStatus{
					started(compile, 1), logged(compile, 2, "compiling\n"), completed(compile, 1, 3, ""),
					{Statuses: []*client.VertexStatus{{ID: "extracting", Vertex: digest.FromString(compile), Timestamp: *second(2), Started: second(1), Completed: second(2)}}},
					{Warnings: []*client.VertexWarning{{Vertex: digest.FromString(compile), Short: []byte("beware")}}},
				}
				with(d, "linux/amd64", past...)
				d.End("linux/amd64")
				with(d, "linux/s390x", past...)
				with(d, "linux/s390x", completed("exporting", 4, 5, ""))
			},
			map[string]int{"compiling": 1, "DONE 2.0s": 1, "[linux/s390x build 2/2]": 0, "extracting": 1, "[linux/s390x] exporting": 1},
		},
		"it runs again for another job": {
			func(d *progress.Display) {
				with(d, "linux/amd64", started(compile, 1), logged(compile, 2, "compiling\n"), completed(compile, 1, 3, ""))
				d.End("linux/amd64")
				with(d, "linux/arm64", started(compile, 11), logged(compile, 12, "compiling\n"), completed(compile, 11, 13, ""))
			},
			map[string]int{"compiling": 2},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := shown(t, progress.Plain, test.report)
			for text, want := range test.want {
				if n := strings.Count(got, text); n != want {
					t.Errorf("%q is shown %d times, want %d", text, n, want)
				}
			}
			if t.Failed() {
				t.Log(got)
			}
		})
	}
}

// Case 91: of the jobs that fail, the first one's error is shown.
func TestSecondFailureIsShownAsCanceled(t *testing.T) {
	got := shown(t, progress.Plain, func(d *progress.Display) {
		with(d, "linux/amd64", started("a", 1), completed("a", 1, 2, "exit code: 1"))
		with(d, "linux/arm64", started("b", 1), completed("b", 1, 2, "exit code: 2"))
		with(d, "linux/amd64", started("c", 1), completed("c", 1, 2, "exit code: 3"))
		if d.ShowsOutputOf("linux/amd64") {
			t.Error("plain mode is said to show the output at the end")
		}
	})
	for text, want := range map[string]int{"ERROR: exit code: 1": 1, "exit code: 2": 0, "CANCELED": 1, "ERROR: exit code: 3": 1} {
		if n := strings.Count(got, text); n != want {
			t.Errorf("%q is shown %d times, want %d:\n%s", text, n, want, got)
		}
	}
}

func TestJSON(t *testing.T) {
	got := shown(t, progress.JSON, func(d *progress.Display) {
		with(d, "linux/amd64", started(compile, 1), logged(compile, 2, "compiling\n"), completed(compile, 1, 3, ""))
		with(d, "linux/arm64", started(compile, 1)) // nothing new, so nothing at all
	})
	var names []string
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	for _, line := range lines {
		var status client.SolveStatus
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&status); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		for _, v := range status.Vertexes {
			names = append(names, v.Name)
		}
	}
	if len(lines) != 3 {
		t.Errorf("%d lines:\n%s", len(lines), got)
	}
	if diff := cmp.Diff([]string{"[linux/amd64 build 2/2] RUN make", "[linux/amd64 build 2/2] RUN make"}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestQuiet(t *testing.T) {
	got := shown(t, progress.Quiet, func(d *progress.Display) {
		with(d, "linux/amd64", started(compile, 1), completed(compile, 1, 3, "exit code: 1"))
	})
	if got != "" {
		t.Errorf("it says %q", got)
	}
}

// Jobs report at the same time, one of them when all is over, and two close.
func TestClose(t *testing.T) {
	var out bytes.Buffer
	display, err := progress.New(&out, progress.Auto)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for _, job := range []string{"linux/amd64", "linux/arm64", "linux/s390x"} {
		group.Go(func() {
			for n := range 50 {
				with(display, job, started(compile, 1), logged(compile, float64(2+n), "compiling\n"))
			}
			display.End(job)
		})
	}
	group.Wait()
	for range 2 {
		group.Go(func() {
			if err := display.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	before := out.Len()
	with(display, "linux/amd64", started("too late", 9))
	display.End("linux/amd64")
	if err := display.Close(); err != nil {
		t.Error(err)
	}
	if out.Len() != before || before == 0 {
		t.Errorf("%d bytes before the last report, %d after it", before, out.Len())
	}
}

func TestNewFails(t *testing.T) {
	for mode, want := range map[progress.Mode]string{
		"fancy":      "invalid progress mode fancy",
		progress.TTY: "use auto or plain",
	} {
		if _, err := progress.New(&bytes.Buffer{}, mode); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", mode, err, want)
		}
	}
}

// A writer that fails, as a closed pipe does, holds nothing up.
func TestBrokenWriter(t *testing.T) {
	for _, mode := range []progress.Mode{progress.Plain, progress.JSON} {
		display, err := progress.New(broken{}, mode)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			with(display, "linux/amd64", started(compile, 1), completed(compile, 1, 2, "exit code: 1"))
		}
		if err := display.Close(); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }
