package report_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/report"
)

// worked is a step that worked from and to seconds after the start, pair by pair.
func worked(id string, needs []string, times ...int) report.Step {
	s := report.Step{ID: id, Name: id, Inputs: needs, Platforms: []string{"linux/amd64"}}
	for i := 0; i+1 < len(times); i += 2 {
		s.Intervals = append(s.Intervals, report.Interval{Started: start.Add(time.Duration(times[i]) * time.Second), Completed: start.Add(time.Duration(times[i+1]) * time.Second)})
	}
	return s
}

func cached(s report.Step) report.Step { s.Cached = true; return s }

func failing(s report.Step) report.Step { s.Error = "exit code: 1"; return s }
func stopped(s report.Step) report.Step { s.Canceled = true; return s }

func TestCriticalPath(t *testing.T) {
	for name, test := range map[string]struct {
		steps      []report.Step
		want       []string
		work, wait int // seconds
	}{
		"nothing": {},
		"one":     {[]report.Step{worked("a", nil, 1, 4)}, []string{"a"}, 3, 1},
		"the longer side": {
			[]report.Step{worked("a", nil, 0, 1), worked("b", []string{"a"}, 1, 3), worked("c", []string{"a"}, 1, 7), worked("d", []string{"b", "c"}, 8, 9)},
			[]string{"a", "c", "d"},
			8, 1,
		},
		"through the cache": {
			[]report.Step{worked("a", nil, 0, 2), cached(worked("b", []string{"a"}, 2, 2)), worked("c", []string{"b"}, 3, 5)},
			[]string{"a", "c"},
			4, 1,
		},
		"all cached":        {[]report.Step{cached(worked("a", nil, 0, 0)), cached(worked("b", []string{"a"}, 0, 0))}, nil, 0, 0},
		"never began":       {[]report.Step{worked("a", nil, 0, 2), worked("b", []string{"a"})}, []string{"a"}, 2, 0},
		"tried again":       {[]report.Step{worked("a", nil, 0, 2, 4, 7)}, []string{"a"}, 5, 2},
		"intervals overlap": {[]report.Step{worked("a", nil, 0, 3, 1, 2, 2, 5)}, []string{"a"}, 5, 0},
		"an input goes on":  {[]report.Step{worked("a", nil, 0, 4), worked("b", []string{"a"}, 2, 7)}, []string{"a", "b"}, 7, 0},
		"a circle":          {[]report.Step{worked("a", []string{"b"}, 0, 2), worked("b", []string{"a"}, 2, 3)}, []string{"a", "b"}, 3, 0},
		"its own input":     {[]report.Step{worked("a", []string{"a", "none"}, 0, 2)}, []string{"a"}, 2, 0},
		"two ended at once": {[]report.Step{worked("a", nil, 1, 2), worked("b", nil, 0, 2), worked("c", []string{"a", "b"}, 2, 3)}, []string{"b", "c"}, 3, 0},
		"stopped for another": {
			[]report.Step{worked("a", nil, 0, 1), failing(worked("b", []string{"a"}, 1, 3)), stopped(worked("c", []string{"a"}, 1, 4))},
			[]string{"a", "b"},
			3, 0,
		},
		"stopped by the user": {[]report.Step{worked("a", nil, 0, 1), stopped(worked("c", []string{"a"}, 1, 4))}, []string{"a", "c"}, 4, 0},
		"twice the same one":  {[]report.Step{worked("a", nil, 0, 1), worked("b", nil, 0, 1)}, []string{"a"}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := &report.Build{Started: start, Completed: start.Add(time.Minute), Steps: test.steps}
			want := report.Path{Steps: test.want, Work: time.Duration(test.work) * time.Second, Wait: time.Duration(test.wait) * time.Second}
			if diff := cmp.Diff(want, b.CriticalPath()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestCriticalPathOf(t *testing.T) {
	b := service(false)
	for _, p := range b.Platforms {
		path := b.CriticalPathOf(p.Name)
		last := path.Steps[len(path.Steps)-1]
		for _, s := range b.Steps {
			if s.ID == last && (s.Name != "exporting to image" || s.Platforms[0] != p.Name) {
				t.Errorf("the path of %s ends with %+v", p.Name, s)
			}
		}
		if path.Work+path.Wait > p.Completed.Sub(p.Started) {
			t.Errorf("the path of %s takes %s and %s of %s", p.Name, path.Work, path.Wait, p.Completed.Sub(p.Started))
		}
	}
	if path := large().CriticalPath(); path.Work+path.Wait > large().Duration() {
		t.Errorf("a path of %s and %s in a build of %s", path.Work, path.Wait, large().Duration())
	}
}
