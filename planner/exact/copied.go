package exact

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// Copied returns globs of what the target's image has from some stages by COPY
// --from, without the leading slash: a path, and all below it. What a COPY names
// relative to the working directory is looked for in any.
func (r *Result) Copied(from func(stage string) bool) []string {
	chain := r.chain()
	var globs []string
	for _, s := range r.Steps {
		if s.Kind != "file" || s.Instruction != "COPY" || !slices.Contains(chain, s.Stage) {
			continue
		}
		stage, sources, dest := copyParts(s.Command)
		if len(sources) == 0 || !r.isStage(stage, from) {
			continue
		}
		for _, source := range sources {
			for _, p := range placesOfCopy(source, dest, len(sources)) {
				if !slices.Contains(globs, p) {
					globs = append(globs, p, p+"/**")
				}
			}
		}
	}
	return globs
}

// chain names the target's stage and those that it is FROM.
func (r *Result) chain() []string {
	name := r.Target
	if name == "" && len(r.Stages) > 0 {
		name = r.Stages[len(r.Stages)-1].Name
	}
	var chain []string
	for name != "" && !slices.Contains(chain, name) {
		chain = append(chain, name)
		next := ""
		for _, s := range r.Stages {
			for _, e := range s.Edges {
				if strings.EqualFold(s.Name, name) && e.Kind == EdgeFrom {
					next = e.Stage
				}
			}
		}
		name = next
	}
	return chain
}

// isStage reports whether --from means a stage that from accepts: it may be a
// name or a number.
func (r *Result) isStage(named string, from func(stage string) bool) bool {
	for i, s := range r.Stages {
		if strings.EqualFold(s.Name, named) || named == strconv.Itoa(i) {
			return from(s.Name)
		}
	}
	return false
}

// copyParts reads "COPY --from=build /out/app /app".
func copyParts(command string) (from string, sources []string, dest string) {
	words := strings.Fields(command)
	for len(words) > 0 && (words[0] == "COPY" || strings.HasPrefix(words[0], "--")) {
		if value, ok := strings.CutPrefix(words[0], "--from="); ok {
			from = value
		}
		words = words[1:]
	}
	if from == "" || len(words) < 2 {
		return "", nil, ""
	}
	last := len(words) - 1
	return from, words[:last], words[last]
}

// placesOfCopy are where a source may get to: a directory's content goes into dest,
// a file below it or in its place.
func placesOfCopy(source, dest string, sources int) []string {
	dir := strings.TrimPrefix(path.Clean(dest), "/")
	if !strings.HasPrefix(dest, "/") {
		dir = path.Join("**", dir)
	}
	below := path.Join(dir, path.Base(source))
	switch {
	case dir == "" || dir == "**": // not the whole image
		return []string{below}
	case sources > 1 || strings.HasSuffix(dest, "/"):
		return []string{below}
	}
	return []string{dir}
}
