package toolbox

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// Suite is a release that toolboxes are made from.
type Suite struct {
	Name string // "trixie", "trixie-base", "trixie-install", "go"
	Kind Kind
	Slot string // one character, different for each suite
	GCC  string // default version of the compiler; empty without compilers
	// ByTriplet: the target's own compiler is in packages named like those that
	// cross, cpp-14-aarch64-linux-gnu for cpp-14.
	ByTriplet bool
	Python    string // default version
}

// What ends the names of suites whose toolboxes are made for one image.
const (
	ofBase    = "-base"    // of the image alone
	ofInstall = "-install" // of what installing adds to it
)

// Suites returns the releases that are known. Images are older than the archive they
// were made from, so what one brings, what is installed on it, and what the archive has
// by now are three suites: libraries of all would have one place in a slot.
func Suites() []Suite {
	var suites []Suite
	// The slot is a part of every file of a toolbox, so it must never be given to another
	// suite.
	for _, release := range []struct {
		Suite
		base, install string // slots
	}{
		{Suite{"bullseye", Debian, "B", "10", false, "3.9"}, "1", "C"},
		{Suite{"bookworm", Debian, "b", "12", false, "3.11"}, "2", "D"},
		{Suite{"trixie", Debian, "t", "14", true, "3.13"}, "3", "E"},
		{Suite{"forky", Debian, "f", "15", true, "3.14"}, "4", "G"},
		{Suite{"sid", Debian, "s", "15", true, "3.14"}, "5", "H"},
		{Suite{"focal", Debian, "F", "9", false, "3.8"}, "6", "I"},
		{Suite{"jammy", Debian, "j", "11", false, "3.10"}, "7", "J"},
		{Suite{"noble", Debian, "n", "13", true, "3.12"}, "8", "K"},
		{Suite{"plucky", Debian, "p", "14", true, "3.13"}, "9", "L"},
		{Suite{"questing", Debian, "q", "15", true, "3.13"}, "0", "M"},
	} {
		install := release.Suite
		install.Name, install.Kind, install.Slot = release.Name+ofInstall, Install, release.install
		suites = append(suites, release.Suite, install, Suite{Name: release.Name + ofBase, Kind: Base, Slot: release.base})
	}
	return append(suites, Suite{Name: "go", Kind: Go, Slot: "g"})
}

// release is the name of the release that a suite is of.
func (s Suite) release() string {
	return strings.TrimSuffix(strings.TrimSuffix(s.Name, ofBase), ofInstall)
}

// LookupSuite returns a suite by its name; every release of Go is of the suite go.
func LookupSuite(name string) (Suite, error) {
	if strings.HasPrefix(name, "go") {
		name = "go"
	}
	for _, suite := range Suites() {
		if suite.Name == name {
			return suite, nil
		}
	}
	return Suite{}, fmt.Errorf("release %q: %w", name, ErrUnsuited)
}

func slotOf(name string) (string, error) {
	suite, err := LookupSuite(name)
	return suite.Slot, err
}

// Wanted is what a base wants.
type Wanted struct {
	Suites []string // of toolboxes, the soonest made first; "go1.26.8" for one of Go
	Reason string   // why there are no more
}

// Detect tells what toolboxes are made for a base, by files of its root file system:
// etc/os-release, var/lib/dpkg/status and usr/local/go/VERSION. The function that
// reads them returns fs.ErrNotExist for one that is not there.
func Detect(read func(name string) ([]byte, error)) (Wanted, error) {
	var wanted Wanted
	release, err := readOptional(read, "etc/os-release", "usr/lib/os-release")
	if err != nil {
		return wanted, err
	}
	dpkg, err := readOptional(read, "var/lib/dpkg/status")
	if err != nil {
		return wanted, err
	}
	name, reason := debianSuite(parseRelease(release), dpkg != "")
	if wanted.Reason = reason; name != "" {
		wanted.Suites = append(wanted.Suites, name+ofBase, name)
	}
	version, err := readOptional(read, goVersionFile)
	if err != nil {
		return wanted, err
	}
	if version == "" {
		return wanted, nil
	}
	if release, err := parseGoVersion(version); err != nil {
		wanted.Reason = strings.TrimPrefix(wanted.Reason+"; "+err.Error(), "; ")
	} else {
		wanted.Suites = append(wanted.Suites, release)
	}
	return wanted, nil
}

// readOptional returns the first of some files that has anything in it.
func readOptional(read func(string) ([]byte, error), names ...string) (string, error) {
	for _, name := range names {
		text, err := read(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", &Error{Op: "looking for toolboxes that suit a base", Err: fmt.Errorf("reading /%s: %w", name, err), Hint: "Its steps stay emulated."}
		}
		if len(text) > 0 {
			return string(text), nil
		}
	}
	return "", nil
}

// parseRelease reads an os-release file.
func parseRelease(text string) map[string]string {
	release := make(map[string]string)
	for line := range strings.SplitSeq(text, "\n") {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		release[name] = strings.Trim(value, `"'`)
	}
	return release
}

// debianSuite names the suite, or says why there is none.
func debianSuite(release map[string]string, dpkg bool) (name, reason string) {
	id := release["ID"]
	switch {
	case id == "":
		return "", "none, because it does not say what distribution it is"
	case id == "alpine":
		return "", "none, because Alpine's programs have no build-ids and it has no cross compilers"
	case id != "debian" && id != "ubuntu":
		return "", fmt.Sprintf("none, because toolboxes are made from packages of Debian and Ubuntu, and it is %q", id)
	case !dpkg:
		return "", fmt.Sprintf("none, because it has %s's files without its packages", id)
	}
	name = release["VERSION_CODENAME"]
	if name == "" && id == "debian" {
		name = "sid" // testing says its name
	}
	if suite, err := LookupSuite(name); err != nil || suite.Kind != Debian {
		return "", fmt.Sprintf("none, because the release %q of %s is not known to this mabuild", name, id)
	}
	return name, ""
}

const goVersionFile = "usr/local/go/VERSION"

// parseGoVersion reads the file VERSION of a Go installation.
func parseGoVersion(text string) (string, error) {
	name, _, _ := strings.Cut(text, "\n")
	name = strings.TrimSpace(name)
	if !regexp.MustCompile(`^go1\.[0-9]+(\.[0-9]+)?$`).MatchString(name) {
		return "", fmt.Errorf("none of Go, because %.40q is no release of it", name)
	}
	return name, nil
}
