package toolbox

import (
	"slices"
	"strings"
	"time"
)

// freshness is for how long a toolbox of an archive is that of today: point releases
// and security updates bring other packages.
const freshness = 7 * 24 * time.Hour

// Missing names the toolboxes that are made for a base and are not in the store, as
// [Detect] does. One that was made of an image alone has to be of the same packages:
// another image of that release, older or newer, wants its own. One of an archive is
// missing again after a week, and goes on to be used.
func (s *Store) Missing(arch string, read func(name string) ([]byte, error)) ([]string, error) {
	wanted, err := Detect(read)
	if err != nil || len(wanted.Suites) == 0 {
		return nil, err
	}
	boxes, err := s.list()
	if err != nil {
		return nil, &Error{Op: "looking for the toolboxes of a base", Err: err}
	}
	status, err := readOptional(read, "var/lib/dpkg/status")
	if err != nil {
		return nil, err
	}
	packages := parsePackages(status)
	return slices.DeleteFunc(wanted.Suites, func(suite string) bool {
		return slices.ContainsFunc(boxes, func(b Installed) bool {
			return b.Damage == nil && b.Box.Arch == arch && b.Box.Suite == suite && b.Box.isOf(packages) &&
				(b.Box.Kind != Debian || time.Since(b.Time) < freshness)
		})
	}), nil
}

// isOf reports whether a toolbox that was made of an image alone is of these packages.
func (b *Box) isOf(packages []Package) bool {
	if b.Kind != Base {
		return true
	}
	for name, version := range b.Packages {
		if !slices.ContainsFunc(packages, func(p Package) bool { return p.Name == name && p.Version == version }) {
			return false
		}
	}
	return true
}

// basesFirst orders toolboxes, the newest first, by who has the first say in a view.
func basesFirst(boxes []Installed) {
	rank := func(b Installed) string {
		if b.Box.Kind == Base {
			return "0"
		}
		return "1"
	}
	slices.SortStableFunc(boxes, func(a, b Installed) int { return strings.Compare(rank(a), rank(b)) })
}
