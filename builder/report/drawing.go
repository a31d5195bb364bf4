package report

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// drawing is what the script of the page draws. Keys are short and texts are listed
// once, since most of a build's texts are the same on every platform.
type drawing struct {
	End       int64          `json:"end"` // in milliseconds from the beginning, as all times
	Texts     []string       `json:"texts"`
	Platforms []drawnJob     `json:"platforms"`
	Stages    []int          `json:"stages"` // texts, in the order of lanes
	Steps     []drawnStep    `json:"steps"`
	Classes   map[string]int `json:"classes"` // how many steps there are of each
}

type drawnJob struct {
	Name   int      `json:"n"`
	Span   [2]int64 `json:"v"`
	Failed bool     `json:"f,omitempty"`
}

// drawnStep has indexes of texts, where 0 is the empty one.
type drawnStep struct {
	Name      int        `json:"n"`
	Command   int        `json:"c,omitempty"`
	Class     string     `json:"k"`
	State     State      `json:"st,omitempty"`
	Kind      string     `json:"t,omitempty"`
	Stage     int        `json:"s"` // index of Stages
	Line      int        `json:"l,omitempty"`
	Platforms []int      `json:"p"` // indexes of Platforms
	Exec      int        `json:"x,omitempty"`
	Note      int        `json:"h,omitempty"`
	Programs  int        `json:"w,omitempty"`
	Inputs    []int      `json:"i,omitempty"` // indexes of Steps
	Intervals [][2]int64 `json:"v,omitempty"`
	Took      int64      `json:"d,omitempty"`
	Critical  bool       `json:"cr,omitempty"`
	Error     int        `json:"e,omitempty"`
	Log       int        `json:"g,omitempty"`
	Omitted   int        `json:"o,omitempty"`
}

// texts lists strings once.
type texts struct {
	list []string
	at   map[string]int
}

func (t *texts) add(text string) int {
	i, known := t.at[text]
	if !known {
		i = len(t.list)
		t.at[text] = i
		t.list = append(t.list, text)
	}
	return i
}

// beside is the lane of what belongs to no stage.
const beside = ""

func newDrawing(b *Build, opts Options) drawing {
	t := &texts{at: make(map[string]int)}
	t.add("")
	d := drawing{End: max(millis(b.Duration()), 1), Platforms: []drawnJob{}, Steps: []drawnStep{}, Classes: make(map[string]int)}
	at := func(when time.Time) int64 { return millis(when.Sub(b.Started)) }
	platforms := make(map[string]int)
	for i := range b.Platforms {
		p := &b.Platforms[i]
		platforms[p.Name] = i
		job := drawnJob{Name: t.add(visible(p.Name)), Failed: p.Error != ""}
		if !p.Started.IsZero() {
			job.Span = [2]int64{at(p.Started), at(p.Completed)}
			d.End = max(d.End, job.Span[1])
		}
		d.Platforms = append(d.Platforms, job)
	}
	stages := stagesOf(b)
	for _, stage := range stages {
		d.Stages = append(d.Stages, t.add(visible(stage)))
	}
	ids := make(map[string]int, len(b.Steps))
	for i := range b.Steps {
		ids[b.Steps[i].ID] = i
	}
	critical := b.CriticalPath().Steps
	logs := chooseLogs(b, opts.MaxLog)
	for i := range b.Steps {
		s := &b.Steps[i]
		drawn := drawnStep{
			Name: t.add(cut(visible(s.Name), 200)), Class: s.class(), Kind: visible(s.Kind), Stage: slices.Index(stages, s.Stage),
			Line: s.Line, Platforms: []int{}, Exec: t.add(visible(s.ExecPlatform)), Note: t.add(visible(s.Note)), Programs: t.add(s.EmulationText()), Took: millis(s.Duration()),
			Critical: slices.Contains(critical, s.ID), Error: t.add(visible(s.Error)), Log: t.add(logs[i].text), Omitted: logs[i].omitted,
		}
		if work := s.work(); work != "files" {
			drawn.State = State(work)
		}
		if command := cut(visible(s.Command), 8<<10); command != t.list[drawn.Name] {
			drawn.Command = t.add(command)
		}
		for _, platform := range s.Platforms {
			if p, known := platforms[platform]; known {
				drawn.Platforms = append(drawn.Platforms, p)
			}
		}
		for _, input := range s.Inputs {
			if k, known := ids[input]; known {
				drawn.Inputs = append(drawn.Inputs, k)
			}
		}
		gap := d.End / 100
		if s.Kind == "image" || s.Kind == "local" {
			gap = d.End
		}
		drawn.Intervals = join(s.Intervals, at, gap)
		for _, v := range drawn.Intervals {
			d.End = max(d.End, v[1])
		}
		d.Classes[drawn.Class]++
		d.Steps = append(d.Steps, drawn)
	}
	d.Texts = t.list
	return d
}

// join makes one bar of intervals between which there is no gap to speak of. Pulling an
// image works in many.
func join(intervals []Interval, at func(time.Time) int64, gap int64) [][2]int64 {
	var joined [][2]int64
	for _, v := range intervals {
		from := max(at(v.Started), 0) // another build may have begun what this one shared
		to := max(at(v.Completed), from)
		if n := len(joined); n > 0 && from-joined[n-1][1] <= gap {
			joined[n-1][1] = max(joined[n-1][1], to)
			continue
		}
		joined = append(joined, [2]int64{from, to})
	}
	return joined
}

func millis(d time.Duration) int64 { return d.Round(time.Millisecond).Milliseconds() }

// stagesOf lists the stages by their first line, and what belongs to none last.
func stagesOf(b *Build) []string {
	lines := make(map[string]int)
	var stages []string
	for i := range b.Steps {
		s := &b.Steps[i]
		line, known := lines[s.Stage]
		if !known {
			stages = append(stages, s.Stage)
		}
		if !known || s.Line > 0 && s.Line < line {
			lines[s.Stage] = s.Line
		}
	}
	slices.SortStableFunc(stages, func(x, y string) int {
		if (x == beside) != (y == beside) {
			return cmp.Compare(len(y), len(x))
		}
		return cmp.Compare(lines[x], lines[y])
	})
	return stages
}

// shownLog is a step's output as far as there is room for it.
type shownLog struct {
	text    string
	omitted int // lines
}

// chooseLogs shares the room for output: failed steps first, then the slowest, each
// no more than a quarter of what is left.
func chooseLogs(b *Build, room int) []shownLog {
	order := make([]int, len(b.Steps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		x, y := &b.Steps[i], &b.Steps[j]
		if failed := (x.Error != ""); failed != (y.Error != "") {
			if failed {
				return -1
			}
			return 1
		}
		return cmp.Compare(y.Duration(), x.Duration())
	})
	logs := make([]shownLog, len(b.Steps))
	for _, i := range order {
		logs[i] = fit(&b.Steps[i], room/4)
		room -= len(logs[i].text)
	}
	return logs
}

// fit returns as many of the last lines as there is room for.
func fit(s *Step, room int) shownLog {
	var lines []string
	for i := len(s.Log) - 1; i >= 0; i-- {
		line := cut(visible(s.Log[i]), 2<<10)
		if room -= len(line) + 1; room < 0 {
			break
		}
		lines = append(lines, line)
	}
	slices.Reverse(lines)
	return shownLog{text: strings.Join(lines, "\n"), omitted: s.LogOmitted + len(s.Log) - len(lines)}
}
