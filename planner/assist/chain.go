package assist

import (
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner/assist/script"
	"github.com/mabuild/mabuild/planner/exact"

	"github.com/mabuild/mabuild/planner"
)

// chain is what happened to an image before a step.
type chain struct {
	image  string // reference, as written but expanded
	stages []int  // numbers, the first one is FROM the image
	job    string // platform
	reason string // why the image cannot be known
}

// chain follows FROM from the stage of a step to an image.
func (p *planning) chain(step exact.Step, job string) chain {
	c := chain{job: job}
	for i := p.file.stageAt(step.Line); ; {
		if i < 0 || i >= len(p.plan.Stages) || slices.Contains(c.stages, i) {
			c.reason = "its stage is unknown"
			return c
		}
		c.stages = append([]int{i}, c.stages...)
		stage := p.plan.Stages[i]
		at := slices.IndexFunc(stage.Edges, func(e exact.Edge) bool {
			return e.Kind == exact.EdgeFrom && slices.Contains(e.Platforms, job)
		})
		if at < 0 {
			c.reason = fmt.Sprintf("stage %s is not built from an image", stage.Name)
			return c
		}
		edge := stage.Edges[at]
		if edge.Stage == "" {
			c.image, c.reason = p.replaced(edge.Image)
			return c
		}
		next := -1
		for k := i - 1; k >= 0 && next < 0; k-- {
			if p.plan.Stages[k].Name == edge.Stage {
				next = k
			}
		}
		i = next
	}
}

// replaced returns the image that a named context puts in the place of another.
func (p *planning) replaced(image string) (ref, reason string) {
	for name, value := range p.opts.NamedContexts {
		name, platform, found := strings.Cut(name, "::")
		if planner.FamiliarReference(name) != planner.FamiliarReference(image) {
			continue
		}
		if ref, ok := strings.CutPrefix(value, "docker-image://"); ok && !found {
			return ref, ""
		}
		return "", strings.TrimSuffix(fmt.Sprintf("the build context %s::%s takes the place of its image", name, platform), "::")
	}
	return image, ""
}

// judge asks the recipe about the step and about all that happened to its stage
// before.
func (p *planning) judge(c chain, step exact.Step, o *offer) Verdict {
	dir := o.pair.Target.Dir
	env := environment(step.Env)
	unread := false
	for n, i := range c.stages {
		for _, other := range p.triggers(i, c.job) { // ONBUILD
			v := p.ask(other, o, dir)
			unread = unread || v.Unread
			if v.Spoils {
				return Verdict{Reason: fmt.Sprintf("ONBUILD at line %d: %s", other.Line, v.Reason)}
			}
		}
		for _, command := range p.file.stages[i].Commands {
			line := planner.FirstLine(command.Location())
			last := n == len(c.stages)-1
			switch command := command.(type) {
			case *instructions.WorkdirCommand:
				dir = path.Join("/", dir, expand(command.Path, env))
				if path.IsAbs(command.Path) || strings.HasPrefix(expand(command.Path, env), "/") {
					dir = path.Clean(expand(command.Path, env))
				}
			case *instructions.CopyCommand:
				if reason := p.overwrites(command.SourcesAndDest, command.From != "", dir, env, o.kit); reason != "" {
					return Verdict{Reason: fmt.Sprintf("line %d %s", line, reason)}
				}
			case *instructions.AddCommand:
				if reason := p.overwrites(command.SourcesAndDest, true, dir, env, o.kit); reason != "" {
					return Verdict{Reason: fmt.Sprintf("line %d %s", line, reason)}
				}
			case *instructions.RunCommand:
				if last && line == p.lineIn(step, i) {
					v := p.ask(step, o, dir)
					if unread {
						v.Parts = nil
					}
					return v
				}
				if other := p.stepAt(line, c.job); other != nil {
					v := p.ask(*other, o, dir)
					unread = unread || v.Unread
					if v.Spoils {
						return Verdict{Reason: fmt.Sprintf("line %d: %s", line, v.Reason)}
					}
				}
			}
			if last && line >= p.lineIn(step, i) {
				break
			}
		}
	}
	return Verdict{Reason: "its place in the file is unknown"}
}

// lineIn is the line of a step in a stage.
func (p *planning) lineIn(step exact.Step, stage int) int {
	for _, place := range slices.Concat([]exact.Place{step.Place}, step.Also) {
		if p.file.stageAt(place.Line) == stage {
			return place.Line
		}
	}
	return step.Line
}

// ask lets the recipe judge one command.
func (p *planning) ask(step exact.Step, o *offer, dir string) Verdict {
	run := Run{
		Pair: o.pair.Pair, Kit: o.kit, Args: step.Args, Env: environment(step.Env), Dir: dir, Mounts: step.Mounts,
	}
	run.Commands, run.Opaque = script.Read(step.Args)
	if p.opts.Context != "" {
		run.Files = os.DirFS(p.opts.Context)
	}
	for _, m := range step.Mounts {
		if overlap(m.Target, o.kit.Tree) {
			return Verdict{Reason: fmt.Sprintf("it mounts %s itself", m.Target)}
		}
		for _, ours := range o.kit.Mounts {
			if overlap(m.Target, ours.Target) {
				return Verdict{Reason: fmt.Sprintf("it mounts %s itself", m.Target)}
			}
		}
	}
	return o.recipe.Judge(run)
}

// overlap reports whether one of the paths is in the other.
func overlap(a, b string) bool {
	a, b = path.Clean("/"+a), path.Clean("/"+b)
	return a == b || a == "/" || b == "/" || strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/")
}

// stepAt finds the command of a line.
func (p *planning) stepAt(line int, job string) *exact.Step {
	for i := range p.plan.Steps {
		s := &p.plan.Steps[i]
		if s.Kind != "exec" || !slices.Contains(s.Platforms, job) {
			continue
		}
		if s.Line == line || slices.ContainsFunc(s.Also, func(place exact.Place) bool { return place.Line == line }) {
			return s
		}
	}
	return nil
}

// triggers are the commands that ONBUILD adds to a stage.
func (p *planning) triggers(stage int, job string) []exact.Step {
	var steps []exact.Step
	line := planner.FirstLine(p.file.stages[stage].Location)
	for _, s := range p.plan.Steps {
		if s.Kind == "exec" && s.Line == line && slices.Contains(s.Platforms, job) {
			steps = append(steps, s)
		}
	}
	return steps
}

// overwrites reports whether COPY or ADD may change what the kit relies on. What
// comes from the context can be looked at, if it is a directory.
func (p *planning) overwrites(paths instructions.SourcesAndDest, foreign bool, dir string, env map[string]string, kit Kit) string {
	dest := expand(paths.DestPath, env)
	if !strings.HasPrefix(dest, "/") {
		dest = path.Join("/", dir, dest)
	}
	dest = path.Clean(dest)
	switch {
	case !overlap(dest, kit.Tree):
		return ""
	case dest == kit.Tree || strings.HasPrefix(dest, kit.Tree+"/"):
		return fmt.Sprintf("puts something into %s", kit.Tree)
	}
	inner := strings.TrimPrefix(strings.TrimPrefix(kit.Tree, dest), "/")
	first, _, _ := strings.Cut(inner, "/")
	for _, source := range paths.SourcePaths {
		source = expand(source, env)
		// A file gets its own name.
		if !foreign && p.opts.Context != "" {
			if clean(p.opts.Context, source, first) {
				continue
			}
		} else if base := path.Base(source); foreign && base != first && path.Ext(base) != "" && !archive.MatchString(base) && !strings.ContainsAny(source, "*?[") {
			continue
		}
		return fmt.Sprintf("may put something into %s", kit.Tree)
	}
	return ""
}

var archive = regexp.MustCompile(`\.(tar|tgz|tbz2?|txz|gz|bz2|xz|zst|git)$`)

// clean reports whether a source of COPY cannot bring what would be at inner, a
// path below the destination.
func clean(context, source, first string) bool {
	if strings.ContainsAny(source, "*?[$\\") {
		return false
	}
	root, err := os.OpenRoot(context)
	if err != nil {
		return false
	}
	defer root.Close()
	source = strings.TrimPrefix(path.Clean("/"+source), "/")
	if source == "" {
		source = "."
	}
	info, err := root.Lstat(source)
	switch {
	case err != nil:
		return false
	case info.Mode().IsRegular():
		return path.Base(source) != first
	case !info.IsDir():
		return false
	}
	_, err = root.Lstat(path.Join(source, first))
	return os.IsNotExist(err)
}

// expand replaces variables by what they are at the step that is decided.
func expand(text string, env map[string]string) string {
	if !strings.Contains(text, "$") {
		return text
	}
	return os.Expand(text, func(name string) string { return env[name] })
}

// pinned names one image of a repository.
func pinned(ref string, d digest.Digest) string {
	n, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	if tagged, ok := n.(reference.Tagged); ok {
		return fmt.Sprintf("%s:%s@%s", n.Name(), tagged.Tag(), d)
	}
	return fmt.Sprintf("%s@%s", n.Name(), d)
}
