package toolbox

import (
	"cmp"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mabuild/mabuild/emulation/dispatch"
)

// merged is what a view is made of.
type merged struct {
	manifest manifest
	boxes    map[string]string // digests by path: where a file that is new is linked from
}

// merge adds toolboxes, the newest first, to what is there. Several of one suite share
// a slot; a tool joins if each file that it needs is either new or the same as the one
// that is there, so that every tool runs with what it was made with. Of two for one
// program the newer wins, but for what was made of an image alone: that comes first, because it
// goes with the libraries that steps begin with. Another tool for it that has another
// closure is the second choice, for a step that has upgraded its libraries.
//
// The policy is asked again: a toolbox may be older than this mabuild.
func merge(boxes []Installed, all bool, there manifest) merged {
	m := merged{manifest{Policy: PolicyVersion(), Boxes: slices.Clone(there.Boxes), Tools: slices.Clone(there.Tools)}, make(map[string]string)}
	files := make(map[string]File)
	tools := make(map[string][]Tool)
	for _, f := range there.Files {
		files[f.Path] = f
	}
	for _, t := range there.Tools {
		tools[t.BuildID] = append(tools[t.BuildID], t)
	}
	for _, box := range boxes {
		own := make(map[string]File, len(box.Box.Files))
		for _, f := range box.Box.Files {
			own[f.Path] = f
		}
		used := false
		for _, tool := range box.Box.Tools {
			tool, ok := judged(tool, box.Box)
			if !ok || !isChoice(tool, tools[tool.BuildID]) || tool.Class != Proven && !all || !fits(tool, own, files) {
				continue
			}
			for _, name := range tool.files() {
				if _, ok := files[name]; !ok {
					files[name], m.boxes[name] = own[name], box.Digest
				}
			}
			tool.Other = len(tools[tool.BuildID]) > 0
			tools[tool.BuildID] = append(tools[tool.BuildID], tool)
			m.manifest.Tools = append(m.manifest.Tools, tool)
			used = true
		}
		if used {
			m.manifest.Boxes = append(m.manifest.Boxes, box.Digest)
		}
	}
	for _, f := range files {
		m.manifest.Files = append(m.manifest.Files, f)
	}
	slices.SortFunc(m.manifest.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(m.manifest.Tools, func(a, b Tool) int {
		return cmp.Or(strings.Compare(a.BuildID, b.BuildID), strings.Compare(a.dir(), b.dir()))
	})
	slices.Sort(m.manifest.Boxes)
	m.manifest.Boxes = slices.Compact(m.manifest.Boxes)
	return m
}

// isChoice reports whether a tool is something else than those that are there for the
// program, of which there are two places.
func isChoice(tool Tool, there []Tool) bool {
	return len(there) == 0 || len(there) == 1 && !slices.Equal(tool.Closure, there[0].Closure)
}

// dir is where the tool's names are in a view.
func (t *Tool) dir() string {
	if t.Other {
		return otherDir
	}
	return idDir
}

// judged asks today's policy about a tool of a box.
func judged(tool Tool, box *Box) (Tool, bool) {
	target, err := byArch(box.Arch)
	if err != nil {
		return tool, false
	}
	name := strings.TrimPrefix(path.Base(tool.Path), "arm-linux-gnueabi-") // armel, which Go calls arm, too
	rule, ok := ruleFor(target, tool.Package, name)
	if !ok {
		return tool, false
	}
	tool.Class, tool.Other = rule.Class, false
	tool.Limits, err = limitsOf(rule, box, &tool)
	return tool, err == nil
}

// fits reports whether a tool can join the files that are there.
func fits(tool Tool, own, files map[string]File) bool {
	for _, name := range tool.files() {
		if there, ok := files[name]; ok && there != own[name] {
			return false
		}
	}
	return true
}

// files are all that a tool needs of its toolbox.
func (t *Tool) files() []string {
	files := append([]string{t.File}, t.Needs...)
	if t.Plugin != "" {
		files = append(files, t.Plugin)
	}
	return files
}

// writeNames makes the directory of a build-id, which is what the stub looks into.
func writeNames(dir string, tool Tool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	names := append([]string{dispatch.AnyName}, tool.Names...)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if err := os.Symlink("../../"+tool.File, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if tool.Plugin != "" {
		if err := os.Symlink("../../"+tool.Plugin, filepath.Join(dir, dispatch.PluginName)); err != nil {
			return err
		}
	}
	rules, err := dispatch.FormatRules(tool.Limits)
	if err != nil {
		return err
	}
	var closure strings.Builder
	for _, need := range tool.Closure {
		closure.WriteString(need.BuildID + " " + need.Path + "\n")
	}
	return errors.Join(
		writeText(filepath.Join(dir, dispatch.RulesName), rules),
		writeText(filepath.Join(dir, dispatch.ClosureName), []byte(closure.String())),
	)
}

// writeText writes a file for the stub, or none if there is nothing in it.
func writeText(name string, text []byte) error {
	if len(text) == 0 {
		return nil
	}
	if err := os.WriteFile(name, text, 0o644); err != nil {
		return err
	}
	return os.Chmod(name, 0o644)
}
