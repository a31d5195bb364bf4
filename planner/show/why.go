package show

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mabuild/mabuild/planner/exact"
)

// causesShown is how many reasons are worth reading.
const causesShown = 5

// why tells the causes of several runs.
func (s *sheet) why() {
	if len(s.e.Runs) < 2 {
		return
	}
	what := "runs"
	if s.e.Runs[0].Kind != "exec" {
		what = "steps"
	}
	fmt.Fprintf(&s.b, "\n  Why %d %s\n", len(s.e.Runs), what)
	var bases, others []exact.Cause
	own := false
	for _, c := range s.e.Causes {
		if c.Kind == exact.CauseBase {
			bases = append(bases, c)
		} else {
			others = append(others, c)
		}
		own = own || c.Line == s.e.Line && c.Kind == exact.CauseVariable
	}
	for _, c := range others[:min(len(others), causesShown)] {
		paragraph(&s.b, "    ", s.causeText(c), s.opts.Width, 4)
		s.values(c.Differs)
	}
	if more := len(others) - causesShown; more > 0 {
		fmt.Fprintf(&s.b, "    and %d more\n", more)
	}
	s.whyBases(bases)
	if own || len(s.e.Differs) == 0 {
		return
	}
	paragraph(&s.b, "    ", "Variables of the command that differ, too:", s.opts.Width, 4)
	s.values(s.e.Differs)
}

// whyBases tells of images, which are the natural cause.
func (s *sheet) whyBases(causes []exact.Cause) {
	if len(causes) == 0 {
		return
	}
	if s.e.Instruction == "FROM" {
		paragraph(&s.b, "    ", "The image is looked up for each platform.", s.opts.Width, 4)
	} else {
		paragraph(&s.b, "    ", "It builds on images for each platform:", s.opts.Width, 4)
	}
	for _, c := range causes[:min(len(causes), causesShown)] {
		text := lines(c.Place) + " " + imageName(c.Command)
		if c.Line != s.e.Line {
			text += " in stage " + c.Stage
		}
		paragraph(&s.b, "      ", text+s.imagesText(c), s.opts.Width, 8)
	}
	if more := len(causes) - causesShown; more > 0 {
		fmt.Fprintf(&s.b, "      and %d more\n", more)
	}
	if !slices.ContainsFunc(causes, different) {
		return
	}
	paragraph(&s.b, "    ", "That is natural for what executes on the target. A stage that does not need to can be "+
		"FROM --platform=$BUILDPLATFORM.", s.opts.Width, 4)
}

// different reports whether platforms get different images.
func different(c exact.Cause) bool {
	seen := make(map[string]bool)
	for _, d := range c.Differs {
		for _, value := range d.Values {
			seen[value] = true
		}
	}
	return len(seen) > 1
}

// imagesText says which images they are, if not those that were asked for.
func (s *sheet) imagesText(c exact.Cause) string {
	for _, d := range c.Differs {
		for platform, value := range d.Values {
			if platform != value {
				return ": " + s.valuesText(d)
			}
		}
	}
	return ""
}

func (s *sheet) causeText(c exact.Cause) string {
	at := lines(c.Place) + " " + firstWord(c.Command)
	if c.Line == s.e.Line {
		at = "This line"
	}
	switch c.Kind {
	case exact.CauseVariable:
		return at + " is the first to differ, in variables:"
	case exact.CauseMount:
		return at + " is the first to differ, in what it mounts:"
	case exact.CauseCommand:
		return at + " is the first to differ, since it means something else for each platform:"
	case exact.CauseInputs, exact.CauseBase:
	}
	return at + " builds on other stages for each platform."
}

func firstWord(text string) string {
	word, _, _ := strings.Cut(clean(text), " ")
	return word
}

// values lists what differs.
func (s *sheet) values(list []exact.Difference) {
	for _, d := range list {
		text := clean(d.Name) + ": " + s.valuesText(d)
		if d.Variable && !d.Mentioned {
			text += "; the command does not mention it"
		}
		paragraph(&s.b, "      ", text, s.opts.Width, 8)
	}
}

// valuesText names the platforms with the same value together.
func (s *sheet) valuesText(d exact.Difference) string {
	var order []string
	by := make(map[string][]string)
	for _, platform := range s.e.Platforms {
		value, ok := d.Values[platform]
		if !ok {
			continue
		}
		if by[value] == nil {
			order = append(order, value)
		}
		by[value] = append(by[value], short(platform))
	}
	var parts []string
	for _, value := range order {
		shown := cut(value, s.opts.Width-30, s.marks.ellipsis)
		switch {
		case shown == "":
			shown = `""`
		case strings.HasPrefix(shown, "FROM "):
			shown = imageName(value)
		}
		parts = append(parts, shown+" for "+strings.Join(by[value], " "))
	}
	return strings.Join(parts, ", ")
}
