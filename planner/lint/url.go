package lint

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// downloads recognises what is fetched or installed.
type downloads struct {
	address *regexp.Regexp
	archive *regexp.Regexp
	foreign *regexp.Regexp // for another system, or for a machine that is emulated
}

func newDownloads() *downloads {
	return &downloads{
		address: regexp.MustCompile(`(?i)(?:https?|ftp)://[^\s'"<>|;)]+`),
		archive: regexp.MustCompile(`(?i)^[^\s'"<>|;=]+\.(?:` + archives + `)$`),
		foreign: regexp.MustCompile(`(?i)windows|win32|win64|win-?x64|darwin|macos|osx|freebsd|android|\.exe\b|\.msi\b|\.dmg\b|` +
			`qemu|firmware|uefi|ovmf|aavmf|vmlinu|initr|kernel|bios|\.iso\b|\.qcow2\b|\.img\b`),
	}
}

// named is a download with the architecture in its name.
type named struct {
	text  string // address or file
	token token
}

// find returns the downloads in a word that name one architecture. The name of a
// server does not count.
func (d *downloads) find(word string, files bool) []named {
	var found []named
	var candidates []string
	if strings.Contains(word, "://") {
		candidates = d.address.FindAllString(word, -1)
	}
	if len(candidates) == 0 && files && d.archive.MatchString(word) {
		candidates = []string{word}
	}
	for _, candidate := range candidates {
		start := 0
		if i := strings.Index(candidate, "://"); i >= 0 {
			slash := strings.IndexByte(candidate[i+3:], '/')
			if slash < 0 {
				continue
			}
			start = i + 3 + slash
		}
		hits := tokens(candidate[start:])
		if len(hits) == 0 || slices.ContainsFunc(hits, func(t token) bool { return t.arch != hits[0].arch }) || d.foreign.MatchString(candidate[start:]) {
			continue
		}
		found = append(found, named{text: candidate, token: hits[0]})
	}
	return found
}

// urls finds downloads for one architecture in stages that execute on several.
func (l *linter) urls() {
	d := newDownloads()
	for _, r := range l.runs {
		l.urlsInRun(r, d)
	}
	for _, in := range l.src.instructions {
		if in.kind == "ADD" && l.stages[in.stage].varies && !l.stages[in.stage].windows {
			l.urlsInAdd(in, d)
		}
	}
}

func (l *linter) urlsInRun(r *run, d *downloads) {
	execs := l.execs(r)
	if !several(execs) {
		return
	}
	if r.words != nil {
		for _, word := range r.words[1:] {
			for _, n := range d.find(word, installs(path.Base(r.words[0]), r.words[1:])) {
				if l.reportURL(r.at, n, execs) {
					return
				}
			}
		}
		return
	}
	if !strings.Contains(r.text, "/") && !strings.Contains(r.text, ".") || !l.mentionsArch(r) {
		return
	}
	s := r.script()
	if s == nil || s.adapts(r.constant) {
		return
	}
	for _, w := range l.fetched(s, r, d) {
		if l.reportURL(r.at, w, execs) {
			return
		}
	}
}

// mentionsArch is a quick look at a script and at what it may get from outside.
func (l *linter) mentionsArch(r *run) bool {
	return strings.Contains(r.text, "$") || len(tokens(r.text)) > 0
}

// fetched returns the downloads in the words of commands that fetch or install,
// and in what is assigned to variables.
func (l *linter) fetched(s *script, r *run, d *downloads) []named {
	var found []named
	for _, c := range s.calls {
		if !fetches(c.name) {
			continue
		}
		words := make([]string, len(c.args))
		for i, arg := range c.args {
			words[i] = s.render(arg, r.constant)
		}
		files := installs(c.name, words)
		for _, word := range words {
			found = append(found, d.find(word, files)...)
		}
	}
	for _, a := range s.assigns {
		found = append(found, d.find(s.render(a.Value, r.constant), false)...)
	}
	return found
}

// fetches reports whether a command downloads or installs what it is given.
func fetches(name string) bool {
	switch name {
	case "curl", "wget", "aria2c", "axel", "fetch", "http", "dpkg", "rpm", "apt", "apt-get", "yum", "dnf", "microdnf", "tdnf",
		"zypper", "apk", "pip", "pip3", "uv", "tar", "bsdtar", "unzip", "ADD":
		return true
	}
	return false
}

// installs reports whether the names of files among the words of a command are
// those of files to unpack or install.
func installs(name string, words []string) bool {
	switch name {
	case "dpkg", "rpm", "apt", "apt-get", "yum", "dnf", "microdnf", "tdnf", "zypper", "apk", "pip", "pip3", "uv", "bsdtar", "unzip":
		return true
	case "tar":
		if len(words) > 0 { // the operation comes first
			return words[0] == "--extract" || !strings.HasPrefix(words[0], "--") && strings.Contains(words[0], "x")
		}
	}
	return false
}

// reportURL reports a download unless the stage names other architectures, too.
func (l *linter) reportURL(at *instruction, n named, execs map[string]string) bool {
	var bad []string
	for _, j := range l.jobs {
		if exec, ok := execs[j.name]; ok && !runsOn(exec, n.token.arch) {
			bad = append(bad, j.name)
		}
	}
	if len(bad) == 0 || l.isMixed(at.stage) {
		return false
	}
	l.report(RuleArchURL, at, n.token.text, bad,
		fmt.Sprintf("%s is for %s, but the stage is built for %s, too", shown(n.text), n.token.arch, strings.Join(bad, ", ")),
		fixURL(at, n))
	return true
}

// shown shortens an address and marks what only the shell knows.
func shown(text string) string {
	text = strings.ReplaceAll(text, unknown, "…")
	if len(text) > 200 {
		text = text[:200] + "…"
	}
	return strings.ToValidUTF8(text, "?")
}

// fixURL writes the address with the platform in it.
func fixURL(at *instruction, n named) string {
	whole := shown(n.text)
	switch {
	case n.token.text == "x86_64" && at.kind == "RUN" || n.token.text == "aarch64" && at.kind == "RUN":
		return "write " + strings.Replace(whole, n.token.text, "$(uname -m)", 1) + " if the file has that name for all platforms"
	case n.token.text == "amd64" || n.token.text == "arm64":
		return "insert ARG TARGETARCH above and write " + strings.Replace(whole, n.token.text, "${TARGETARCH}", 1)
	}
	return `insert ARG TARGETARCH above and choose the file: case "$TARGETARCH" in amd64) … ;; arm64) … ;; esac`
}

// urlsInAdd looks at what ADD really downloads, or at the archive that it unpacks.
func (l *linter) urlsInAdd(in *instruction, d *downloads) {
	words := l.sourcesOf(in)
	for _, word := range slices.Sorted(maps.Keys(words)) {
		execs := maps.Clone(l.stages[in.stage].exec)
		maps.DeleteFunc(execs, func(job, _ string) bool { return !slices.Contains(words[word], job) })
		if !several(execs) {
			continue
		}
		for _, n := range d.find(word, true) {
			if l.reportURL(in, n, execs) {
				return
			}
		}
	}
}

// sourcesOf returns what ADD and COPY take, after expansion, with the jobs that
// do.
func (l *linter) sourcesOf(in *instruction) map[string][]string {
	found := make(map[string][]string)
	for _, s := range l.files[in.start] {
		words := strings.Fields(s.Command)
		if len(words) < 3 {
			continue
		}
		for _, word := range words[1 : len(words)-1] {
			if strings.HasPrefix(word, "--") {
				continue
			}
			for _, job := range s.Platforms {
				found[word] = addName(found[word], job)
			}
		}
	}
	return found
}

// isMixed reports whether the instructions of a stage name several architectures,
// so that one of them may be chosen later.
func (l *linter) isMixed(stage int) bool {
	known, ok := l.mixed[stage]
	if ok {
		return known
	}
	arches := make(map[string]bool)
	for _, in := range l.src.instructions {
		if in.stage != stage || in.kind == "FROM" {
			continue
		}
		for _, t := range tokens(l.src.text(in)) {
			arches[t.arch] = true
		}
		if len(arches) > 1 {
			break
		}
	}
	l.mixed[stage] = len(arches) > 1
	return l.mixed[stage]
}
