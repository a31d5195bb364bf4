package assist

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner"
	"github.com/mabuild/mabuild/planner/exact"
)

// Edit is a Dockerfile with native tools, for one job.
type Edit struct {
	// Text is the Dockerfile to send. It has the lines of the original.
	Text []byte
	// Contexts are the named contexts to send with it, by name.
	Contexts map[string]string
	// Secrets are the files that mounts of type secret show, by id. There is nothing
	// secret about them: it is the one kind of file that a session brings.
	Secrets map[string][]byte
	// Changed is false if Text is the original.
	Changed bool
}

// edit is mounts for some lines in some jobs.
type edit struct {
	lines []int
	jobs  []string
	name  string // of the context
	flags []string
	files map[string][]byte // by the ids in the flags
}

// add remembers that a step gets a kit.
func (p *planning) add(step exact.Step, o *offer, part string) error {
	name := p.contextName(o)
	p.result.values[name] = "docker-image://" + o.pair.Native.Ref
	e := edit{jobs: step.Platforms, name: name, files: make(map[string][]byte)}
	for _, m := range o.kit.mounts(part) {
		if m.Append == "" {
			e.flags = append(e.flags, fmt.Sprintf("--mount=type=bind,from=%s,source=%s,target=%s", name, m.Source, m.Target))
			continue
		}
		content, err := o.proof.file(m.Target)
		if err != nil {
			return err
		}
		// The digest of a step has the id in it, and not the content.
		id := name + "-" + digest.FromBytes(content).Encoded()[:12]
		e.files[id] = content
		e.flags = append(e.flags, fmt.Sprintf("--mount=type=secret,id=%s,target=%s,mode=0444,required=true", id, m.Target))
	}
	for _, place := range slices.Concat([]exact.Place{step.Place}, step.Also) {
		e.lines = append(e.lines, place.Line)
	}
	p.result.edits = append(p.result.edits, e)
	return nil
}

// contextName returns a name that nothing else has.
func (p *planning) contextName(o *offer) string {
	stem := "mabuild-assist-" + o.recipe.Name()
	value := "docker-image://" + o.pair.Native.Ref
	for i := 1; ; i++ {
		name := stem
		if i > 1 {
			name = fmt.Sprintf("%s-%d", stem, i)
		}
		if known, ok := p.result.values[name]; ok && known != value || p.opts.NamedContexts[name] != "" {
			continue
		}
		if !slices.ContainsFunc(p.plan.Stages, func(s exact.Stage) bool { return strings.EqualFold(s.Name, name) }) {
			return name
		}
	}
}

// Apply returns the Dockerfile for the job of a platform, written as in
// exact.Result.Platforms. A job without assisted steps gets the original.
//
// Steps that several jobs share keep being shared: their lines are the same in
// all of these jobs, and mounts are added to emulated steps only.
func (r *Result) Apply(platform string) (Edit, error) {
	result := Edit{Text: r.text, Contexts: make(map[string]string), Secrets: make(map[string][]byte)}
	inserts := make(map[int]string)
	for _, e := range r.edits {
		if !slices.Contains(e.jobs, platform) {
			continue
		}
		for _, line := range e.lines {
			inserts[line] = strings.Join(e.flags, " ")
		}
		result.Contexts[e.name] = r.values[e.name]
		maps.Copy(result.Secrets, e.files)
	}
	if len(inserts) == 0 {
		return result, nil
	}
	text, err := insertFlags(r.text, inserts)
	if err != nil {
		return Edit{}, fmt.Errorf("adding native tools to the Dockerfile for %s: %w", platform, err)
	}
	result.Text, result.Changed = text, true
	return result, nil
}

// plainPath is what needs no quotes, neither in the flag nor in its value.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9/._+-]*$`)

// validate reports whether mounts can be written down.
func (k Kit) validate() error {
	if len(k.Mounts) == 0 || k.Prove == nil {
		return errors.New("the recipe offers nothing")
	}
	for _, m := range k.Mounts {
		for _, p := range []string{m.Source, m.Target} {
			if p == "" && m.Append != "" {
				continue
			}
			if !plainPath.MatchString(p) || strings.Contains(p, "//") || strings.HasSuffix(p, "/") {
				return fmt.Errorf("the path %q cannot be mounted", p)
			}
		}
	}
	return nil
}

var addedMount = regexp.MustCompile(`--mount=type=(?:bind,from|secret,id)=mabuild-assist-[a-z0-9-]+,\S+ ?`)

// StepName takes what Apply adds out of the name that BuildKit gives to a step,
// which is the text of the instruction.
func StepName(name string) string { return addedMount.ReplaceAllString(name, "") }

var runKeyword = regexp.MustCompile(`^[ \t]*(?i:RUN)`)

// insertFlags puts flags behind the RUN of the given lines. It makes sure that
// nothing else changes its meaning.
func insertFlags(text []byte, inserts map[int]string) ([]byte, error) {
	before, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	for _, line := range slices.Sorted(maps.Keys(inserts)) {
		if line < 1 || line > len(lines) {
			return nil, fmt.Errorf("line %d does not exist", line)
		}
		end := keywordEnd(lines[line-1], before.EscapeToken)
		if end < 0 {
			return nil, fmt.Errorf("line %d does not begin with RUN", line)
		}
		old := lines[line-1]
		lines[line-1] = slices.Concat(old[:end], []byte(" "+inserts[line]), old[end:])
	}
	edited := bytes.Join(lines, nil)
	after, err := parser.Parse(bytes.NewReader(edited))
	if err != nil {
		return nil, err
	}
	return edited, compare(before.AST.Children, after.AST.Children, inserts)
}

// keywordEnd returns where flags can be put into a line, -1 if nowhere.
func keywordEnd(line []byte, escape rune) int {
	at := runKeyword.FindIndex(line)
	if at == nil || at[1] >= len(line) {
		return -1
	}
	if next := rune(line[at[1]]); next == ' ' || next == '\t' || next == escape {
		return at[1]
	}
	return -1
}

// compare reports whether two files differ in the inserted flags only.
func compare(before, after []*parser.Node, inserts map[int]string) error {
	if len(before) != len(after) {
		return fmt.Errorf("the file would have %d instructions instead of %d", len(after), len(before))
	}
	used := 0
	for i, old := range before {
		changed := *after[i]
		if flags, ok := inserts[old.StartLine]; ok {
			added := strings.Fields(flags)
			if len(changed.Flags) < len(added) || !slices.Equal(changed.Flags[:len(added)], added) {
				return fmt.Errorf("line %d would not get its mounts", old.StartLine)
			}
			changed.Flags = changed.Flags[len(added):]
			used++
		}
		if !sameNode(old, &changed) {
			return fmt.Errorf("line %d would change its meaning", old.StartLine)
		}
	}
	if used != len(inserts) {
		return errors.New("not every line is an instruction")
	}
	return nil
}

func sameNode(a, b *parser.Node) bool {
	for ; a != nil && b != nil; a, b = a.Next, b.Next {
		if a.Value != b.Value || a.StartLine != b.StartLine || a.EndLine != b.EndLine ||
			!slices.Equal(a.Flags, b.Flags) || !maps.Equal(a.Attributes, b.Attributes) || !slices.Equal(a.Heredocs, b.Heredocs) ||
			len(a.Children) != len(b.Children) {
			return false
		}
		for i := range a.Children {
			if a.Children[i].Value != b.Children[i].Value {
				return false
			}
		}
	}
	return a == nil && b == nil
}

// file is a parsed Dockerfile.
type file struct {
	stages []instructions.Stage
	runs   map[int]*instructions.RunCommand // by line
}

// parseFile reads a Dockerfile. RUNs that flags cannot be put into are left out.
func parseFile(text []byte) (*file, error) {
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	stages, _, err := instructions.Parse(parsed.AST, linter.New(&linter.Config{SkipAll: true}))
	if err != nil {
		return nil, err
	}
	f := &file{stages: stages, runs: make(map[int]*instructions.RunCommand)}
	lines := bytes.SplitAfter(text, []byte("\n"))
	for _, stage := range stages {
		for _, command := range stage.Commands {
			run, ok := command.(*instructions.RunCommand)
			line := planner.FirstLine(command.Location())
			if ok && line >= 1 && line <= len(lines) && keywordEnd(lines[line-1], parsed.EscapeToken) >= 0 {
				f.runs[line] = run
			}
		}
	}
	return f, nil
}

func (f *file) run(line int) *instructions.RunCommand { return f.runs[line] }

// stageAt returns the number of the stage that a line belongs to, -1 for none.
func (f *file) stageAt(line int) int {
	at := -1
	for i, stage := range f.stages {
		if planner.FirstLine(stage.Location) <= line {
			at = i
		}
	}
	return at
}
