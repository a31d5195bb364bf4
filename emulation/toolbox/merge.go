package toolbox

import (
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
	boxes    map[string]string // digests by path: where a file is linked from
}

// merge joins toolboxes, the newest first. Several of one suite share a slot; a tool
// joins if each file that it needs is either new or the same as the one that is there,
// so that every tool runs with what it was made with. Of two for one program the
// newer wins.
//
// The policy is asked again: a toolbox may be older than this mabuild.
func merge(boxes []Installed, all bool) merged {
	m := merged{manifest{Policy: PolicyVersion()}, make(map[string]string)}
	files := make(map[string]File)
	tools := make(map[string]bool)
	for _, box := range boxes {
		own := make(map[string]File, len(box.Box.Files))
		for _, f := range box.Box.Files {
			own[f.Path] = f
		}
		used := false
		for _, tool := range box.Box.Tools {
			tool, ok := judged(tool, box.Box.Arch)
			if !ok || tools[tool.BuildID] || tool.Class != Proven && !all || !fits(tool, own, files) {
				continue
			}
			for _, name := range tool.files() {
				files[name] = own[name]
				if m.boxes[name] == "" {
					m.boxes[name] = box.Digest
				}
			}
			tools[tool.BuildID] = true
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
	slices.SortFunc(m.manifest.Tools, func(a, b Tool) int { return strings.Compare(a.BuildID, b.BuildID) })
	slices.Sort(m.manifest.Boxes)
	return m
}

// judged asks today's policy about a tool.
func judged(tool Tool, arch string) (Tool, bool) {
	target, err := byArch(arch)
	if err != nil {
		return tool, false
	}
	name := strings.TrimPrefix(path.Base(tool.Path), "arm-linux-gnueabi-") // armel, which Go calls arm, too
	rule, ok := ruleFor(target, tool.Package, name)
	tool.Class = rule.Class
	return tool, ok
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

// write makes the directory: the files by hard links, the names by links to them.
func (m *merged) write(boxes, dir string) error {
	for _, f := range m.manifest.Files {
		name := filepath.FromSlash(f.Path)
		if err := linkFile(filepath.Join(boxes, m.boxes[f.Path], name), filepath.Join(dir, name), f.Mode); err != nil {
			return err
		}
	}
	for _, tool := range m.manifest.Tools {
		if err := writeNames(filepath.Join(dir, "id", tool.BuildID), tool); err != nil {
			return err
		}
	}
	return filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			err = os.Chmod(name, 0o755)
		}
		return err
	})
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
	if len(tool.Closure) == 0 {
		return nil
	}
	var text strings.Builder
	for _, need := range tool.Closure {
		text.WriteString(need.BuildID + " " + need.Path + "\n")
	}
	name := filepath.Join(dir, dispatch.ClosureName)
	if err := os.WriteFile(name, []byte(text.String()), 0o644); err != nil {
		return err
	}
	return os.Chmod(name, 0o644)
}
