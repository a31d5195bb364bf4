package lint

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"mvdan.cc/sh/v3/syntax"
)

// checksums finds one checksum for downloads that differ between platforms.
func (l *linter) checksums() {
	if len(l.jobs) < 2 {
		return
	}
	for _, in := range l.src.instructions {
		if add, ok := in.command.(*instructions.AddCommand); ok && add.Checksum != "" {
			l.checksumInAdd(in, add)
		}
	}
	hash := regexp.MustCompile(`\b[0-9a-fA-F]{64}(?:[0-9a-fA-F]{64})?\b`)
	d := newDownloads()
	for _, r := range l.runs {
		if strings.Contains(r.text, "sum") {
			l.checksumInRun(r, hash, d)
		}
	}
}

// checksumInAdd compares what ADD really downloads and expects.
func (l *linter) checksumInAdd(in *instruction, add *instructions.AddCommand) {
	sums := make(map[string]bool)
	for _, s := range l.files[in.start] {
		for word := range strings.FieldsSeq(s.Command) {
			if strings.HasPrefix(word, "--checksum=") {
				sums[word] = true
			}
		}
	}
	sources := l.sourcesOf(in)
	maps.DeleteFunc(sources, func(word string, _ []string) bool { return !strings.Contains(word, "://") })
	if len(sources) < 2 || len(sums) != 1 {
		return
	}
	var jobs []string
	for _, names := range sources {
		jobs = append(jobs, names...)
	}
	l.reportChecksum(in, add.Checksum, add.SourcePaths[0], jobs,
		`download it in a RUN with a checksum for every platform: case "$TARGETARCH" in amd64) sum=… ;; arm64) sum=… ;; esac`)
}

func (l *linter) reportChecksum(in *instruction, text, url string, jobs []string, fix string) {
	l.report(RuleChecksumSingle, in, text, jobs,
		fmt.Sprintf("%s is another file for every platform, but one checksum is expected of all", shown(url)), fix)
}

// checksumInRun finds scripts that download a file by platform and compare it
// with the only checksum that they have.
func (l *linter) checksumInRun(r *run, hash *regexp.Regexp, d *downloads) {
	s := r.script()
	if s == nil || s.dynamic || !slices.ContainsFunc(s.calls, func(c *call) bool {
		return strings.HasPrefix(c.name, "sha") && strings.HasSuffix(c.name, "sum")
	}) {
		return
	}
	sums := make(map[string]bool)
	collect := func(w *syntax.Word) {
		for _, sum := range hash.FindAllString(s.render(w, r.constant), -1) {
			sums[sum] = true
		}
	}
	addresses := make(map[string]bool) // whether it depends on the platform
	for _, c := range s.calls {
		for _, w := range c.args {
			collect(w)
			if c.name == "curl" || c.name == "wget" {
				l.addresses(r, s, w, d, addresses)
			}
		}
	}
	for _, a := range s.assigns {
		collect(a.Value)
	}
	if len(sums) != 1 || len(addresses) == 0 || hash.FindString(r.text) == "" && !strings.Contains(r.text, "$") {
		return
	}
	for _, differs := range addresses {
		if !differs {
			return
		}
	}
	sum := slices.Sorted(maps.Keys(sums))[0]
	l.reportChecksum(r.at, sum, slices.Sorted(maps.Keys(addresses))[0], r.jobs(),
		`choose the checksum: case "$TARGETARCH" in amd64) sum=… ;; arm64) sum=… ;; esac`)
}

// addresses adds the addresses in a word, with whether they depend on the platform:
// what they are made of differs between the jobs, or is asked of the machine.
func (l *linter) addresses(r *run, s *script, w *syntax.Word, d *downloads, found map[string]bool) {
	rendered := s.render(w, r.constant)
	for _, address := range d.address.FindAllString(rendered, -1) {
		found[address] = l.differs(r, s, w, 0)
	}
}

// differs reports whether a word is surely not the same for all platforms.
func (l *linter) differs(r *run, s *script, node syntax.Node, level int) bool {
	different := false
	execs := l.execs(r)
	syntax.Walk(node, func(node syntax.Node) bool {
		switch n := node.(type) {
		case *syntax.CallExpr:
			if len(n.Args) > 0 {
				name := n.Args[0].Lit()
				asks := name == "uname" || name == "arch" || name == "dpkg" || name == "apk"
				different = different || asks && several(execs)
			}
		case *syntax.ParamExp:
			if n.Param == nil {
				return true
			}
			name := n.Param.Value
			if word := s.fixed[name]; word != nil && level < 8 {
				different = different || l.differs(r, s, word, level+1)
			} else if s.assigned[name] == 0 && r.declared(name) {
				different = different || len(l.valuesOf(r, name)) > 1
			}
		}
		return true
	})
	return different
}
