package verify

import (
	"fmt"
	"strings"

	"github.com/containerd/platforms"

	"github.com/mabuild/mabuild/builder/verify/internal/header"
	"github.com/mabuild/mabuild/builder/verify/internal/layer"
)

// checker compares the view of an image with what is wanted.
type checker struct {
	*image
	want   want
	view   *view
	places places
	// judged are the verdicts so far: an image has few different headers.
	judged map[header.Header]judgement
	// told are the paths about which the way from ENTRYPOINT has said the worst.
	told map[string]bool
}

type judgement struct {
	verdict verdict
	what    string
}

func (c *checker) judge(h header.Header) (verdict, string) {
	j, ok := c.judged[h]
	if !ok {
		j.verdict, j.what = c.want.judge(h)
		c.judged[h] = j
	}
	return j.verdict, j.what
}

func (m *image) check(w want, layers []*layer.Layer) error {
	c := &checker{image: m, want: w, view: newView(), told: map[string]bool{}, judged: map[header.Header]judgement{}}
	for i, l := range layers {
		c.leaks(i, l)
		c.view.apply(l)
		layers[i] = nil
	}
	c.places = c.findPlaces()
	c.entrypoint()
	for n := range c.view.nodes {
		c.node(uint32(n))
	}
	if c.view.steps > maxSteps {
		return fmt.Errorf("%w: following its links takes more than %d steps", ErrLimit, maxSteps)
	}
	return nil
}

// findPlaces looks for the directories of PATH and of libraries, by their real
// names: /bin is usr/bin in most images.
func (c *checker) findPlaces() places {
	p := places{path: map[string]bool{}}
	resolved := func(dir string) string {
		if f, err := c.view.find(dir); err == nil {
			dir = f.path
		}
		return strings.Trim(dir, "/")
	}
	for dir := range strings.SplitSeq(c.env("PATH"), ":") {
		if dir = resolved(dir); dir != "" {
			p.path[dir] = true
		}
	}
	list := "/lib:/lib32:/lib64:/usr/lib:/usr/lib32:/usr/lib64:/usr/libexec:/usr/local/lib:" + c.env("LD_LIBRARY_PATH")
	for dir := range strings.SplitSeq(list, ":") {
		if dir = resolved(dir); dir != "" {
			p.libraries = append(p.libraries, dir)
		}
	}
	return p
}

// leaks looks for tools of the build machine in a layer that an assisted step
// wrote, also for those that a later layer removes: they are shipped.
func (c *checker) leaks(i int, l *layer.Layer) {
	if c.Assisted == nil || !c.Assisted(c.platform, c.layerInfo(i)) {
		return
	}
	tools, ok := wanted(c.BuildPlatform)
	if !ok || tools.arch == c.want.arch {
		return
	}
	for e := range l.All() {
		if e.Kind != layer.ELF || c.ignored(e.Path) || c.forgiven.match(e.Path) {
			continue
		}
		if of, known := machineOf(e.Header); known && of.arch == tools.arch {
			if len(c.told) < maxFindings {
				c.told["/"+e.Path] = true
			}
			c.add(c.at(i, Finding{
				Level: Error, Rule: RuleLeak, Path: "/" + e.Path,
				Message: fmt.Sprintf("is for %s: a native tool of an assisted step, or a copy of one, was left in the image", platforms.Format(c.BuildPlatform)),
				Fix:     "build with --assist=off, and report the step: no recipe may leave a tool behind",
			}))
		}
	}
}

// at adds the layer to a finding.
func (c *checker) at(i int, f Finding) Finding {
	if i < len(c.manifest.Layers) {
		f.Layer, f.Digest = i+1, c.manifest.Layers[i].Digest
	}
	return f
}

func (c *checker) ignored(path string) bool { return c.ignore.match(strings.TrimPrefix(path, "/")) }

// node looks at a path of the image for itself.
func (c *checker) node(n uint32) {
	at := c.view.nodes[n]
	if at.kind != program && at.kind != archive && at.kind != foreign || !c.view.live(n) {
		return
	}
	if at.kind == program {
		c.report.ELF++
	}
	path := c.view.path(n)
	name := path[1:]
	if c.told[path] || c.ignore.match(name) || c.forgiven.match(name) {
		return
	}
	strict := c.strict.match(name)
	if c.Mode == Entrypoint && !strict {
		return
	}
	var f Finding
	switch at.kind {
	case program:
		f = c.program(name, c.view.headers[at.ref])
	case archive:
		f = c.archive(name, c.view.members[at.ref])
	case foreign:
		if !c.places.path[parent(name)] {
			return
		}
		f = Finding{Level: Warning, Rule: RuleFormat, Message: "is no program for Linux (" + c.view.texts[at.ref] + ")"}
	}
	if f.Rule == "" {
		return
	}
	if strict && f.Rule != RuleArchiveUnread && f.Rule != RuleCPU {
		f.Level = Error
	}
	if f.Path == "" {
		f.Path = path
	}
	if f.Fix == "" {
		f.Fix = c.fix(name, strict)
	}
	c.add(c.at(int(at.layer), f))
}

func parent(name string) string {
	slash := strings.LastIndexByte(name, '/')
	return name[:max(slash, 0)]
}

func (c *checker) fix(name string, strict bool) string {
	if strict {
		return fmt.Sprintf("take the pin off the stage that it was copied from, or make that stage build for %s", c.report.Platform)
	}
	return fmt.Sprintf("copy it from a stage for %s, or pass --verify-ignore '%s' if it is meant", c.report.Platform, name)
}

// program returns a finding about an ELF file, none if it is as it should be.
func (c *checker) program(name string, h header.Header) Finding {
	result, what := c.judge(h)
	f := Finding{Level: c.places.level(name, h), Rule: RuleMachine, Message: c.but(what)}
	switch result {
	case misfits:
		return f
	case newer:
		return Finding{
			Level: Note, Rule: RuleCPU, Message: what + ", which the platform does not promise",
			Fix: "publish the image for linux/amd64/v" + what[len(what)-1:] + ", or compile for an older level",
		}
	case exotic:
		f.Level = Note
		return f
	case noProgram:
		f.Level, f.Rule, f.Message = c.places.plainLevel(name), RuleFormat, what
		return f
	case portable:
		return Finding{}
	}
	if h.Interp == "" {
		return Finding{}
	}
	if _, err := c.view.find(c.absolute(h.Interp)); err != nil {
		return c.interpreterMissing(h.Interp, c.places.plainLevel(name))
	}
	return Finding{}
}

func (c *checker) but(what string) string {
	return what + ", but the image is for " + c.report.Platform
}

// interpreterMissing explains why a program that is there is "not found".
func (c *checker) interpreterMissing(interp string, level Level) Finding {
	f := Finding{
		Level: level, Rule: RuleInterpreter,
		Message: fmt.Sprintf("is loaded by %s, which is not in the image", interp),
	}
	switch {
	case strings.HasSuffix(interp, "\r"):
		f.Message = fmt.Sprintf("is run by %q, which is not in the image: the script has line ends of Windows", interp)
		f.Fix = "save the script with line ends of Unix; in .gitattributes: *.sh text eol=lf"
	case strings.Contains(interp, "ld-musl"):
		f.Message += ": it was linked with musl (Alpine)"
		f.Fix = "build it in a stage with the C library of the final image, or link it statically"
	case strings.Contains(interp, "ld-linux") || strings.Contains(interp, "/ld64.so") || strings.Contains(interp, "/ld.so"):
		f.Message += ": it was linked with glibc"
		f.Fix = "build it in a stage with the C library of the final image, or link it statically (Go: CGO_ENABLED=0)"
	}
	return f
}

// archive returns a finding about the libraries in an archive. One with libraries
// for many platforms is as it should be if ours is among them.
func (c *checker) archive(name string, e layer.Entry) Finding {
	var bad *layer.Member
	what, level := "", Warning
	for i, member := range e.Members {
		inner := name + "/" + member.Path
		if c.ignore.match(inner) || c.forgiven.match(inner) {
			continue
		}
		result, text := c.judge(member.Header)
		if result == fits || result == newer {
			return Finding{}
		}
		if result == misfits && bad == nil {
			bad, what = &e.Members[i], text
			if names(name, member.Header) {
				level = Note // a package for another platform, on purpose
			}
		}
	}
	if bad != nil {
		return Finding{
			Level: level, Rule: RuleArchive, Path: "/" + name + "!" + bad.Path,
			Message: what + fmt.Sprintf(", and the archive has nothing for %s", c.report.Platform),
			Fix:     fmt.Sprintf("take the package for %s, or pass --verify-ignore '%s' if it is meant", c.report.Platform, name),
		}
	}
	if e.Unread {
		return Finding{Level: Note, Rule: RuleArchiveUnread, Message: "could not be read as a stream to its end, so that what is in it is not known", Fix: "nothing, if it has no libraries in it"}
	}
	return Finding{}
}
