package exact

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"
)

// causes finds the first operations in which several ones for the same place
// differ: it follows all inputs that are not the same to where their own are.
func (x *explainer) causes(runs []*Step) []Cause {
	var causes []Cause
	seen := make(map[[2]digest.Digest]bool)
	for _, other := range runs[1:] {
		pending := [][2]*Step{{runs[0], other}}
		for len(pending) > 0 {
			pair := pending[len(pending)-1]
			pending = pending[:len(pending)-1]
			a, b := pair[0], pair[1]
			key := [2]digest.Digest{a.ID, b.ID}
			if a.ID == b.ID || seen[key] {
				continue
			}
			seen[key] = true
			next, comparable := x.differing(a, b)
			if len(next) == 0 {
				causes = addCause(causes, causeOf(a, b, comparable))
			}
			pending = append(pending, next...)
		}
	}
	for i := range causes {
		slices.SortFunc(causes[i].Differs, func(a, b Difference) int { return strings.Compare(a.Name, b.Name) })
	}
	slices.SortStableFunc(causes, func(a, b Cause) int { return a.Line - b.Line })
	return causes
}

// differing returns the inputs of two operations that are not the same, in pairs.
// They are not comparable if the inputs do not correspond.
func (x *explainer) differing(a, b *Step) (pairs [][2]*Step, comparable bool) {
	if len(a.Inputs) != len(b.Inputs) || a.Kind != b.Kind {
		return nil, false
	}
	for i, id := range a.Inputs {
		p, q := x.steps[id], x.steps[b.Inputs[i]]
		if id == b.Inputs[i] || p == nil || q == nil {
			continue
		}
		if p.Kind != q.Kind {
			return nil, false
		}
		pairs = append(pairs, [2]*Step{p, q})
	}
	return pairs, true
}

// causeOf says how two operations differ whose inputs do not, or cannot be compared.
func causeOf(a, b *Step, comparable bool) Cause {
	c := Cause{Place: a.Place, Command: a.Command}
	switch {
	case isImage(a) && isImage(b):
		c.Kind = CauseBase
		c.Differs = []Difference{{Name: "image", Values: imagesOf(a, b)}}
	case !comparable:
		c.Kind = CauseInputs
	default:
		if c.Differs = variables([]*Step{a, b}); len(c.Differs) > 0 {
			c.Kind = CauseVariable
			break
		}
		if c.Differs = mountsDiffer(a, b); len(c.Differs) > 0 {
			c.Kind = CauseMount
			break
		}
		c.Kind = CauseCommand
		p, q := a.Command, b.Command
		if len(a.Args) > 0 && !slices.Equal(a.Args, b.Args) {
			p, q = strings.Join(a.Args, " "), strings.Join(b.Args, " ")
		}
		if p != q {
			c.Differs = []Difference{{Name: "command", Values: valuesOf(a, p, b, q)}}
		}
	}
	return c
}

// isImage reports whether a step is where files for a platform come from.
func isImage(s *Step) bool { return s.Kind == "image" || s.Kind == "oci-layout" }

// imagesOf says which images are not the same.
func imagesOf(a, b *Step) map[string]string {
	if a.Command == b.Command {
		return valuesOf(a, a.ExecPlatform, b, b.ExecPlatform)
	}
	return valuesOf(a, a.Command, b, b.Command)
}

// addCause joins causes at the same place: every pair of jobs has the same one.
func addCause(causes []Cause, c Cause) []Cause {
	for i := range causes {
		if causes[i].Place == c.Place && causes[i].Kind == c.Kind {
			for _, d := range c.Differs {
				causes[i].Differs = addDifference(causes[i].Differs, d)
			}
			return causes
		}
	}
	return append(causes, c)
}

func addDifference(list []Difference, d Difference) []Difference {
	for i := range list {
		if list[i].Name == d.Name {
			maps.Copy(list[i].Values, d.Values)
			list[i].Mentioned = list[i].Mentioned || d.Mentioned
			return list
		}
	}
	return append(list, d)
}

func valuesOf(a *Step, p string, b *Step, q string) map[string]string {
	values := make(map[string]string)
	for _, platform := range a.Platforms {
		values[platform] = p
	}
	for _, platform := range b.Platforms {
		values[platform] = q
	}
	return values
}

// variables returns those that are not the same for all runs.
func variables(runs []*Step) []Difference {
	values := make(map[string]map[string]string)
	has := make(map[string]int)
	for _, s := range runs {
		for _, entry := range s.Env {
			name, value, _ := strings.Cut(entry, "=")
			if values[name] == nil {
				values[name] = make(map[string]string)
			}
			has[name]++
			for _, platform := range s.Platforms {
				values[name][platform] = value
			}
		}
	}
	var list []Difference
	for _, name := range slices.Sorted(maps.Keys(values)) {
		distinct := make(map[string]bool)
		for _, value := range values[name] {
			distinct[value] = true
		}
		if len(distinct) > 1 || has[name] < len(runs) {
			list = append(list, Difference{Name: name, Values: values[name], Variable: true, Mentioned: mentionedBy(runs, name)})
		}
	}
	return list
}

// mentionedBy reports whether a command has the name of a variable in its words.
func mentionedBy(runs []*Step, name string) bool {
	quoted := regexp.QuoteMeta(name) // BuildKit takes any name
	for _, s := range runs {
		if mentions(s.Command, quoted) || mentions(strings.Join(s.Args, " "), quoted) {
			return true
		}
	}
	return false
}

// mountsDiffer returns what --mount means differently.
func mountsDiffer(a, b *Step) []Difference {
	var list []Difference
	for i, m := range a.Mounts {
		if i >= len(b.Mounts) || m == b.Mounts[i] {
			continue
		}
		text := func(m Mount) string {
			return strings.TrimSpace(strings.Join([]string{string(m.Type), m.Target, m.ID, m.Sharing}, " "))
		}
		list = append(list, Difference{Name: "mount " + m.Target, Values: valuesOf(a, text(m), b, text(b.Mounts[i]))})
	}
	if len(a.Mounts) != len(b.Mounts) {
		list = append(list, Difference{Name: "mounts"})
	}
	return list
}
