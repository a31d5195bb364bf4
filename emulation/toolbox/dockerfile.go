package toolbox

import (
	_ "embed" // the two templates
	"fmt"
	"strings"
	"text/template"
)

//go:embed debian.Dockerfile
var debianDockerfile string

// imageDockerfile is for toolboxes that are made of an image alone.
//
//go:embed image.Dockerfile
var imageDockerfile string

// ProgramContext is the name of the build context that a toolbox's Dockerfile takes
// mabuild from: a directory with a program "mabuild" for the host, linked statically.
const ProgramContext = "mabuild"

// Recipe says which toolbox to make of which image.
type Recipe struct {
	Suite    string // as [Detect] names it
	Base     string // the image, best with its digest
	Platform string // of the target: "linux/arm64", "linux/arm/v7"
	Host     string // of the host, as Go calls it; "amd64"
	OptIn    bool   // the tools that must be asked for, too
	Fresh    string // a word; with another one the archive is asked again where the build is cached
}

// Dockerfile returns what makes the toolbox: the same text for the same recipe. It is
// to be built for the host, with the context [ProgramContext]; the result's root is
// the toolbox.
func (r Recipe) Dockerfile() (string, error) {
	suite, err := LookupSuite(r.Suite)
	if err != nil {
		return "", &Error{Op: "making a toolbox", Err: err, Hint: "Its steps stay emulated."}
	}
	host, target, err := r.machines()
	if err == nil && suite.Kind != Go {
		err = shown(suite.release(), target)
	}
	if err != nil {
		return "", &Error{Op: "making a toolbox of " + r.Suite, Err: err, Hint: "Its steps stay emulated."}
	}
	if strings.ContainsAny(r.Base+r.Platform, " \t\r\n$\\\"'`") || r.Base == "" {
		return "", &Error{Op: "making a toolbox of " + r.Suite, Err: fmt.Errorf("the image %q for %q cannot be named in a Dockerfile: %w", r.Base, r.Platform, ErrUnsuited)}
	}
	if r.Fresh != "" && !isWord(r.Fresh) {
		return "", &Error{Op: "making a toolbox of " + r.Suite, Err: fmt.Errorf("%q is no word", r.Fresh), Hint: "Use a date, 2026-07-01."}
	}
	data := recipeData{Recipe: r, Release: suite.release(), HostPlatform: "linux/" + host.arch, Host: host.arch, Target: target.arch}
	text := imageDockerfile
	if suite.Kind != Go {
		data.Host, data.Target = host.debian, target.debian
	}
	if suite.Kind.isOfArchive() {
		text = debianDockerfile
		data.choose(suite, target, r.OptIn)
	}
	tmpl, err := template.New("").Funcs(template.FuncMap{"join": func(l []string) string { return strings.Join(l, " ") }}).Parse(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = tmpl.Execute(&out, data)
	return out.String(), err
}

// shown reports whether programs of a release were compared on a target. The others stay
// emulated.
func shown(release string, target machine) error {
	switch target.debian + " " + release {
	case "s390x bookworm", "riscv64 trixie", "armhf trixie":
		return nil
	}
	switch {
	case release == "bullseye" || release == "focal":
		return fmt.Errorf("its C library, older than 2.34, finds names of users by a module that a toolbox lacks: %w", ErrUnsuited)
	case target.debian == "arm64":
		return nil
	case target.debian == "armhf" && release == "bookworm":
		return fmt.Errorf("its programs of 32 bits know no dates after 2038, and native ones do: %w", ErrUnsuited)
	}
	return fmt.Errorf("native tools were not compared with those of %s on %s: %w", release, target.debian, ErrUnsuited)
}

// recipeData is what the templates see.
type recipeData struct {
	Recipe
	HostPlatform string
	Release      string
	Host, Target string   // as the kind of toolbox calls them
	Ports        string   // another archive for the target's packages
	Native       []string // packages to install
	Packages     []string // of the target, to download
	Expected     []string // their names
}

// OfBase reports whether the toolbox is made of the image alone: in seconds, without a
// network, and for that image only.
func (r Recipe) OfBase() bool { return r.kind() == Base }

// OfImage reports whether the toolbox is made for that image, and others of the release
// want their own.
func (r Recipe) OfImage() bool { return r.kind() == Base || r.kind() == Install }

func (r Recipe) kind() Kind {
	suite, err := LookupSuite(r.Suite)
	if err != nil {
		return ""
	}
	return suite.Kind
}

func (r Recipe) machines() (host, target machine, err error) {
	if host, err = byArch(r.Host); err != nil {
		return host, target, err
	}
	_, arch, _ := strings.Cut(r.Platform, "/")
	arch, variant, _ := strings.Cut(arch, "/")
	if arch == "arm" && (variant == "v5" || variant == "v6") {
		target, err = byDebian("armel") // Debian's armhf needs v7
		return host, target, err
	}
	target, err = byArch(arch)
	if err == nil && target == host {
		err = fmt.Errorf("platform %s is native: %w", r.Platform, ErrUnsuited)
	}
	return host, target, err
}

// choose lists the packages of a suite.
func (d *recipeData) choose(suite Suite, target machine, optIn bool) {
	cross := strings.ReplaceAll(target.triplet, "_", "-")
	binutils := "binutils-" + cross
	var tools []string
	if suite.Kind == Debian {
		tools = []string{"bzip2", "coreutils", "dash", "diffutils", "dpkg", "findutils", "grep", "gzip", "sed", "tar", "xz-utils", "zstd"}
	}
	if optIn {
		tools = append(tools, "nodejs", "openssl", "python"+suite.Python+"-minimal")
	}
	d.Native = append(d.Native, binutils)
	d.Expected = append(d.Expected, binutils)
	for _, name := range []string{"cpp-", "gcc-", "g++-"} {
		d.Native = append(d.Native, name+suite.GCC+"-"+cross)
		if suite.ByTriplet {
			d.Expected = append(d.Expected, name+suite.GCC+"-"+cross)
		} else {
			d.Expected = append(d.Expected, name+suite.GCC)
		}
	}
	d.Native = append(d.Native, tools...)
	d.Expected = append(d.Expected, tools...)
	for _, name := range d.Expected {
		d.Packages = append(d.Packages, name+":"+target.debian)
	}
	if isUbuntu(suite) {
		d.Ports = "http://ports.ubuntu.com/ubuntu-ports"
	}
}

// isUbuntu reports whether a suite has the foreign architectures in an archive apart.
func isUbuntu(suite Suite) bool {
	switch suite.release() {
	case "focal", "jammy", "noble", "plucky", "questing":
		return true
	}
	return false
}
