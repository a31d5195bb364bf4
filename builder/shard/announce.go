package shard

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/builder/registry"
)

// Look returns what has been announced, in the plan's order. A [*PlanError] says that
// it is of another plan. Before a build it saves the work of a shard that would be
// refused, and tells which platforms need not be built again; a registry may deny all
// knowledge of a repository to which nothing was pushed yet.
func (m *Meeting) Look(ctx context.Context) ([]Shard, error) {
	found, err := m.look(ctx, map[string]*Shard{})
	if err != nil {
		return nil, err
	}
	var list []Shard
	for _, place := range m.places {
		if shard := found[place.tag]; shard != nil {
			list = append(list, *shard)
		}
	}
	return list, nil
}

// look adds to found, which is by tag, what has been announced.
func (m *Meeting) look(ctx context.Context, found map[string]*Shard) (map[string]*Shard, error) {
	for _, place := range m.places {
		if found[place.tag] != nil {
			continue
		}
		shard, err := m.lookAt(ctx, place, m.plan(found))
		switch {
		case errors.Is(err, registry.ErrNotFound):
			continue
		case err != nil:
			return nil, err
		}
		found[place.tag] = shard
	}
	return found, nil
}

// plan is the one that announcements must have: that of the options, or without one that
// of what was found first.
func (m *Meeting) plan(found map[string]*Shard) map[string]digest.Digest {
	if len(m.opts.Plan) > 0 {
		return m.opts.Plan.digests()
	}
	for _, place := range m.places {
		if shard := found[place.tag]; shard != nil {
			return shard.plan
		}
	}
	return nil
}

// lookAt reads what is announced at a place. The error matches registry.ErrNotFound if
// there is nothing, or nothing to be seen yet.
func (m *Meeting) lookAt(ctx context.Context, at place, plan map[string]digest.Digest) (*Shard, error) {
	desc, err := m.opts.Registry.Resolve(ctx, at.tag)
	if err != nil {
		return nil, err
	}
	body, err := m.opts.Registry.Fetch(ctx, at.tag, desc)
	if err != nil {
		return nil, err
	}
	a, err := parseAnnouncement(body)
	if err != nil {
		return nil, fmt.Errorf("reading the announcement %s: %w\nRemove that tag, or start a new run.", at.tag, err)
	}
	if a.run != m.opts.Run || formatAll(a.platform) != formatAll(at.platform) {
		return nil, fmt.Errorf("the tag %s announces %s of the run %.50q instead of %s of the run %q; remove that tag, or start a new run",
			at.tag, formatAll(a.platform), a.run, formatAll(at.platform), m.opts.Run)
	}
	if plan == nil {
		plan = a.plan
	}
	if differ := a.differences(plan, m.platforms()); len(differ) > 0 {
		return nil, &PlanError{Platform: at.platform, Tag: at.tag, Differs: differ}
	}
	return &Shard{
		Platform: at.platform, Tag: at.tag, Digest: desc.Digest,
		Manifests: a.manifests, Annotations: a.annotations, plan: a.plan,
	}, nil
}

// Announce tells the other shards of images that have been pushed, by digest, to the
// repositories of all names. Manifests are those of one or several platforms, with
// their attestations.
//
// The first announcement of a platform counts: what an earlier attempt has announced
// stays, unless its content is gone, so that a run makes one image and no mixture of
// several. Before anything is written, a [*PlanError] says that other shards have
// another plan.
func (m *Meeting) Announce(ctx context.Context, manifests []ocispec.Descriptor) error {
	_, err := m.announce(ctx, manifests)
	return err
}

// announce returns all that is known to have been announced afterwards, by tag.
func (m *Meeting) announce(ctx context.Context, manifests []ocispec.Descriptor) (map[string]*Shard, error) {
	if len(m.opts.Plan) == 0 {
		return nil, errors.New("announcing images without a plan to compare; name at least the Dockerfile's content")
	}
	own, err := m.sort(manifests)
	if err != nil {
		return nil, err
	}
	found, err := m.look(ctx, map[string]*Shard{})
	if err != nil {
		return nil, err
	}
	for _, mine := range own {
		if earlier := found[mine.tag]; earlier != nil {
			keep, err := m.keep(ctx, *earlier, mine)
			if err != nil {
				return nil, err
			}
			if keep {
				continue
			}
		}
		if found[mine.tag], err = m.write(ctx, mine); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// mine is one platform that this shard has built.
type mine struct {
	place
	manifests []ocispec.Descriptor
}

// sort takes manifests apart by platform, in the plan's order.
func (m *Meeting) sort(manifests []ocispec.Descriptor) ([]mine, error) {
	byPlace := make([][]ocispec.Descriptor, len(m.places))
	at := map[string]int{} // place of an image, by digest
	for _, desc := range manifests {
		if _, ok := index.Subject(desc); ok {
			continue
		}
		if desc.Platform == nil {
			return nil, fmt.Errorf("announcing the manifest %s: its descriptor has no platform", desc.Digest)
		}
		i := m.find(*desc.Platform)
		if i < 0 {
			return nil, fmt.Errorf("announcing the manifest %s: its platform %s isn't one of the plan's, which are %s; name all platforms of the image in every shard",
				desc.Digest, formatAll(*desc.Platform), m.platforms())
		}
		byPlace[i] = append(byPlace[i], desc)
		at[desc.Digest.String()] = i
	}
	for _, desc := range manifests {
		subject, ok := index.Subject(desc)
		if !ok {
			continue
		}
		i, ok := at[subject.String()]
		if !ok {
			return nil, fmt.Errorf("announcing the attestation %s: the image %s that it attests isn't there", desc.Digest, subject)
		}
		byPlace[i] = append(byPlace[i], desc)
	}
	var own []mine
	for i, list := range byPlace {
		if len(list) == 0 {
			continue
		}
		list, err := normal(list)
		if err == nil && (len(m.places) > 1 || len(list) > 1) {
			// What can't be part of the index is refused before it is announced.
			_, _, err = index.Join(list, index.Options{Annotations: m.opts.Annotations})
		}
		if err != nil {
			return nil, fmt.Errorf("announcing %s: %w", formatAll(m.places[i].platform), err)
		}
		own = append(own, mine{m.places[i], list})
	}
	if len(own) == 0 {
		return nil, errors.New("the shard has no image to announce; name at least one of its platforms")
	}
	return own, nil
}

// find returns the position of a platform in the plan, -1 if it isn't there.
func (m *Meeting) find(platform ocispec.Platform) int {
	exact := slices.IndexFunc(m.places, func(p place) bool { return formatAll(p.platform) == formatAll(platform) })
	if exact >= 0 {
		return exact
	}
	return slices.IndexFunc(m.places, func(p place) bool { return matches(p.platform, platform) })
}

// keep reports whether the announcement of an earlier attempt stays.
func (m *Meeting) keep(ctx context.Context, earlier Shard, mine mine) (bool, error) {
	before, now := earlier.Manifests[0].Digest, mine.manifests[0].Digest
	for _, repository := range m.repositories {
		err := m.opts.Registry.WaitFor(ctx, repository, earlier.Manifests...)
		if errors.Is(err, registry.ErrNotFound) {
			m.opts.Logger.WarnContext(ctx, "an earlier announcement has lost its content and is replaced",
				"platform", formatAll(earlier.Platform), "repository", repository, "before", before, "now", now)
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	if before != now {
		m.opts.Logger.WarnContext(ctx, "keeping the image that an earlier attempt of this run has announced",
			"platform", formatAll(earlier.Platform), "kept", before, "left out", now)
	}
	return true, nil
}

// write announces one platform, and returns what is announced of it afterwards.
func (m *Meeting) write(ctx context.Context, mine mine) (*Shard, error) {
	a := announcement{
		run: m.opts.Run, platform: mine.platform, plan: m.opts.Plan.digests(),
		manifests: mine.manifests, annotations: m.opts.Annotations,
	}
	for _, place := range m.places {
		a.platforms = append(a.platforms, place.platform)
	}
	desc, body, err := a.encode()
	if err != nil {
		return nil, err
	}
	for _, repository := range m.repositories {
		if err := m.opts.Registry.WaitFor(ctx, repository, mine.manifests...); err != nil {
			return nil, err
		}
	}
	err = m.opts.Registry.PushManifest(ctx, mine.tag, desc, body)
	if err == nil {
		return &Shard{
			Platform: mine.platform, Tag: mine.tag, Digest: desc.Digest,
			Manifests: mine.manifests, Annotations: m.opts.Annotations,
		}, nil
	}
	if context.Cause(ctx) != nil {
		return nil, err
	}
	// Somebody else may have announced the platform since, and be right: the tag has
	// moved, or doesn't let itself be moved.
	other, lookErr := m.lookAt(ctx, mine.place, m.opts.Plan.digests())
	if lookErr != nil {
		return nil, err
	}
	m.opts.Logger.WarnContext(ctx, "keeping the image that another job of this run has announced",
		"platform", formatAll(mine.platform), "kept", other.Manifests[0].Digest, "left out", mine.manifests[0].Digest)
	return other, nil
}
