package lint

import (
	"cmp"
	"io/fs"
	"slices"
	"strings"

	buildkit "github.com/moby/buildkit/frontend/dockerfile/linter"

	"github.com/mabuild/mabuild/planner/exact"
)

// Options says what belongs to the plan.
type Options struct {
	// Dockerfile is the text that was planned.
	Dockerfile []byte

	// Filename is the name to give in findings. Empty means Dockerfile.
	Filename string

	// Context has the files of the build context. Nil means that they are not
	// looked at. Symbolic links are not followed if it has fs.ReadLinkFS, as
	// os.DirFS and os.Root.FS have.
	Context fs.FS

	// Ignore is the text of the ignore file. Nil means .dockerignore in Context.
	Ignore []byte
}

// Findings returns what is to be said about a plan: the plan's own findings and
// those of the rules in this package, without what comments in the Dockerfile
// suppress, by line. It changes neither the plan nor the options.
//
// If the Dockerfile is not the one that was planned, the plan's own findings are all
// there is.
func Findings(plan *exact.Result, opts Options) []exact.Finding {
	if opts.Filename == "" {
		opts.Filename = "Dockerfile"
	}
	findings := slices.Clone(plan.Findings)
	src, err := parseSource(opts.Dockerfile)
	if err == nil && src.stages == len(plan.Stages) {
		l := newLinter(plan, opts, src)
		l.undeclared()
		l.caches()
		l.urls()
		l.binaries()
		l.goarm()
		l.targets()
		l.checksums()
		l.unknownIgnores()
		findings = slices.DeleteFunc(findings, l.isReplaced)
		findings = src.unsuppressed(append(findings, l.findings...))
	}
	return tidy(findings)
}

// tidy sorts findings and joins those that differ in platforms only.
func tidy(findings []exact.Finding) []exact.Finding {
	type key struct {
		rule, message string
		line          int
	}
	at := make(map[key]int)
	var joined []exact.Finding
	for _, f := range findings {
		k := key{f.Rule, f.Message, f.Line}
		i, ok := at[k]
		if !ok {
			at[k] = len(joined)
			f.Platforms = slices.Clone(f.Platforms)
			joined = append(joined, f)
			continue
		}
		for _, platform := range f.Platforms {
			joined[i].Platforms = addName(joined[i].Platforms, platform)
		}
	}
	slices.SortStableFunc(joined, func(a, b exact.Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule))
	})
	return joined
}

func addName(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

// linter applies the rules to one plan.
type linter struct {
	plan     *exact.Result
	opts     Options
	src      *source
	jobs     []job
	runs     []*run                // by line
	files    map[int][]*exact.Step // COPY and ADD by line
	stages   []stage
	mixed    map[int]bool // stages that name several architectures
	replaced []replaced
	findings []exact.Finding
}

// replaced is what BuildKit says of variables that a finding of ours says more
// about.
type replaced struct {
	at    *instruction
	names []string
}

// isReplaced reports whether a finding of BuildKit's is to be dropped.
func (l *linter) isReplaced(f exact.Finding) bool {
	if f.Rule != buildkit.RuleUndefinedVar.Name {
		return false
	}
	return slices.ContainsFunc(l.replaced, func(r replaced) bool {
		return r.at.start == f.Line && slices.ContainsFunc(r.names, func(name string) bool {
			return strings.Contains(f.Message, "'$"+name+"'")
		})
	})
}

func newLinter(plan *exact.Result, opts Options, src *source) *linter {
	l := &linter{plan: plan, opts: opts, src: src, mixed: make(map[int]bool)}
	for _, name := range plan.Platforms {
		l.jobs = append(l.jobs, newJob(name, plan.BuildPlatform))
	}
	l.stages = stagesOf(plan, l.jobs)
	l.runs, l.files = l.collectRuns(), make(map[int][]*exact.Step)
	for i := range plan.Steps {
		s := &plan.Steps[i]
		for _, place := range append([]exact.Place{s.Place}, s.Also...) {
			if s.Kind == "file" && (s.Instruction == "ADD" || s.Instruction == "COPY") {
				l.files[place.Line] = append(l.files[place.Line], s)
			}
		}
	}
	return l
}

// report adds a finding at one of the lines from first to last: the first that
// has the text.
func (l *linter) report(rule string, at *instruction, text string, platforms []string, message, fix string) *exact.Finding {
	l.findings = append(l.findings, exact.Finding{
		Rule: rule, Level: levelOf(rule), Platforms: l.ordered(platforms), File: l.opts.Filename,
		Line: l.src.lineOf(at, text), Stage: l.stageName(at.stage), Message: message, Fix: fix,
	})
	return &l.findings[len(l.findings)-1]
}

func (l *linter) stageName(i int) string {
	if i < 0 || i >= len(l.plan.Stages) {
		return ""
	}
	return l.plan.Stages[i].Name
}

// ordered sorts platforms as the plan does, each once.
func (l *linter) ordered(names []string) []string {
	var ordered []string
	for _, name := range l.plan.Platforms {
		if slices.Contains(names, name) {
			ordered = append(ordered, name)
		}
	}
	return ordered
}
