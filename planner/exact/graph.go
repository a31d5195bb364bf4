package exact

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
)

// link is an edge to a stage by number, or to an image if it is -1.
type link struct {
	kind  EdgeKind
	stage int
	name  string
	line  int
}

// links returns what the instructions of a stage name. It is the same for every
// platform, unlike FROM.
func (p *plan) links(i int) []link {
	var links []link
	for _, command := range p.stages[i].Commands {
		line := planner.FirstLine(command.Location())
		switch c := command.(type) {
		case *instructions.CopyCommand:
			if c.From != "" {
				links = append(links, link{kind: EdgeCopy, stage: p.named(c.From, true), name: c.From, line: line})
			}
		case *instructions.RunCommand:
			for _, mount := range instructions.GetMounts(c) {
				if mount.From != "" {
					links = append(links, link{kind: EdgeMount, stage: p.named(mount.From, false), name: mount.From, line: line})
				}
			}
		}
	}
	return links
}

// named finds the stage that --from means.
func (p *plan) named(from string, numbers bool) int {
	if number, err := strconv.Atoi(from); numbers && err == nil && number >= 0 && number < len(p.stages) {
		return number
	}
	for i, s := range slices.Backward(p.stages) {
		if s.Name != "" && strings.EqualFold(s.Name, from) {
			return i
		}
	}
	return -1
}

// parent finds the stage that a stage is FROM: one before it, by exact name.
func (p *plan) parent(i int, base string) int {
	for k := i - 1; k >= 0; k-- {
		if p.stages[k].Name != "" && p.stages[k].Name == base {
			return k
		}
	}
	return -1
}

// replacement returns the named context that takes the place of a stage.
func (p *plan) replacement(j *job, i int) (string, bool) {
	if p.stages[i].Name == "" || len(p.contexts.values) == 0 {
		return "", false
	}
	platform := j.Platform
	if p.stages[i].Platform != "" {
		if s, ok := j.stages[i]; ok {
			platform = s.Platform
		}
	}
	return p.contexts.find(p.stages[i].Name, platform)
}

// follow marks the stages that a job reaches: those that the target leads to,
// and those that have left operations because a trigger of an image leads there.
func (p *plan) follow(j *job) {
	var pending []int
	target := j.Stages[len(j.Stages)-1]
	pending = append(pending, p.stageIndex(target.Line))
	for _, o := range j.ops {
		for _, place := range o.places {
			pending = append(pending, p.stageIndex(place.Line))
		}
	}
	// Triggers of stages are known to package planner, but not what named
	// contexts replace.
	if len(p.contexts.values) == 0 {
		for _, s := range j.Stages {
			pending = append(pending, p.stageIndex(s.Line))
		}
	}
	j.reach = make(map[int]bool)
	for len(pending) > 0 {
		i := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		if i < 0 || j.reach[i] {
			continue
		}
		j.reach[i] = true
		if _, replaced := p.replacement(j, i); replaced {
			continue
		}
		if s, ok := j.stages[i]; ok {
			pending = append(pending, p.parent(i, s.Base))
		}
		for _, l := range p.linked[i] {
			pending = append(pending, l.stage)
		}
	}
}

// contextImage looks up the image of a named context, nil if it has none.
func (p *plan) contextImage(ctx context.Context, name, value string, wanted ocispec.Platform) (*image, error) {
	scheme, rest, _ := strings.Cut(value, "://")
	switch scheme {
	case "docker-image":
		if rest == planner.Scratch {
			return nil, nil //nolint:nilnil // nil is a stage without an image
		}
		return p.images.look(ctx, "", planner.CompleteReference(rest), wanted)
	case "oci-layout":
		store, root, _ := strings.Cut(rest, "@")
		named, err := reference.ParseNormalizedNamed(planner.FamiliarReference(name))
		if err != nil {
			return nil, err
		}
		pinned, err := reference.WithDigest(named, digest.Digest(root))
		if err != nil {
			return nil, err
		}
		return p.images.look(ctx, store, pinned.String(), wanted)
	}
	return nil, nil //nolint:nilnil // as above
}

// imageFor looks up an image as the Dockerfile names it, nil if a directory or
// nothing takes its place.
func (p *plan) imageFor(ctx context.Context, ref string, wanted ocispec.Platform) (*image, error) {
	if value, ok := p.contexts.find(planner.CompleteReference(ref), wanted); ok {
		return p.contextImage(ctx, ref, value, wanted)
	}
	return p.images.look(ctx, "", planner.CompleteReference(ref), wanted)
}

// execOf returns the platform on which the commands of a stage really execute.
func (p *plan) execOf(ctx context.Context, j *job, i int) (string, error) {
	if known, ok := j.exec[i]; ok {
		return known, nil
	}
	s, ok := j.stages[i]
	wanted := j.Platform
	if ok {
		wanted = s.Platform
	}
	found := planner.FormatPlatform(wanted)
	var img *image
	var err error
	if value, replaced := p.replacement(j, i); replaced {
		img, err = p.contextImage(ctx, p.stages[i].Name, value, wanted)
	} else if parent := p.parent(i, s.Base); ok && parent >= 0 {
		found, err = p.execOf(ctx, j, parent)
	} else if ok && s.Base != planner.Scratch {
		img, err = p.imageFor(ctx, s.Base, wanted)
	}
	if err != nil {
		return "", err
	}
	if img != nil {
		found = planner.FormatPlatform(img.real)
	}
	j.exec[i] = found
	return found, nil
}

// graph describes the stages.
func (p *plan) graph(ctx context.Context) ([]Stage, error) {
	stages := make([]Stage, len(p.stages))
	for i, st := range p.stages {
		s := Stage{Name: stageName(st, i), Line: planner.FirstLine(st.Location), Base: st.BaseName, ExecPlatform: make(map[string]string)}
		for _, j := range p.jobs {
			if !j.reach[i] {
				continue
			}
			platform, err := p.execOf(ctx, j, i)
			if err != nil {
				return nil, err
			}
			s.ExecPlatform[j.name] = platform
			if _, replaced := p.replacement(j, i); replaced {
				continue
			}
			if planned, ok := j.stages[i]; ok && planned.Base != planner.Scratch {
				p.connect(&s, link{kind: EdgeFrom, stage: p.parent(i, planned.Base), name: planned.Base, line: s.Line}, j)
			}
			for _, l := range p.linked[i] {
				p.connect(&s, l, j)
			}
		}
		stages[i] = s
	}
	return stages, nil
}

// connect adds a job to an edge.
func (p *plan) connect(s *Stage, l link, j *job) {
	edge := Edge{Kind: l.kind, Line: l.line}
	if l.stage >= 0 {
		edge.Stage = stageName(p.stages[l.stage], l.stage)
	} else {
		edge.Image = l.name
	}
	for i := range s.Edges {
		e := &s.Edges[i]
		if e.Kind == edge.Kind && e.Line == edge.Line && e.Stage == edge.Stage && e.Image == edge.Image {
			if !slices.Contains(e.Platforms, j.name) {
				e.Platforms = append(e.Platforms, j.name)
			}
			return
		}
	}
	edge.Platforms = []string{j.name}
	s.Edges = append(s.Edges, edge)
}
