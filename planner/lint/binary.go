package lint

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// program is a file of the context that an instruction copies.
type program struct {
	at   *instruction
	name string
	arch string
}

// binaries finds programs of other platforms among what COPY and ADD take from the
// context.
//
// Pinned stages may handle files for whatever platform, and stages that take
// programs for several choose among them; they are left alone. So are the files in
// directories that go to other stages than the image's: compilers ignore them.
func (l *linter) binaries() {
	if l.opts.Context == nil {
		return
	}
	files := newContextFiles(l.opts)
	if files == nil {
		return
	}
	final := l.finalStages()
	foreign := newDownloads().foreign
	byStage := make(map[int][]*instruction)
	for _, in := range l.src.instructions {
		if copies(in) {
			byStage[in.stage] = append(byStage[in.stage], in)
		}
	}
	for _, stage := range slices.Sorted(maps.Keys(byStage)) {
		if l.stages[stage].windows {
			continue
		}
		for _, j := range l.jobs {
			exec, ok := l.stages[stage].exec[j.name]
			if !ok || exec != j.arch {
				continue
			}
			var found []program
			for _, in := range byStage[stage] {
				found = append(found, l.programs(in, j.name, files, final[stage], foreign)...)
			}
			l.reportPrograms(found, j)
		}
	}
}

// copies reports whether an instruction takes files from the context.
func copies(in *instruction) bool {
	switch c := in.command.(type) {
	case *instructions.CopyCommand:
		return c.From == "" && len(c.ExcludePatterns) == 0
	case *instructions.AddCommand:
		return len(c.ExcludePatterns) == 0
	}
	return false
}

// programs returns what an instruction copies for a job.
func (l *linter) programs(in *instruction, job string, files *contextFiles, tree bool, foreign *regexp.Regexp) []program {
	words := l.sourcesOf(in)
	var found []program
	for _, word := range slices.Sorted(maps.Keys(words)) {
		if !slices.Contains(words[word], job) || strings.Contains(word, "://") || strings.HasPrefix(word, "<<") {
			continue
		}
		for _, f := range files.match(word) {
			if f.inTree && (!tree || f.arch == macOS) || f.arch == macOS && foreign.MatchString(f.name) {
				continue
			}
			found = append(found, program{at: in, name: f.name, arch: f.arch})
		}
	}
	return found
}

// reportPrograms reports programs of a stage that a platform does not run, one for
// every instruction.
func (l *linter) reportPrograms(found []program, j job) {
	if len(found) == 0 || runsOn(j.arch, found[0].arch) ||
		slices.ContainsFunc(found, func(p program) bool { return p.arch != found[0].arch }) {
		return
	}
	last := (*instruction)(nil)
	for _, p := range found {
		if p.at == last {
			continue
		}
		last = p.at
		l.report(RuleHostBinary, p.at, path.Base(p.name), []string{j.name},
			fmt.Sprintf("%s in the build context is a program for %s", p.name, p.arch),
			fmt.Sprintf("compile %s in a stage, or insert ARG TARGETARCH and write COPY bin/$TARGETARCH/%s …; if the image does not need it: echo %s >>.dockerignore", path.Base(p.name), path.Base(p.name), p.name))
	}
}

// finalStages returns the stages whose files are the image's.
func (l *linter) finalStages() map[int]bool {
	target := len(l.plan.Stages) - 1
	for i, s := range l.plan.Stages {
		if l.plan.Target != "" && strings.EqualFold(s.Name, l.plan.Target) {
			target = i
		}
	}
	final := make(map[int]bool)
	pending := []int{target}
	for len(pending) > 0 {
		i := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		if i < 0 || final[i] {
			continue
		}
		final[i] = true
		for _, e := range l.plan.Stages[i].Edges {
			for k := range i {
				if e.Kind == "from" && e.Stage != "" && l.plan.Stages[k].Name == e.Stage {
					pending = append(pending, k)
				}
			}
		}
	}
	return final
}

// readHeader returns the start of a regular file.
func readHeader(fsys fs.FS, name string) []byte {
	file, err := fsys.Open(name)
	if err != nil {
		return nil
	}
	defer file.Close()
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(file, header); err != nil {
		return nil
	}
	return header
}
