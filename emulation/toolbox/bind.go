package toolbox

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
)

// bfdPlugin is where ar and its like find the LTO plugin by themselves; the toolbox's
// look into the toolbox. So that they find one exactly where the target's do, it
// belongs to their closure.
const bfdPlugin = "/usr/lib/bfd-plugins/" + pluginName

// bind writes the chosen programs, and what they load, bound to the slot.
func (l *layouter) bind(ctx context.Context) ([]Tool, error) {
	if err := l.fetch(ctx); err != nil {
		return nil, err
	}
	if err := l.writeLoader(); err != nil {
		return nil, err
	}
	if l.plugin != nil {
		if err := l.output.add(pluginDir+"/"+pluginName, l.plugin.data, 0o644); err != nil {
			return nil, err
		}
	}
	tools := make(map[string]Tool) // by build-id
	for _, c := range l.chosen {
		tool, err := l.tool(c)
		if err != nil {
			l.refuse(Refusal{Package: c.pkg.Name, Path: c.path, Target: c.pkg.described(), Native: c.twin.described(), Reason: err.Error()})
			continue
		}
		tools[c.program.buildID] = tool
	}
	l.keepUnits(tools)
	return l.write(ctx, tools)
}

// writeLoader writes the dynamic loader.
func (l *layouter) writeLoader() error {
	var loader []byte
	err := errors.New("this system has no dynamic loader that is known")
	for _, name := range []string{"/usr/lib64/ld-linux-x86-64.so.2", "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld-2.31.so"} {
		if loader, err = l.native.read(name); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	if err := bindDirectories(loader, l.host, l.slot); err != nil {
		return err
	}
	return l.output.add(loaderName, loader, 0o755)
}

// tool describes a chosen program, with all that it needs here and there.
func (l *layouter) tool(c candidate) (Tool, error) {
	if c.rule.Unit != "" && l.plugin == nil {
		return Tool{}, errors.New("the LTO plugin of the suite's compiler cannot be used, and the unit is not whole without")
	}
	if err := bindLoader(c.data, c.native, l.slot); err != nil {
		return Tool{}, err
	}
	libraries, err := l.closure(c.native)
	if err != nil {
		return Tool{}, err
	}
	at := l.slot + "/"
	tool := Tool{
		BuildID: c.program.buildID, Path: c.path, Names: c.names, Class: c.rule.Class, Package: c.pkg.Name, Version: c.pkg.source().version,
		File: at + "t/" + c.program.buildID + "/" + path.Base(c.path), Needs: []string{at + loaderName},
	}
	for _, lib := range libraries {
		tool.Needs = append(tool.Needs, at+libraryDir(l.host)+"/"+lib.name)
		if !isChecked(c, lib) {
			continue
		}
		need, err := l.twinLibrary(lib)
		if err != nil {
			return Tool{}, err
		}
		tool.Closure = append(tool.Closure, need)
	}
	if c.rule.Unit != "" || path.Base(c.path) == "lto1" {
		tool.Plugin = at + pluginDir + "/" + pluginName
	}
	if name := strings.TrimPrefix(path.Base(c.path), l.target.triplet+"-"); c.rule.Unit != "" && name != "as" && name != "ld.bfd" {
		tool.Closure = append(tool.Closure, Need{BuildID: l.plugin.program.buildID, Path: bfdPlugin})
	}
	return tool, nil
}

// keepUnits leaves units out that are not whole.
func (l *layouter) keepUnits(tools map[string]Tool) {
	broken := make(map[string]string) // a tool that is not there by unit
	for _, r := range l.refused {
		if rule, ok := ruleFor(l.target, r.Package, path.Base(r.Path)); ok && rule.Unit != "" {
			broken[rule.Unit] = path.Base(r.Path)
		}
	}
	for _, c := range l.chosen {
		tool, ok := tools[c.program.buildID]
		if cause := broken[c.rule.Unit]; ok && cause != "" {
			delete(tools, tool.BuildID)
			l.refuse(Refusal{Package: c.pkg.Name, Path: c.path, Target: c.pkg.described(), Native: c.twin.described(), Reason: "its unit is not whole without " + cause})
		}
	}
}

// write writes the tools and the libraries that they need.
func (l *layouter) write(ctx context.Context, tools map[string]Tool) ([]Tool, error) {
	var list []Tool
	needed := make(map[string]bool)
	for _, c := range l.chosen {
		tool, ok := tools[c.program.buildID]
		if !ok {
			continue
		}
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if err := l.output.add(strings.TrimPrefix(tool.File, l.slot+"/"), c.data, 0o755); err != nil {
			return nil, err
		}
		for _, need := range tool.Needs {
			needed[path.Base(need)] = true
		}
		list = append(list, tool)
		l.packages[c.pkg.Name] = c.pkg.Version
	}
	for name, lib := range l.libraries {
		if !needed[name] {
			continue
		}
		if err := l.output.add(libraryDir(l.host)+"/"+name, lib.data, 0o644); err != nil {
			return nil, err
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no program of the target has a native twin:\n" + l.reasons())
	}
	return list, nil
}

// reasons are the refusals as lines, each once.
func (l *layouter) reasons() string {
	var lines []string
	for _, r := range l.refused {
		lines = append(lines, r.String())
	}
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), "\n")
}
