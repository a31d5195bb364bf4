package ci_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/builder/ci"
	"github.com/mabuild/mabuild/builder/progress"
)

// TestProgress writes what BuildKit reports with the display of progress, one for each
// platform, as mabuild does.
func TestProgress(t *testing.T) {
	for _, system := range systems {
		t.Run(string(system), func(t *testing.T) {
			var out bytes.Buffer
			l := ci.NewLog(&out, ci.LogOptions{System: system, Now: clock(), Secrets: []string{"hunter2"}})
			for _, platform := range []string{"linux/amd64", "linux/arm64"} {
				build(t, l, platform)
			}
			l.Annotate([]ci.Annotation{{Level: ci.Error, Message: "annotation"}})
			l.Done("linux/amd64", "note")
			fmt.Fprintln(l, "linux/amd64 is done")
			l.Fail("linux/arm64", "note")
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(expected(system, 1), commands(system, out.String())); diff != "" {
				t.Errorf("commands (-want +got):\n%s\nof the log\n%s", diff, out.String())
			}
			shown := strings.ReplaceAll(strings.ReplaceAll(out.String(), "::add-mask::hunter2\n", ""), "##vso[task.setsecret]hunter2\n", "")
			if strings.Contains(shown, "hunter2") || strings.Count(out.String(), "of the step") != 2*len(hostile) {
				t.Errorf("the log is not whole, or has the secret:\n%s", out.String())
			}
		})
	}
}

// build is a step with hostile output and a hostile name.
func build(t *testing.T, l *ci.Log, platform string) {
	t.Helper()
	display, err := progress.New(l.Platform(platform), progress.Plain)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_767_225_600, 0)
	vertex := &client.Vertex{Digest: digest.FromString(platform), Name: "[build 2/3] RUN echo ::error::x hunter2\n::error::y ##[group]##vso[a.b]##teamcity[x]", Started: &at}
	status := &client.SolveStatus{Vertexes: []*client.Vertex{vertex}}
	for _, line := range hostile {
		status.Logs = append(status.Logs, &client.VertexLog{Vertex: vertex.Digest, Timestamp: at, Data: fmt.Appendf(nil, "%s\n of the step hunter2\n", line)})
	}
	display.Report(platform, status, func(name string) string { return name })
	done := *vertex
	done.Completed = &at
	display.Report(platform, &client.SolveStatus{Vertexes: []*client.Vertex{&done}}, func(name string) string { return name })
	if err := display.Close(); err != nil {
		t.Fatal(err)
	}
}
