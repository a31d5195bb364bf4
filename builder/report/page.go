package report

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"
)

// page is what the template writes.
type page struct {
	Policy string
	Style  template.CSS
	Script template.JS
	Data   template.JS

	Title, Status string
	Failed        bool
	Facts         []fact
	Details       []fact // of where and what
	Error         string
	Failures      []failure
	Platforms     []platformRow
	Mix           []segment // of all platforms
	Path          []pathRow
	PathWork      string
	PathWait      string
	PathRest      int // steps that are too short to be in Path
	PathRestTime  string
	Slowest       []stepRow
	Sizes         *sizes // nil if no size is known
	Findings      []findingRow
}

type fact struct{ Name, Value, Hint, Class string }

// segment is a part of a bar, in per cent of it.
type segment struct{ X, Width, Class, Title string }

type failure struct {
	stepRow
	Error, Log string
	Omitted    int
}

type platformRow struct {
	Name, Status, Class string
	Took, Size, Digest  string
	FullDigest, Error   string
	Counts              string
	Mix                 []segment
}

type stepRow struct {
	Index                  int
	Name, Command          string
	Stage, Line, Platforms string
	Class, Kind, Took      string
	Critical               bool
	Bar                    string // per cent
}

type pathRow struct {
	stepRow
	Share, Wait string
}

type findingRow struct {
	Finding
	Place, Where string
}

func newPage(b *Build, opts Options) *page {
	p := &page{Title: title(b), Status: "Succeeded", Error: strings.TrimSpace(visible(b.Error))}
	if b.Error != "" {
		p.Status, p.Failed = "Failed", true
	}
	index := make(map[string]int, len(b.Steps))
	for i := range b.Steps {
		index[b.Steps[i].ID] = i
	}
	path := b.CriticalPath()
	times := timesOf(b, func(*Step) bool { return true })
	p.facts(b, times, path)
	p.details(b)
	p.failures(b, opts)
	for i := range b.Platforms {
		p.Platforms = append(p.Platforms, newPlatformRow(b, &b.Platforms[i]))
	}
	p.path(b, path, index)
	p.slowest(b, path, opts.Slowest)
	p.Sizes = newSizes(b)
	for _, f := range b.Findings {
		f.Rule, f.Message, f.Fix = visible(f.Rule), visible(f.Message), visible(f.Fix)
		row := findingRow{Finding: f, Where: strings.Join(visibleAll(f.Platforms), ", ")}
		if !slices.Contains([]string{"error", "warning", "note"}, f.Level) {
			row.Level = "note"
		}
		if f.Line > 0 {
			row.Place = "L" + strconv.Itoa(f.Line)
		}
		p.Findings = append(p.Findings, row)
	}
	return p
}

func title(b *Build) string {
	what := "Build"
	switch {
	case len(b.Names) > 0:
		what = strings.Join(visibleAll(b.Names), ", ")
	case b.File != "":
		// The folder and the name say enough; the rest is below.
		parts := strings.FieldsFunc(visible(b.File), func(c rune) bool { return c == '/' || c == '\\' })
		what = strings.Join(parts[max(len(parts)-2, 0):], "/")
	}
	return cut(what, 160)
}

func visibleAll(list []string) []string {
	shown := make([]string, len(list))
	for i, text := range list {
		shown[i] = visible(text)
	}
	return shown
}

// times are how long steps took, by class. Failed and cancelled ones count as what
// they were.
type times map[string]time.Duration

func timesOf(b *Build, counts func(*Step) bool) times {
	t := make(times)
	for i := range b.Steps {
		if s := &b.Steps[i]; counts(s) {
			t[s.work()] += s.Duration()
		}
	}
	return t
}

var mixOrder = []string{string(Native), string(Assisted), string(Emulated), "files"}

func (t times) total() time.Duration {
	var sum time.Duration
	for _, d := range t {
		sum += d
	}
	return sum
}

// mix is a bar of what kinds of work took how long.
func (t times) mix() []segment {
	total := t.total()
	var bar []segment
	x := 0.0
	for _, class := range mixOrder {
		if t[class] <= 0 {
			continue
		}
		width := 100 * float64(t[class]) / float64(total)
		bar = append(bar, segment{number(x), number(width), class, fmt.Sprintf("%s: %s (%s)", class, FormatDuration(t[class]), percent(t[class], total))})
		x += width
	}
	return bar
}

func number(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) }

// facts are the numbers on top.
func (p *page) facts(b *Build, t times, path Path) {
	ran, cached := 0, 0
	for i := range b.Steps {
		switch s := &b.Steps[i]; {
		case s.Cached:
			cached++
		case len(s.Intervals) > 0:
			ran++
		}
	}
	commands := t[string(Native)] + t[string(Assisted)] + t[string(Emulated)]
	p.Facts = []fact{
		{"Duration", FormatDuration(b.Duration()), Amount(ran, "step") + " worked", ""},
		{"Platforms", strconv.Itoa(len(b.Platforms)), outcome(b), ""},
		{"From the cache", percent(time.Duration(cached), time.Duration(ran+cached)), Amount(cached, "step"), "cached"},
	}
	if ran+cached == 0 {
		p.Facts = p.Facts[:2]
	}
	for _, state := range []State{Native, Assisted, Emulated} {
		if d := t[string(state)]; d > 0 {
			name := strings.ToUpper(string(state[:1])) + string(state[1:])
			p.Facts = append(p.Facts, fact{name, FormatDuration(d), percent(d, commands) + " of commands", string(state)})
		}
	}
	if len(path.Steps) > 0 {
		p.Facts = append(p.Facts, fact{"Critical path", FormatDuration(path.Work), Amount(len(path.Steps), "step") + ", " + FormatDuration(path.Wait) + " waiting", "critical"})
	}
	p.Mix = t.mix()
}

// outcome counts the platforms that did not succeed.
func outcome(b *Build) string {
	failed, rest := 0, 0
	for i := range b.Platforms {
		switch p := &b.Platforms[i]; {
		case p.Error != "":
			failed++
		case p.Canceled || p.Started.IsZero():
			rest++
		}
	}
	switch {
	case failed == 0 && rest == 0:
		return "all built"
	case rest == 0:
		return fmt.Sprintf("%d failed", failed)
	}
	return fmt.Sprintf("%d failed, %d stopped", failed, rest)
}

func (p *page) details(b *Build) {
	add := func(name, value string) {
		if value != "" {
			p.Details = append(p.Details, fact{Name: name, Value: visible(value)})
		}
	}
	add("Dockerfile", b.File)
	add("Context", b.Context)
	add("Target", b.Target)
	add("Builder", b.Builder)
	if !b.Started.IsZero() {
		add("Started", b.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	add("Digest", b.Digest)
	add("Build", b.ID)
	add("mabuild", b.Mabuild)
}

// failures are the failed steps with their output.
func (p *page) failures(b *Build, opts Options) {
	logs := chooseLogs(b, opts.MaxLog)
	for i := range b.Steps {
		if s := &b.Steps[i]; s.Error != "" {
			p.Failures = append(p.Failures, failure{newStepRow(i, s), visible(s.Error), logs[i].text, logs[i].omitted})
		}
	}
}

func newPlatformRow(b *Build, platform *Platform) platformRow {
	row := platformRow{
		Name: visible(platform.Name), Status: "done", Class: "ok", FullDigest: visible(platform.Digest), Digest: shortDigest(platform.Digest), Error: visible(platform.Error),
	}
	switch {
	case platform.Error != "":
		row.Status, row.Class = "failed", "failed"
	case platform.Started.IsZero():
		row.Status, row.Class = "not built", "canceled"
	case platform.Canceled:
		row.Status, row.Class = "stopped", "canceled"
	}
	if !platform.Started.IsZero() {
		row.Took = FormatDuration(platform.Completed.Sub(platform.Started))
	}
	if size := platform.Size(); size > 0 {
		row.Size = FormatSize(size)
	}
	own := func(s *Step) bool { return slices.Contains(s.Platforms, platform.Name) }
	row.Mix = timesOf(b, own).mix()
	counts := make(map[string]int)
	for i := range b.Steps {
		if s := &b.Steps[i]; own(s) && (s.State != "" || s.Cached) {
			counts[s.class()]++
		}
	}
	var words []string
	for _, class := range []string{"native", "assisted", "emulated", "cached", "failed", "canceled"} {
		if counts[class] > 0 {
			words = append(words, fmt.Sprintf("%d %s", counts[class], kindOf(class)))
		}
	}
	row.Counts = strings.Join(words, ", ")
	return row
}

// kindOf is the word for a class.
func kindOf(class string) string {
	if class == "canceled" {
		return "stopped"
	}
	return class
}

func newStepRow(i int, s *Step) stepRow {
	row := stepRow{
		Index: i, Name: cut(visible(s.Name), 200), Command: cut(visible(s.Command), 500), Stage: visible(s.Stage), Class: s.class(), Kind: kindOf(s.class()), Took: FormatDuration(s.Duration()),
		Platforms: strings.Join(visibleAll(s.Platforms), ", "),
	}
	if s.Line > 0 {
		row.Line = "L" + strconv.Itoa(s.Line)
	}
	if n := len(s.Platforms); n > 2 {
		row.Platforms = visible(s.Platforms[0]) + fmt.Sprintf(" and %d more", n-1)
	}
	return row
}

func (p *page) path(b *Build, path Path, index map[string]int) {
	p.PathWork, p.PathWait = FormatDuration(path.Work), FormatDuration(path.Wait)
	until := b.Started
	least := shortest(b, path, index)
	var rest time.Duration
	for _, id := range path.Steps {
		s := &b.Steps[index[id]]
		started, completed := s.span()
		if s.Duration() < least {
			p.PathRest++
			rest += s.Duration()
			until = later(until, completed)
			continue
		}
		row := pathRow{stepRow: newStepRow(index[id], s), Share: percent(s.Duration(), b.Duration())}
		if wait := started.Sub(until); wait >= 50*time.Millisecond {
			row.Wait = FormatDuration(wait)
		}
		row.Bar = number(100 * float64(s.Duration()) / float64(max(b.Duration(), 1)))
		until = later(until, completed)
		p.Path = append(p.Path, row)
	}
	p.PathRestTime = FormatDuration(rest)
}

// pathMax is how long a critical path is written out.
const pathMax = 12

// shortest is what a step of the path must take to be written out.
func shortest(b *Build, path Path, index map[string]int) time.Duration {
	if len(path.Steps) <= pathMax {
		return 0
	}
	var took []time.Duration
	for _, id := range path.Steps {
		took = append(took, b.Steps[index[id]].Duration())
	}
	slices.Sort(took)
	return took[len(took)-pathMax]
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (p *page) slowest(b *Build, path Path, count int) {
	var order []int
	for i := range b.Steps {
		if b.Steps[i].Duration() > 0 {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(b.Steps[j].Duration(), b.Steps[i].Duration()) })
	for _, i := range order[:min(count, len(order))] {
		row := newStepRow(i, &b.Steps[i])
		row.Critical = slices.Contains(path.Steps, b.Steps[i].ID)
		row.Bar = number(100 * float64(b.Steps[i].Duration()) / float64(b.Steps[order[0]].Duration()))
		p.Slowest = append(p.Slowest, row)
	}
}
