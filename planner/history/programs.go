package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner/exact"
)

// Program is what QEMU ran in a command.
type Program struct {
	Name string // without its directory
	// Time is what it took of processors, from samples.
	Time time.Duration
	// Share is its part of the command's processor time, from 0 to 1.
	Share float64
}

// Bounds of what is kept of programs. Their names come from inside the container.
const (
	maxPrograms    = 3
	maxProgramName = 64
)

// lineProgram is the form of a program in a file.
type lineProgram struct {
	Name         string `json:"name"`
	Milliseconds int64  `json:"ms"`
	Percent      int    `json:"percent,omitempty"`
}

// linePrograms takes the programs that took most time. What a container calls its
// programs costs no record: names are made to fit.
func linePrograms(programs []Program) []lineProgram {
	var lines []lineProgram
	for _, p := range programs {
		l := lineProgram{Name: programName(p.Name), Milliseconds: min(p.Time, maxDuration).Milliseconds(), Percent: percent(p.Share)}
		if l.Name != "" && l.Milliseconds > 0 {
			lines = append(lines, l)
		}
	}
	slices.SortStableFunc(lines, func(a, b lineProgram) int { return cmp.Compare(b.Milliseconds, a.Milliseconds) })
	return lines[:min(len(lines), maxPrograms)]
}

// programName makes a name short and printable. It changes nothing of what it returned.
func programName(name string) string {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(name, "?"))
	for len(name) > maxProgramName {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return strings.TrimSpace(name)
}

func percent(share float64) int {
	if share > 0 { // which NaN is not
		return int(100*min(share, 1) + 0.5)
	}
	return 0
}

func (p lineProgram) check() error {
	switch {
	case p.Name == "" || p.Name != programName(p.Name):
		return fmt.Errorf("the program %q has no name, or an odd one", p.Name)
	case p.Milliseconds < 0 || p.Milliseconds > maxDuration.Milliseconds() || p.Percent < 0 || p.Percent > 100:
		return fmt.Errorf("the program %s took %d ms, %d percent", p.Name, p.Milliseconds, p.Percent)
	}
	return nil
}

func programsOf(lines []lineProgram) []Program {
	var programs []Program
	for _, l := range lines {
		programs = append(programs, Program{
			Name: l.Name, Time: time.Duration(l.Milliseconds) * time.Millisecond, Share: float64(l.Percent) / 100,
		})
	}
	return programs
}

// addPrograms tells what QEMU ran in a step when it was last emulated. Where a time can
// be scaled, this cannot: another platform may have other programs.
func (f *Forecast) addPrograms(p *Past, step exact.Step, builder string) {
	if step.State != exact.StateEmulated {
		return
	}
	emulated := func(s sample) bool { return s.emulated && s.platform == step.ExecPlatform }
	last, ok := newestThat(p.exact[step.ID], builder, emulated)
	if !ok {
		last, _ = newestThat(p.similar[instruction{step.Stage, instructionOf(step)}], builder, emulated)
	}
	if len(last.programs) == 0 {
		return
	}
	if f.Programs == nil {
		f.Programs = make(map[digest.Digest][]Program)
	}
	f.Programs[step.ID] = last.programs
}

// newestThat returns the last sample that fits, of the builder if it has one.
func newestThat(all []sample, builder string, fits func(sample) bool) (found sample, ok bool) {
	for _, s := range slices.Backward(all) {
		switch {
		case !fits(s):
		case s.builder == builder:
			return s, true
		case !ok:
			found, ok = s, true
		}
	}
	return found, ok
}
