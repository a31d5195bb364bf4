package toolbox

import (
	"cmp"
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
// missing again after a week, and goes on to be used. If its compilers go with other
// libraries than the base has, which is older then, one of those that are installed on
// that base is missing as well. With all, one without the tools that must be asked for
// is missing, too.
func (s *Store) Missing(arch string, all bool, read func(name string) ([]byte, error)) ([]string, error) {
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
	boxes = slices.DeleteFunc(boxes, func(b Installed) bool {
		return b.Damage != nil || b.Box.Arch != arch || !b.Box.isOf(packages) || b.Box.Kind.isOfArchive() && time.Since(b.Time) >= freshness ||
			all && !b.Box.OptIn && b.Box.Kind != Go
	})
	has := func(suite string, good func(*Box) bool) bool {
		return slices.ContainsFunc(boxes, func(b Installed) bool { return b.Box.Suite == suite && good(b.Box) })
	}
	known := func(*Box) bool { return true }
	fits := func(b *Box) bool { return b.compilersFit(read) }
	var missing []string
	for _, suite := range wanted.Suites {
		switch {
		case !has(suite, known):
			missing = append(missing, suite)
		case !has(suite, fits) && !has(suite+ofInstall, fits):
			missing = append(missing, suite+ofInstall)
		}
	}
	return missing, nil
}

// compilersFit reports whether a base has no library that the compilers of a toolbox
// go with another one of, as those of an archive may on an image that is older.
func (b *Box) compilersFit(read func(name string) ([]byte, error)) bool {
	for _, tool := range b.Tools {
		if !isGCC(tool.Path) {
			continue
		}
		for _, need := range tool.Closure {
			data, err := read(strings.TrimPrefix(need.Path, "/"))
			if err != nil {
				continue // it is installed with the compiler
			}
			if p, err := readProgram(data); err != nil || p.buildID != need.BuildID {
				return false
			}
		}
	}
	return true
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
	rank := map[Kind]int{Base: -2, Install: -1}
	slices.SortStableFunc(boxes, func(a, b Installed) int { return cmp.Compare(rank[a.Box.Kind], rank[b.Box.Kind]) })
}
