package buildkit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
)

func TestTail(t *testing.T) {
	var many, last []string
	for i := range 50 {
		many = append(many, fmt.Sprintf("line %d\n", i))
		if i >= 30 {
			last = append(last, fmt.Sprintf("line %d", i))
		}
	}
	long := strings.Repeat("x", maxLogLine)
	for name, test := range map[string]struct{ writes, want []string }{
		"nothing":              {nil, nil},
		"empty write":          {[]string{""}, nil},
		"line":                 {[]string{"a\n"}, []string{"a"}},
		"unfinished line":      {[]string{"a\nb"}, []string{"a", "b"}},
		"line in parts":        {[]string{"a", "b", "\n", "c"}, []string{"ab", "c"}},
		"several lines":        {[]string{"a\nb\n", "c\n"}, []string{"a", "b", "c"}},
		"empty lines":          {[]string{"\n\na\n"}, []string{"", "", "a"}},
		"carriage returns":     {[]string{"a\r\n", "50%\r100%\r\n"}, []string{"a", "50%\r100%"}},
		"last lines of many":   {many, last},
		"at once":              {[]string{strings.Join(many, "")}, last},
		"long line":            {[]string{long, "y", "y\nz\n"}, []string{long, "z"}},
		"long line at once":    {[]string{long + "yy\nz\n"}, []string{long, "z"}},
		"unfinished long line": {[]string{long + "yy"}, []string{long}},
	} {
		t.Run(name, func(t *testing.T) {
			var kept tail
			for _, data := range test.writes {
				kept.write([]byte(data))
			}
			if diff := cmp.Diff(test.want, kept.all()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.want, kept.all()); diff != "" {
				t.Errorf("asked again (-want +got):\n%s", diff)
			}
		})
	}
	if got := (*tail)(nil).all(); got != nil {
		t.Errorf("nothing was written and %q is kept", got)
	}
}

// FuzzTail compares with keeping everything.
func FuzzTail(f *testing.F) {
	f.Add([]byte("a\nb\r\nc"), 2)
	f.Add([]byte(strings.Repeat("x\n", 30)), 7)
	f.Add([]byte(strings.Repeat("x", maxLogLine+10)), 1000)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		if size < 1 {
			size = 1
		}
		var kept tail
		for rest := data; len(rest) > 0; {
			n := min(size, len(rest))
			kept.write(rest[:n])
			rest = rest[n:]
			if len(kept.lines) > logLines || len(kept.partial) > maxLogLine {
				t.Fatalf("%d lines and %d bytes are kept", len(kept.lines), len(kept.partial))
			}
		}
		var want []string
		if len(data) > 0 {
			want = strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
		}
		want = want[max(0, len(want)-logLines):]
		for i, line := range want {
			want[i] = strings.TrimRight(line[:min(len(line), maxLogLine)], "\r")
		}
		if diff := cmp.Diff(append([]string{}, want...), append([]string{}, kept.all()...)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestStepsForgetWhatSucceeded(t *testing.T) {
	s := newSteps()
	good, bad, canceled := digest.FromString("good"), digest.FromString("bad"), digest.FromString("canceled")
	now := time.Unix(1, 0)
	s.observe(&client.SolveStatus{Logs: []*client.VertexLog{
		{Vertex: good, Data: []byte("well\n")}, {Vertex: bad, Data: []byte("oh\n")}, {Vertex: canceled, Data: []byte("hm\n")},
	}})
	s.observe(&client.SolveStatus{Vertexes: []*client.Vertex{
		{Digest: good, Name: "good", Completed: &now},
		{Digest: bad, Name: "bad", Completed: &now, Error: "exit code: 1"},
		{Digest: canceled, Name: "canceled", Completed: &now, Error: "rpc error: context canceled"},
	}})
	if s.failed != bad {
		t.Errorf("%s failed", s.names[s.failed])
	}
	if got := s.logs[good].all(); got != nil {
		t.Errorf("output of a good step is kept: %q", got)
	}
	if diff := cmp.Diff([]string{"oh"}, s.logs[bad].all()); diff != "" {
		t.Errorf("output of the failed step (-want +got):\n%s", diff)
	}
}
