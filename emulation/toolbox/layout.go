package toolbox

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// LayoutOptions say what a toolbox of Debian's packages is made from.
type LayoutOptions struct {
	// Out is the directory to make.
	Out string
	// Suite names the release.
	Suite string
	// Host and Target are architectures as Debian calls them.
	Host, Target string
	// Native is the root file system with the native packages; empty is the one that
	// this runs in.
	Native string
	// Base is the root file system of the image for the target; empty is none.
	Base string
	// Packages is a directory with packages of the target, *.deb; empty is none.
	Packages string
	// Fetch downloads the packages that it is given into a directory, as far as they
	// are to be had; nil downloads none.
	Fetch func(ctx context.Context, dir string, packages []string) error
	// Expected are the names of packages of the target; one that is not there is
	// recorded.
	Expected []string
	// OptIn takes the tools that must be asked for, too.
	OptIn bool
	// Log gets a line for each refusal; nil discards them.
	Log io.Writer
}

// Layout makes a toolbox of the programs that the policy allows: of those in the base
// and the packages of the target, each that has a native twin of the same source. It
// runs on the native system that the twins are installed on, and needs its dpkg-deb
// to unpack packages.
//
// The same packages make the same toolbox, byte for byte.
func Layout(ctx context.Context, o LayoutOptions) (*Box, error) {
	box, err := layout(ctx, o)
	if err != nil {
		return nil, &Error{Op: "laying out the toolbox " + o.Suite + " for " + o.Target, Err: err}
	}
	return box, nil
}

func layout(ctx context.Context, o LayoutOptions) (*Box, error) {
	l := &layouter{LayoutOptions: o, libraries: make(map[string]library), twins: make(map[string]Need), packages: make(map[string]string)}
	defer l.close()
	if err := l.open(ctx); err != nil {
		return nil, err
	}
	l.expect()
	if err := l.choose(ctx); err != nil {
		return nil, err
	}
	tools, err := l.bind(ctx)
	if err != nil {
		return nil, err
	}
	box := &Box{
		Format: format, Kind: l.suite.Kind, Suite: o.Suite, Arch: l.target.arch, Host: l.host.arch, Slot: l.slot,
		Policy: PolicyVersion(), OptIn: o.OptIn, Tools: tools, Refused: l.refused, Packages: l.packages,
	}
	for _, refusal := range l.refused {
		if o.Log != nil {
			fmt.Fprintln(o.Log, refusal)
		}
	}
	return box, l.output.finish(box)
}

// layouter is a layout that is being made.
type layouter struct {
	LayoutOptions
	host, target machine
	suite        Suite
	slot         string
	work         string // directory
	native       *tree
	trees        []*tree // of the target: the base, and packages
	chosen       []candidate
	plugin       *candidate // the LTO plugin, nil if it is not to be had
	refused      []Refusal
	libraries    map[string]library // native ones that were looked at, by name
	twins        map[string]Need    // of native libraries, by name
	packages     map[string]string  // versions of the target's packages that are used
	output       *output
}

// candidate is a program of the target and the native one that may stand for it.
type candidate struct {
	pkg     Package // the target's
	twin    Package
	rule    Rule
	path    string
	names   []string
	program program // the target's
	data    []byte  // native
	native  program
}

func (l *layouter) open(ctx context.Context) (err error) {
	if l.host, err = byDebian(l.Host); err != nil {
		return err
	}
	if l.target, err = byDebian(l.Target); err != nil {
		return err
	}
	if l.suite, err = LookupSuite(l.Suite); err != nil {
		return err
	}
	l.slot = l.suite.Slot
	if l.work, err = os.MkdirTemp("", "toolbox-"); err != nil {
		return err
	}
	if l.output, err = newOutput(l.Out, l.slot); err != nil {
		return err
	}
	if l.Native == "" {
		l.Native = "/"
	}
	if l.native, err = openRoot(l.Native); err != nil {
		return err
	}
	if l.Base != "" {
		base, err := openRoot(l.Base)
		if err != nil {
			return err
		}
		l.trees = append(l.trees, base)
	}
	if l.Packages == "" {
		return nil
	}
	return l.unpack(ctx, l.Packages)
}

// expect records what should be there and is not.
func (l *layouter) expect() {
	for _, name := range l.Expected {
		if !slices.ContainsFunc(l.trees, func(t *tree) bool { _, ok := named(t.packages, name, l.target.debian); return ok }) {
			l.refuse(Refusal{Package: name, Reason: "the target's package is not to be had"})
		}
	}
}

func (l *layouter) close() {
	for _, t := range append(l.trees, l.native) {
		if t != nil {
			_ = t.close()
		}
	}
	if l.work != "" {
		_ = os.RemoveAll(l.work)
	}
}

func (l *layouter) refuse(r Refusal) { l.refused = append(l.refused, r) }

// String is the line for people.
func (r Refusal) String() string {
	text := "refused: " + r.Package
	if r.Path != "" {
		text += " " + r.Path
	}
	if r.Target != "" || r.Native != "" {
		text += fmt.Sprintf(" (target %s, native %s)", cmp.Or(r.Target, "none"), cmp.Or(r.Native, "none"))
	}
	return text + ": " + r.Reason
}

// choose finds the programs that the policy allows and that have a twin.
func (l *layouter) choose(ctx context.Context) error {
	trees := l.trees
	if l.suite.Kind == Install && l.Base != "" {
		trees = trees[1:] // what the image itself has is in the toolbox of that
	}
	for _, t := range trees {
		for _, pkg := range t.packages {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if !isWanted(pkg.Name, l.OptIn) || pkg.Architecture != l.target.debian {
				continue
			}
			if err := l.choosePackage(t, pkg); err != nil {
				return fmt.Errorf("package %s: %w", pkg.Name, err)
			}
		}
	}
	return nil
}

func (l *layouter) choosePackage(t *tree, pkg Package) error {
	files, err := t.filesOf(pkg)
	if err != nil {
		return err
	}
	var candidates []candidate
	for _, name := range files {
		if c, ok := l.candidate(t, pkg, name, files); ok {
			candidates = append(candidates, c)
		}
	}
	if len(candidates) == 0 {
		return nil
	}
	twin, ok := l.twinOf(pkg)
	if !ok || !isTwin(pkg, twin) {
		refusal := Refusal{Package: pkg.Name, Target: pkg.source().String(), Reason: "the native package is not installed"}
		if ok {
			refusal.Native, refusal.Reason = Package{Source: twin.Source, Version: twin.Version}.described(), "they are not of the same source"
			refusal.Target = pkg.described()
		}
		l.refuse(refusal)
		return nil
	}
	for _, c := range candidates {
		c.twin = twin
		l.take(t, c)
	}
	return nil
}

// described is a package's source with the version of the package.
func (p Package) described() string { return p.Source + " " + p.Version }

// candidate looks whether a file is a program that may be replaced.
func (l *layouter) candidate(t *tree, pkg Package, name string, files []string) (candidate, bool) {
	base := path.Base(name)
	rule, ok := ruleFor(l.target, pkg.Name, base)
	ok = ok && (rule.Class == Proven || l.OptIn)
	if base == pluginName && strings.HasPrefix(pkg.Name, "gcc-") {
		ok = true
	}
	if !ok || !t.isRegular(name) {
		return candidate{}, false
	}
	data, err := t.read(name)
	if err != nil {
		return candidate{}, false
	}
	p, err := readProgram(data)
	if err != nil || p.machine != l.target.elf || p.bits != l.target.bits || p.buildID == "" {
		return candidate{}, false
	}
	return candidate{pkg: pkg, rule: rule, path: name, names: l.names(t, name, files), program: p}, true
}

// names are those that a program is executed by, its own first.
func (l *layouter) names(t *tree, name string, files []string) []string {
	base := path.Base(name)
	names := []string{base}
	if short, ok := strings.CutPrefix(base, l.target.triplet+"-"); ok {
		names = append(names, short)
		if short == "ld.bfd" {
			names = append(names, "ld", l.target.triplet+"-ld")
		}
	}
	if base == "dash" { // by an alternative
		names = append(names, "sh")
	}
	for _, file := range files {
		if t.linkTo(file) == name && isName(path.Base(file)) {
			names = append(names, path.Base(file))
		}
	}
	slices.Sort(names[1:])
	return slices.Compact(names)
}

// twinOf finds the native package. Before Debian 13 the target's own compiler had no
// triplet in the names of its packages, and the native one of that name is another.
func (l *layouter) twinOf(pkg Package) (Package, bool) {
	if twin, ok := named(l.native.packages, pkg.Name+"-"+strings.ReplaceAll(l.target.triplet, "_", "-"), l.host.debian); ok {
		return twin, true
	}
	return named(l.native.packages, pkg.Name, l.host.debian)
}

// take makes the native program ready to stand for the target's.
func (l *layouter) take(t *tree, c candidate) {
	if i := slices.IndexFunc(l.chosen, func(o candidate) bool { return o.program.buildID == c.program.buildID }); i >= 0 {
		l.chosen[i].names = union(l.chosen[i].names, c.names)
		return
	}
	err := l.prepare(t, &c)
	switch {
	case err != nil:
		l.refuse(Refusal{Package: c.pkg.Name, Path: c.path, Target: c.pkg.described(), Native: c.twin.described(), Reason: err.Error()})
	case path.Base(c.path) == pluginName:
		l.plugin = &c
	default:
		l.chosen = append(l.chosen, c)
	}
}

func union(names, more []string) []string {
	for _, name := range more {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (l *layouter) prepare(t *tree, c *candidate) (err error) {
	if c.data, err = l.readNative(c.path); err != nil {
		return err
	}
	if c.native, err = readProgram(c.data); err != nil {
		return err
	}
	if c.native.machine != l.host.elf {
		return fmt.Errorf("the native file is for %v", c.native.machine)
	}
	if !isGCC(c.path) {
		return nil
	}
	target, err := t.read(c.path)
	if err != nil {
		return err
	}
	if bytes.Contains(target, []byte(offload)) != bytes.Contains(c.data, []byte(offload)) {
		return errors.New("only one of them is made to offload to accelerators")
	}
	if name := path.Base(c.path); name == "cc1" || name == "cc1plus" {
		return relocateCompiler(c.data, target, l.target.triplet)
	}
	return nil
}

// offload is in a program that starts the compilers of accelerators.
const offload = "mkoffload"

// readNative reads the native file for a path of the target: the same, or for what
// belongs to the compiler the one of the compiler that crosses.
func (l *layouter) readNative(name string) ([]byte, error) {
	names := []string{name}
	if isGCC(name) {
		names = []string{strings.Replace(name, "/gcc/", "/gcc-cross/", 1)}
	} else if dir, base, ok := strings.Cut(strings.TrimPrefix(name, "/"), "/"); ok && (dir == "bin" || dir == "sbin") {
		names = append(names, "/usr"+name) // the old name of the directory
	} else if strings.HasPrefix(name, "/usr/bin/") {
		names = append(names, "/bin/"+path.Base(base))
	}
	for _, name := range names {
		if data, err := l.native.read(name); err == nil {
			return data, nil
		}
	}
	return nil, fmt.Errorf("the native file %s is not there", names[0])
}

// isGCC reports whether a file is in the compiler's own directory.
func isGCC(name string) bool {
	return strings.HasPrefix(name, "/usr/libexec/gcc/") || strings.HasPrefix(name, "/usr/lib/gcc/")
}
