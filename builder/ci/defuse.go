package ci

import "regexp"

// rule changes what a system would take for a command. All of them only add a space.
type rule struct {
	match *regexp.Regexp
	with  string
}

// rules are those of a system, for lines that are clean and have no colours.
func (s System) rules() []rule {
	switch s {
	case GitHub:
		// "::" counts at the beginning of a line, after white space. "##[" is what
		// commands began with before; it counts anywhere, and the log's viewer draws it.
		return []rule{{lineStart, "$1: :"}, {hashes, "# #["}}
	case Azure:
		return []rule{{hashes, "# #["}, {vso, "# #$1"}}
	case TeamCity:
		return []rule{{teamcity, "# #$1"}}
	case GitLab:
		return []rule{{section, "$1 :"}}
	case Buildkite:
		return []rule{{header, " $0"}}
	}
	return nil
}

var (
	lineStart = regexp.MustCompile(`^([\s\pZ\x{85}]*)::`)
	hashes    = regexp.MustCompile(`##\[`)
	vso       = regexp.MustCompile(`(?i)##(vso\[)`)
	teamcity  = regexp.MustCompile(`(?i)##(teamcity\[)`)
	section   = regexp.MustCompile(`(section_(?:start|end)):`)
	header    = regexp.MustCompile(`^(?:---|\+\+\+|~~~|\^\^\^)(?:[\s\pZ]|$)`)
)

// defuse keeps a clean line from being a command. One that was loses its colours: in
// the middle of a command some systems overlook them.
func (s System) defuse(line string) string {
	bare := uncoloured(line)
	harmless := bare
	for _, r := range s.rules() {
		harmless = r.match.ReplaceAllString(harmless, r.with)
	}
	if harmless != bare {
		return harmless
	}
	return line
}
