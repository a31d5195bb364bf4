package exact

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/planner"
)

// used lists the images that were asked for, in order.
func (i *images) used() []UsedBase {
	byRef := make(map[string]*UsedBase)
	i.found.each(func(key string, img *image) {
		store, rest, _ := strings.Cut(key, " ")
		wanted := rest[strings.LastIndex(rest, " ")+1:]
		u := byRef[store+" "+img.ref]
		if u == nil {
			u = &UsedBase{Ref: img.ref, Match: make(map[string]Match)}
			byRef[store+" "+img.ref] = u
		}
		if img.err != nil {
			u.Err = img.err
			return
		}
		u.Digest, u.MediaType, u.Platforms = img.base.Digest, img.base.MediaType, img.offered()
		u.Match[wanted] = img.match
	})
	list := make([]UsedBase, 0, len(byRef))
	for _, u := range byRef {
		list = append(list, *u)
	}
	slices.SortFunc(list, func(a, b UsedBase) int { return cmp.Compare(a.Ref, b.Ref) })
	return list
}

// offered lists the platforms of an image.
func (img *image) offered() []string {
	if img.base == nil {
		return nil
	}
	var list []string
	for _, m := range offers(img.base) {
		name := "unnamed"
		if m.Platform != nil {
			name = planner.FormatPlatform(*m.Platform)
		}
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// use is an image at one place of the Dockerfile for one job.
type use struct {
	job    *job
	img    *image
	wanted ocispec.Platform
	stage  string
	line   int
	copied bool // by COPY --from or a mount, not the base of a stage
}

// uses lists what the jobs use.
func (p *plan) uses(ctx context.Context) ([]use, error) {
	var uses []use
	for _, j := range p.jobs {
		seen := make(map[*image]bool)
		add := func(img *image, err error, wanted ocispec.Platform, line int) error {
			if err != nil || img == nil {
				return err
			}
			seen[img] = true
			i := p.stageIndex(line)
			copied := i < 0 || line != planner.FirstLine(p.stages[i].Location)
			uses = append(uses, use{job: j, img: img, wanted: platforms.Normalize(wanted), stage: p.stageAt(line), line: line, copied: copied})
			return nil
		}
		for i, st := range p.stages {
			value, replaced := p.replacement(j, i)
			if !replaced || !j.reach[i] {
				continue
			}
			wanted := j.Platform
			if s, ok := j.stages[i]; ok && st.Platform != "" {
				wanted = s.Platform
			}
			img, err := p.contextImage(ctx, st.Name, value, wanted)
			if err := add(img, err, wanted, planner.FirstLine(st.Location)); err != nil {
				return nil, err
			}
		}
		for _, i := range j.images {
			n := p.stageIndex(i.Line)
			_, replaced := p.replacement(j, n)
			if replaced || !p.opts.AllStages && !j.reach[n] {
				continue
			}
			img, err := p.imageFor(ctx, i.Ref, i.Platform)
			if err := add(img, err, i.Platform, i.Line); err != nil {
				return nil, err
			}
		}
		for _, o := range j.ops {
			// Only what triggers of images lead to is left.
			if o.op.GetSource() == nil || len(o.places) == 0 || p.opts.Edits[j.name].mounts(o.op.GetSource().Identifier) {
				continue
			}
			img, err := p.imageOf(ctx, o.op)
			if err == nil && seen[img] {
				continue
			}
			if err := add(img, err, wantedPlatform(o.op), o.places[0].Line); err != nil {
				return nil, err
			}
		}
	}
	return uses, nil
}

// baseFindings says what is wrong with images.
func (p *plan) baseFindings(ctx context.Context) ([]Finding, error) {
	uses, err := p.uses(ctx)
	if err != nil {
		return nil, err
	}
	var findings []Finding
	at := make(map[string]int)
	for _, u := range uses {
		if u.img.err == nil && (u.img.match == MatchExact || harmless(u.img, u.wanted)) {
			continue
		}
		key := fmt.Sprintln(u.line, u.img.ref, u.img.match, u.img.err != nil)
		i, ok := at[key]
		if !ok {
			i = len(findings)
			at[key] = i
			findings = append(findings, Finding{
				Rule: RuleBasePlatform, Level: LevelError, Line: u.line, Stage: u.stage, Ref: u.img.ref, Match: u.img.match, Offered: u.img.offered(),
			})
		}
		f := &findings[i]
		f.Platforms = addName(f.Platforms, u.job.name)
		f.Wanted = addName(f.Wanted, planner.FormatPlatform(u.wanted))
		p.explain(ctx, f, u)
	}
	return findings, nil
}

func addName(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

// harmless reports whether an image of another platform is what everybody
// expects: builds for amd64/v3 start from images for amd64.
func harmless(img *image, wanted ocispec.Platform) bool {
	if kind := img.match.Kind(); kind != MatchFallback && kind != MatchSingle {
		return false
	}
	if img.real.OS != wanted.OS || img.real.Architecture != wanted.Architecture || wanted.Architecture == "arm" {
		return false
	}
	return img.real.Variant == "" || platforms.Only(wanted).Match(img.real)
}

// explain writes the message of a finding.
func (p *plan) explain(ctx context.Context, f *Finding, u use) {
	name, wanted := planner.FamiliarReference(u.img.ref), strings.Join(f.Wanted, ", ")
	if u.img.store != "" {
		name, _, _ = strings.Cut(name, "@") // BuildKit's, not the user's
	}
	f.Fix = fmt.Sprintf("choose an image that has %s, or leave the platform out", wanted)
	if u.copied {
		f.Fix += fmt.Sprintf("; files that fit every platform can come from a stage, FROM --platform=$BUILDPLATFORM %s AS NAME", name)
	}
	kind, real := u.img.match.Kind(), u.img.match.Platform()
	switch {
	case u.img.err != nil:
		f.Rule = RuleBaseUnavailable
		f.Message = fmt.Sprintf("%s cannot be looked up: %v", name, u.img.err)
		f.Fix = "check the reference and the access to its registry; what is in no registry takes its place by --build-context " + name + "=IMAGE-OR-DIRECTORY"
	case kind == MatchMissing:
		f.Message = fmt.Sprintf("%s has no image for %s, it has %s", name, wanted, orNone(f.Offered))
	case kind == MatchFallback:
		f.Message = fmt.Sprintf("%s has no image for %s, BuildKit takes the one for %s without a word", name, wanted, real)
	case kind == MatchMislabelled:
		f.Message = fmt.Sprintf("%s lists an image for %s, but the image itself is for %s", name, wanted, real)
	case kind == MatchSingle:
		f.Message = fmt.Sprintf("%s is one image for %s and no index, BuildKit takes it for %s without a word", name, real, wanted)
		if len(p.jobs) > 1 && u.img.store == "" && strings.Contains(u.img.ref, "@") {
			f.Rule = RuleBaseDigestSingle
			f.Message = fmt.Sprintf("%s is pinned to the image for %s, BuildKit takes it for %s without a word", name, real, wanted)
			f.Fix = p.indexOf(ctx, u.img.ref)
		}
	}
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none at all"
	}
	return strings.Join(list, ", ")
}

// indexOf says what to pin instead of the digest of one image.
func (p *plan) indexOf(ctx context.Context, ref string) string {
	const general = "pin the digest of the index instead, or of no image at all"
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return general
	}
	tagged, ok := named.(reference.Tagged)
	if !ok {
		return general
	}
	name, err := reference.WithTag(reference.TrimNamed(named), tagged.Tag())
	if err != nil {
		return general
	}
	base, err := p.images.base(ctx, "", name.String())
	if err != nil || !isIndex(base) {
		return general
	}
	return fmt.Sprintf("pin the index: %s@%s", reference.FamiliarString(name), base.Digest)
}

// pinned finds a target whose files are for another platform than the job's.
func (p *plan) pinned() []Finding {
	var findings []Finding
	for _, j := range p.jobs {
		target := j.Stages[len(j.Stages)-1]
		i := p.stageIndex(target.Line)
		root := i
		for k := i; k >= 0; k = p.parent(k, j.stages[k].Base) {
			root = k
			if _, replaced := p.replacement(j, k); replaced {
				break
			}
		}
		_, replaced := p.replacement(j, root)
		real := platforms.Normalize(target.Platform)
		if replaced || j.stages[root].Base == planner.Scratch || real.OS == j.Platform.OS && real.Architecture == j.Platform.Architecture &&
			(real.Architecture != "arm" || real.Variant == j.Platform.Variant) {
			continue
		}
		line := planner.FirstLine(p.stages[root].Location)
		if n := len(findings); n > 0 && findings[n-1].Line == line {
			findings[n-1].Platforms = append(findings[n-1].Platforms, j.name)
			continue
		}
		findings = append(findings, Finding{
			Rule: RuleRuntimePinned, Level: LevelError, Platforms: []string{j.name}, Line: line, Stage: stageName(p.stages[root], root),
			Message: fmt.Sprintf("--platform=%s gives the image files for %s, whatever platform it is built for", p.stages[root].Platform, planner.FormatPlatform(real)),
			Fix:     "drop --platform from this FROM; pin only the stages that the image copies from",
		})
	}
	return findings
}
