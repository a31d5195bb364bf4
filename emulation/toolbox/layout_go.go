package toolbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// GoOptions say what a toolbox of Go's tools is made from.
type GoOptions struct {
	// Out is the directory to make.
	Out string
	// Host and Target are architectures as Go calls them.
	Host, Target string
	// Native and Base are root file systems of one image, for the host and for the
	// target; Native may be empty, for the one that this runs in.
	Native, Base string
}

// LayoutGo makes a toolbox of the tools of a Go installation. They are linked
// statically and find nothing by their own place, so nothing is written into them.
func LayoutGo(ctx context.Context, o GoOptions) (*Box, error) {
	box, err := layoutGo(ctx, o)
	if err != nil {
		return nil, &Error{Op: "laying out the toolbox of Go for " + o.Target, Err: err}
	}
	return box, nil
}

func layoutGo(ctx context.Context, o GoOptions) (*Box, error) {
	if o.Native == "" {
		o.Native = "/"
	}
	native, err := openTree(o.Native)
	if err != nil {
		return nil, err
	}
	defer func() { _ = native.close() }()
	base, err := openTree(o.Base)
	if err != nil {
		return nil, err
	}
	defer func() { _ = base.close() }()
	box, err := goBox(native, base, o)
	if err != nil {
		return nil, err
	}
	out, err := newOutput(o.Out, box.Slot)
	if err != nil {
		return nil, err
	}
	target, err := byArch(o.Target)
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(base.files, path.Join(goTools, "linux_"+o.Target))
	if err != nil {
		return nil, fmt.Errorf("listing Go's tools: %w", err)
	}
	for _, entry := range entries {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		rule, ok := ruleFor(target, "go", entry.Name())
		if !ok {
			continue
		}
		if err := addGoTool(box, out, native, base, entry.Name(), rule, o); err != nil {
			box.Refused = append(box.Refused, Refusal{Package: "go", Path: "/" + path.Join(goTools, "linux_"+o.Target, entry.Name()), Reason: err.Error()})
		}
	}
	if len(box.Tools) == 0 {
		return nil, errors.New("no tool of the target has a native twin")
	}
	return box, out.finish(box)
}

const goTools = "usr/local/go/pkg/tool"

// goBox describes the toolbox, which both installations have to be the same for.
func goBox(native, base *tree, o GoOptions) (*Box, error) {
	here, err := fs.ReadFile(native.files, goVersionFile)
	if err != nil {
		return nil, fmt.Errorf("reading the version of the native Go: %w", err)
	}
	there, err := fs.ReadFile(base.files, goVersionFile)
	if err != nil {
		return nil, fmt.Errorf("reading the version of the target's Go: %w", err)
	}
	if string(here) != string(there) {
		return nil, fmt.Errorf("the native Go is %.60q and the target's is %.60q: %w", here, there, ErrUnsuited)
	}
	release, err := parseGoVersion(string(here))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsuited, err)
	}
	slot, err := slotOf(release)
	return &Box{Format: format, Kind: Go, Suite: release, Arch: o.Target, Host: o.Host, Slot: slot, Policy: PolicyVersion()}, err
}

func addGoTool(box *Box, out *output, native, base *tree, name string, rule Rule, o GoOptions) error {
	target, err := byArch(o.Target)
	if err != nil {
		return err
	}
	host, err := byArch(o.Host)
	if err != nil {
		return err
	}
	file := "/" + path.Join(goTools, "linux_"+o.Target, name)
	data, err := base.read(file)
	if err != nil {
		return err
	}
	p, err := readProgram(data)
	if err != nil {
		return err
	}
	if p.machine != target.elf || p.buildID == "" {
		return fmt.Errorf("the target's program is for %v and has the build-id %q", p.machine, p.buildID)
	}
	if data, err = native.read("/" + path.Join(goTools, "linux_"+o.Host, name)); err != nil {
		return err
	}
	n, err := readProgram(data)
	if err != nil {
		return err
	}
	if n.machine != host.elf || n.interp.size != 0 || len(n.needs) > 0 {
		return errors.New("the native program is for another machine, or not linked statically")
	}
	at := "t/" + p.buildID + "/" + name
	box.Tools = append(box.Tools, Tool{
		BuildID: p.buildID, Path: file, Names: []string{name}, Class: rule.Class, Package: "go", Version: box.Suite, File: box.Slot + "/" + at,
	})
	return out.add(at, data, 0o755)
}
