package toolbox

import (
	"regexp"
	"strings"
)

// source is what a binary package was built from.
type source struct{ name, version string }

func (s source) String() string { return s.name + " " + s.version }

// isTwin reports whether two binary packages were built from the same source. A
// cross compiler has a source package of its own, but the version and the name of
// the compiler's, and says in Built-Using what it is made of.
func isTwin(target, native Package) bool {
	a, b := target.source(), native.source()
	return a.name != "" && a.version != "" && a == b
}

// source returns the name and version by which twins are compared.
func (p Package) source() source {
	if base, ok := crossSource(p.Source); ok {
		version := p.Version // the source package is counted 1, 2, 3
		if cut := crossSuffix().ReplaceAllString(version, ""); cut != version {
			version = cut
		} else {
			version = "" // not of a kind that is known
		}
		if used := builtUsing(p.BuiltUsing, base); used != "" && used != version {
			version = ""
		}
		return source{base, version}
	}
	version := p.SourceVersion
	if version == "" {
		version = rebuildSuffix().ReplaceAllString(p.Version, "")
	}
	return source{p.Source, version}
}

// crossSource cuts gcc-14-cross and gcc-14-cross-ports to gcc-14.
func crossSource(name string) (string, bool) {
	name = strings.TrimSuffix(name, "-ports")
	return strings.CutSuffix(name, "-cross")
}

// crossSuffix is what a cross compiler's version ends in; it may have been rebuilt.
func crossSuffix() *regexp.Regexp { return regexp.MustCompile(`cross[0-9.]+(\+b[0-9]+)?$`) }

// rebuildSuffix is what a package that was built again from the same source has.
func rebuildSuffix() *regexp.Regexp { return regexp.MustCompile(`\+b[0-9]+$`) }

// builtUsing returns the version of a source in a field "a (= 1), b (= 2)".
func builtUsing(field, name string) string {
	for item := range strings.SplitSeq(field, ",") {
		pkg, version, ok := strings.Cut(strings.TrimSpace(item), " (= ")
		if ok && pkg == name {
			return strings.TrimSuffix(version, ")")
		}
	}
	return ""
}
