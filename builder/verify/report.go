package verify

import (
	"cmp"
	"slices"

	digest "github.com/opencontainers/go-digest"
)

// Level is how bad a finding is.
type Level string

// The levels of findings.
const (
	Error   Level = "error"   // the image does not do on its platform what it is for
	Warning Level = "warning" // something that it may need does not run
	Note    Level = "note"    // worth knowing
)

func (l Level) rank() int { return slices.Index([]Level{Error, Warning, Note}, l) }

// The rules.
const (
	RuleMachine        = "machine"         // a program or library for another machine
	RuleCPU            = "cpu"             // it needs a newer CPU than the platform has
	RuleFormat         = "format"          // what starts is no program for Linux
	RuleInterpreter    = "interpreter"     // what it is run by is not in the image
	RuleMissing        = "missing"         // what the image starts is not in it
	RuleArchive        = "archive"         // an archive without a library for the platform
	RuleArchiveUnread  = "archive-unread"  // an archive that could not be read
	RuleLeak           = "assist-leak"     // a native tool was left in the image
	RuleConfigPlatform = "config-platform" // config and descriptor disagree
	RuleUnverified     = "unverified"      // there is nothing to verify by
)

// Finding is something that is not as the platform wants it.
type Finding struct {
	Level Level  `json:"level"`
	Rule  string `json:"rule"`
	// Path is the file's in the image, after links were followed. A member of an
	// archive follows after "!".
	Path string `json:"path,omitempty"`
	// Layer is the number of the layer that the file comes from, counting from 1.
	Layer   int           `json:"layer,omitempty"`
	Digest  digest.Digest `json:"layerDigest,omitempty"`
	Message string        `json:"message"`
	Fix     string        `json:"fix,omitempty"`
	// Via is how the image gets to the file when it starts: ENTRYPOINT, a script.
	Via []string `json:"via,omitempty"`
}

// Report is what was found in the image of one platform.
type Report struct {
	Platform string        `json:"platform"`
	Digest   digest.Digest `json:"digest"`
	// Files is how many files the layers have, ELF how many of the image's are
	// programs and libraries.
	Files int `json:"files"`
	ELF   int `json:"elf"`
	// Layers is how many there are, Cached how many were known and not read.
	Layers int `json:"layers"`
	Cached int `json:"cachedLayers"`
	// Findings are those that matter most, by level and path. Omitted is how many
	// there are beside them.
	Findings []Finding `json:"findings"`
	Omitted  int       `json:"omitted,omitempty"`
}

// maxFindings is how many of one level are kept.
const maxFindings = 500

// Count returns how many findings of a level are listed.
func (r *Report) Count(level Level) int {
	n := 0
	for _, f := range r.Findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

// Failed tells whether the image should not be published.
func (r *Report) Failed() bool { return r.Count(Error) > 0 }

// collector gathers findings in bounded memory.
type collector struct {
	findings []Finding
	counts   map[Level]int
	omitted  int
}

func (c *collector) add(f Finding) {
	if c.counts == nil {
		c.counts = map[Level]int{}
	}
	if c.counts[f.Level]++; c.counts[f.Level] > maxFindings {
		c.omitted++
		return
	}
	c.findings = append(c.findings, f)
}

// sorted keeps the order of findings about the same path.
func (c *collector) sorted() []Finding {
	slices.SortStableFunc(c.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Level.rank(), b.Level.rank()), cmp.Compare(a.Path, b.Path))
	})
	return c.findings
}
