package report

import (
	"encoding/json"
	"slices"
	"time"
)

// Path is a chain of steps, each of which waited for the one before.
type Path struct {
	Steps []string // IDs, in the order of time
	Work  time.Duration
	// Wait is the time in which none of them made progress: until the first began, and
	// between one and the next.
	Wait time.Duration
}

// MarshalJSON writes times as seconds.
func (p Path) MarshalJSON() ([]byte, error) {
	steps := p.Steps
	if steps == nil {
		steps = []string{}
	}
	return json.Marshal(struct {
		Steps []string `json:"steps"`
		Work  float64  `json:"workSeconds"`
		Wait  float64  `json:"waitSeconds"`
	}{steps, p.Work.Round(time.Millisecond).Seconds(), p.Wait.Round(time.Millisecond).Seconds()})
}

// CriticalPath is the chain that the end of the build waited for.
func (b *Build) CriticalPath() Path { return b.path(func(*Step) bool { return true }) }

// CriticalPathOf is the chain that the end of one platform waited for.
func (b *Build) CriticalPathOf(platform string) Path {
	return b.path(func(s *Step) bool { return slices.Contains(s.Platforms, platform) })
}

// path goes back from the step that ended last among those that count. What was
// stopped because another step failed ended last, but nothing waited for it.
func (b *Build) path(counts func(*Step) bool) Path {
	last := -1
	failed := slices.ContainsFunc(b.Steps, func(s Step) bool { return s.Error != "" })
	at := make(map[string]int, len(b.Steps))
	for i := range b.Steps {
		s := &b.Steps[i]
		at[s.ID] = i
		if s.Duration() > 0 && counts(s) && (!failed || !s.Canceled) && (last < 0 || b.later(i, last)) {
			last = i
		}
	}
	var path Path
	if last < 0 {
		return path
	}
	var chain []int
	seen := make([]bool, len(b.Steps))
	for i := last; i >= 0; i = b.waitedFor(i, at, seen) {
		seen[i] = true
		chain = append(chain, i)
	}
	slices.Reverse(chain)
	until := b.Started
	for _, i := range chain {
		s := &b.Steps[i]
		_, completed := s.span()
		path.Steps = append(path.Steps, s.ID)
		// Before the one before has ended, it does not matter what a step does.
		work := s.workAfter(until)
		path.Work += work
		path.Wait += max(completed.Sub(until)-work, 0)
		until = later(until, completed)
	}
	return path
}

// waitedFor is the step that worked and ended last among what a step needs, directly
// or through steps that took no time; -1 if there is none. Steps that were seen do not
// count: what BuildKit says is a graph without cycles, what a file says may not be.
func (b *Build) waitedFor(step int, at map[string]int, seen []bool) int {
	found := -1
	passed := make(map[int]bool)
	queue := []int{step}
	for len(queue) > 0 {
		s := &b.Steps[queue[0]]
		queue = queue[1:]
		for _, input := range s.Inputs {
			i, known := at[input]
			if !known || passed[i] || seen[i] {
				continue
			}
			passed[i] = true
			if b.Steps[i].Duration() == 0 {
				queue = append(queue, i)
			} else if found < 0 || b.later(i, found) {
				found = i
			}
		}
	}
	return found
}

// later reports whether step i ended after step j. Of two that ended at once, that is
// the one that took longer, or stands first.
func (b *Build) later(i, j int) bool {
	_, a := b.Steps[i].span()
	_, c := b.Steps[j].span()
	if !a.Equal(c) {
		return a.After(c)
	}
	x, y := b.Steps[i].Duration(), b.Steps[j].Duration()
	return x > y || x == y && i < j
}
