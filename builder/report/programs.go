package report

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// Program is a program that QEMU ran in a command, under all paths that end in its
// name.
type Program struct {
	Name string
	// Time is what it took of processors, from samples.
	Time time.Duration
	// Share is its part of the command's processor time, from 0 to 1.
	Share float64
}

// Emulation returns the programs that took a command's processor time under QEMU, most
// first. It is empty if the builder does not tell.
func (s *Step) Emulation() []Program {
	if s.Programs == nil {
		return nil
	}
	seconds := make(map[string]float64)
	var total float64
	for _, row := range s.Programs.CPU {
		total += row.Seconds
		if row.Emulated && row.Name != "" {
			seconds[path.Base(row.Name)] += row.Seconds
		}
	}
	programs := make([]Program, 0, len(seconds))
	for name, sum := range seconds {
		programs = append(programs, Program{
			Name: visible(name), Time: time.Duration(sum * float64(time.Second)), Share: sum / max(total, sum),
		})
	}
	slices.SortFunc(programs, func(a, b Program) int {
		return cmp.Or(cmp.Compare(b.Time, a.Time), strings.Compare(a.Name, b.Name))
	})
	return programs
}

// worthTelling is the processor time that an emulated command must take before a
// build tells where it went.
const worthTelling = 5 * time.Second

// Hot returns the emulated commands that took most processor time, at most n, and none
// that were over soon.
func (b *Build) Hot(n int) []*Step {
	took := make(map[*Step]time.Duration)
	var hot []*Step
	for i := range b.Steps {
		s := &b.Steps[i]
		for _, p := range s.Emulation() {
			took[s] += p.Time
		}
		if took[s] >= worthTelling {
			hot = append(hot, s)
		}
	}
	slices.SortStableFunc(hot, func(x, y *Step) int { return cmp.Compare(took[y], took[x]) })
	return hot[:min(n, len(hot))]
}

// EmulationText says in a line where an emulated command's time went: "2m 08s in cc1
// (78 %), 9.1s in as (6 %); 66 of 75 arm64 programs ran natively". It is empty if the
// builder does not tell. Native tools that were mounted are not among the programs: they
// are for another platform.
func (s *Step) EmulationText() string {
	if s.Programs == nil {
		return ""
	}
	var shares, parts []string
	for i, p := range s.Emulation() {
		if i > 0 && (i == 3 || p.Share < 0.05) {
			break
		}
		shares = append(shares, fmt.Sprintf("%s in %s (%.0f %%)", FormatDuration(p.Time), p.Name, 100*p.Share))
	}
	if len(shares) > 0 {
		parts = append(parts, strings.Join(shares, ", "))
	}
	if hits := s.Programs.Hits; hits > 0 {
		all := hits
		for _, n := range s.Programs.Misses {
			all += n
		}
		program := strings.TrimLeft(visible(strings.TrimPrefix(s.ExecPlatform, "linux/"))+" program", " ")
		parts = append(parts, fmt.Sprintf("%d of %s ran natively", hits, Amount(all, program)))
	}
	switch v := s.Programs.Verification; {
	case v.Same():
		parts = append(parts, "the same without native tools")
	case v != nil && v.Skipped == "":
		parts = append(parts, "not the same without native tools")
	}
	return strings.Join(parts, "; ")
}

// VerificationText says in a line what came of running commands once more without
// native tools: "2 steps left the same without native tools, but for 3 paths that
// differ at any time; L7 was not compared: …". It is empty if none did.
func (b *Build) VerificationText() string {
	var same, forgotten int
	var skipped []string
	for i := range b.Steps {
		programs := b.Steps[i].Programs
		if programs == nil || programs.Verification == nil {
			continue
		}
		switch v := programs.Verification; {
		case v.Same():
			same++
			forgotten += v.Forgotten
		case v.Skipped != "":
			skipped = append(skipped, fmt.Sprintf("L%d was %s", b.Steps[i].Line, visible(v.Skipped)))
		}
	}
	var parts []string
	if same > 0 {
		text := Amount(same, "step") + " left the same without native tools"
		if forgotten > 0 {
			text += fmt.Sprintf(", but for %s that differ between any two runs", Amount(forgotten, "path"))
		}
		parts = append(parts, text)
	}
	return strings.Join(append(parts, skipped...), "; ")
}
