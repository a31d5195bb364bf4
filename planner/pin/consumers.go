package pin

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/mabuild/mabuild/planner/assist/script"

	"github.com/mabuild/mabuild/planner"
)

// consumers checks S3 to S5: only files leave the stage, and only its products.
func (a *analysis) consumers(i int) []Reason {
	name := a.plan.Stages[i].Name
	var reasons []Reason
	if a.isTarget(i) {
		reasons = append(reasons, Reason{"S3", a.plan.Stages[i].Line, "its files are those of the image"})
	}
	for k, other := range a.file.stages {
		if k > i && a.file.stages[i].Name != "" && other.BaseName == a.file.stages[i].Name {
			reasons = append(reasons, Reason{"S3", planner.FirstLine(other.Location), fmt.Sprintf("stage %s is built from it", stageName(other, k))})
		}
		for _, command := range other.Commands {
			line := planner.FirstLine(command.Location())
			switch c := command.(type) {
			case *instructions.CopyCommand:
				if a.names(c.From, i, true) {
					reasons = append(reasons, wide(c.SourcePaths, line)...)
				}
			case *instructions.RunCommand:
				// Only this makes BuildKit read the targets of mounts.
				if c.Expand(func(word string) (string, error) { return word, nil }) != nil {
					continue // BuildKit refuses it
				}
				for _, mount := range instructions.GetMounts(c) {
					if a.names(mount.From, i, false) && executes(c, mount.Target) {
						reasons = append(reasons, Reason{"S4", line, fmt.Sprintf("stage %s runs programs from %s", stageName(other, k), name)})
					}
				}
			}
		}
	}
	return reasons
}

// isTarget reports whether a stage makes the image.
func (a *analysis) isTarget(i int) bool {
	target := len(a.file.stages) - 1
	if a.plan.Target != "" {
		for k, s := range slices.Backward(a.file.stages) {
			if strings.EqualFold(s.Name, a.plan.Target) {
				target = k
				break
			}
		}
	}
	return i == target
}

// names reports whether --from means a stage.
func (a *analysis) names(from string, i int, numbers bool) bool {
	if from == "" {
		return false
	}
	if number, err := strconv.Atoi(from); numbers && err == nil {
		return number == i
	}
	for k, s := range slices.Backward(a.file.stages) {
		if s.Name != "" && strings.EqualFold(s.Name, from) {
			return k == i
		}
	}
	return false
}

// wideDirs have more in them than what a stage made.
var wideDirs = []string{
	"/", "/usr", "/usr/local", "/lib", "/lib64", "/bin", "/sbin", "/etc", "/var", "/opt", "/root", "/home", "/go", "/usr/lib", "/usr/bin", "/usr/sbin",
	"/usr/local/bin", "/usr/local/lib", "/usr/local/go", "/usr/share",
}

// wide checks S5: what is copied are products, not parts of the base.
func wide(paths []string, line int) []Reason {
	for _, p := range paths {
		dir := path.Clean("/" + strings.TrimRight(p, "*"))
		switch {
		case slices.Contains(wideDirs, dir):
			return []Reason{{"S5", line, fmt.Sprintf("all of %s is copied, also what belongs to the platform", p)}}
		case strings.Contains(p, "node_modules"), strings.Contains(p, "site-packages"), strings.Contains(p, "/venv"), strings.Contains(p, "dist-packages"):
			return []Reason{{"S5", line, fmt.Sprintf("%s is copied, which may have native modules in it", p)}}
		case strings.Contains(p, "$"):
			return []Reason{{"S5", line, fmt.Sprintf("what %s copies is not known", p)}}
		}
	}
	return nil
}

// executes checks S4: whether a command runs something that is mounted at target.
func executes(run *instructions.RunCommand, target string) bool {
	commands, opaque := script.Read(argsOf(run))
	if opaque || strings.Contains(target, "$") {
		return true
	}
	return slices.ContainsFunc(commands, func(c script.Command) bool {
		if len(c.Words) == 0 {
			return false
		}
		if strings.HasPrefix(c.Words[0], target) || c.Scripted() {
			return true
		}
		path := func(word string) bool { return strings.HasPrefix(word, "PATH=") && strings.Contains(word, target) }
		return slices.ContainsFunc(c.Words, path) || slices.ContainsFunc(c.Assigns, path)
	})
}
