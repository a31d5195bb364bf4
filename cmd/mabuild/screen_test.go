package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/ci"
)

// A group in a log says how its platform ended, whatever failed on the way.
func TestScreenEnding(t *testing.T) {
	job := jobsOf(t, "linux/arm64")[0]
	began, ended := time.Unix(1, 0), time.Unix(2, 0)
	step := func(name, err string) *client.SolveStatus {
		return &client.SolveStatus{Vertexes: []*client.Vertex{{Digest: digest.FromString(name), Name: name, Started: &began, Completed: &ended, Error: err}}}
	}
	failed, done := step("[2/2] RUN make", "exit code: 2"), step("[2/2] RUN make", "")
	with := func(err error) *builder.Result {
		return &builder.Result{Jobs: []builder.JobResult{{Platform: job.Platform, Err: err}}}
	}
	broken := &builder.JobError{Platform: job.Platform, Err: errors.New("broken")}
	for name, test := range map[string]struct {
		reports []*client.SolveStatus // nil is the end
		result  *builder.Result
		err     error
		atOnce  bool // the group ends with the job, and not with the build
		want    string
	}{
		"nothing failed":            {reports: []*client.SolveStatus{done, nil}, atOnce: true, want: "done"},
		"a step that was run again": {reports: []*client.SolveStatus{failed, done, nil}, atOnce: true, want: "done"},
		"another step":              {reports: []*client.SolveStatus{failed, step("other", ""), nil}, err: errors.New("interrupted"), want: "stopped"},
		"no cache": {
			reports: []*client.SolveStatus{step("importing cache manifest from example.com/cache", "not found"), done, nil},
			atOnce:  true, want: "done",
		},
		// Exporters are other steps in every try.
		"tried again":  {reports: []*client.SolveStatus{step("first push", "HTTP 503"), nil, step("second push", ""), nil}, atOnce: true, want: "done"},
		"failed":       {reports: []*client.SolveStatus{failed, nil}, err: broken, want: "failed"},
		"missing":      {reports: []*client.SolveStatus{failed, nil}, result: with(broken), want: "failed"},
		"all the same": {reports: []*client.SolveStatus{failed, nil}, result: with(nil), want: "done"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			s := &screen{log: ci.NewLog(&out, ci.LogOptions{}), groups: make(map[string]*group)}
			for _, status := range test.reports {
				s.report(job, status)
			}
			if atOnce := len(s.groups) == 0; atOnce != test.atOnce {
				t.Errorf("ended with the job: %t, want %t", atOnce, test.atOnce)
			}
			if err := errors.Join(s.close(test.result, test.err), s.log.Close()); err != nil {
				t.Fatal(err)
			}
			if want := "==> linux/arm64 · " + test.want + ", "; strings.Count(out.String(), want) != 1 {
				t.Errorf("no %q in\n%s", want, out.String())
			}
		})
	}
}
