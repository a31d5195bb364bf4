package lint

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/mabuild/mabuild/planner/exact"
)

// run is one RUN with all that it becomes. What triggers run stands at the FROM.
type run struct {
	at    *instruction
	steps []*exact.Step
	text  string   // of the script; empty if the command is not one for a shell
	words []string // of a command without a shell

	parsed *script
	tried  bool
	envs   []map[string]string
}

// collectRuns finds the commands of the plan, apart from those for Windows.
func (l *linter) collectRuns() []*run {
	type key struct {
		line   int
		script string
	}
	byKey := make(map[key]*run)
	var runs []*run
	for i := range l.plan.Steps {
		s := &l.plan.Steps[i]
		if s.Kind != "exec" || len(s.Args) == 0 || strings.HasPrefix(s.ExecPlatform, "windows") {
			continue
		}
		for _, place := range append([]exact.Place{s.Place}, s.Also...) {
			at := l.src.byLine[place.Line]
			if at == nil || at.stage < 0 {
				continue
			}
			k := key{place.Line, s.Args[len(s.Args)-1]}
			r := byKey[k]
			if r == nil {
				r = &run{at: at}
				r.text, r.words = scriptOf(at, s.Args)
				byKey[k] = r
				runs = append(runs, r)
			}
			r.steps = append(r.steps, s)
		}
	}
	slices.SortStableFunc(runs, func(a, b *run) int { return cmp.Compare(a.at.start, b.at.start) })
	return runs
}

// scriptOf returns the script that a process gets, or its words if it is not a
// shell.
func scriptOf(at *instruction, args []string) (text string, words []string) {
	if strings.HasPrefix(args[len(args)-1], "/dev/pipes/") {
		return document(at), nil
	}
	if !isShell(args[0]) || len(args) < 3 {
		return "", args
	}
	flag := args[len(args)-2]
	if !strings.HasPrefix(flag, "-") || !strings.HasSuffix(flag, "c") {
		return "", nil // a script file and its arguments
	}
	return args[len(args)-1], nil
}

// document returns the heredoc that names a shell as its interpreter.
func document(at *instruction) string {
	command, ok := at.command.(*instructions.RunCommand)
	if !ok || len(command.Files) != 1 {
		return ""
	}
	first, _, _ := strings.Cut(command.Files[0].Data, "\n")
	fields := strings.Fields(strings.TrimPrefix(first, "#!"))
	if len(fields) > 1 && path.Base(fields[0]) == "env" {
		fields = fields[1:]
	}
	if len(fields) == 0 || !isShell(fields[0]) {
		return ""
	}
	return command.Files[0].Data
}

func isShell(name string) bool {
	return slices.Contains([]string{"sh", "bash", "ash", "dash", "ksh", "zsh"}, path.Base(name))
}

// jobs returns the platforms that a command runs for.
func (r *run) jobs() []string {
	var names []string
	for _, s := range r.steps {
		for _, name := range s.Platforms {
			names = addName(names, name)
		}
	}
	return names
}

// script parses the text of a command, nil if it is none that can be read.
func (r *run) script() *script {
	if !r.tried {
		r.tried = true
		r.parsed = parseScript(r.text)
	}
	return r.parsed
}

// environments returns the variables of every step.
func (r *run) environments() []map[string]string {
	if r.envs == nil {
		for _, s := range r.steps {
			env := make(map[string]string, len(s.Env))
			for _, entry := range s.Env {
				name, value, _ := strings.Cut(entry, "=")
				env[name] = value
			}
			r.envs = append(r.envs, env)
		}
	}
	return r.envs
}

// declared reports whether a variable is set for any platform.
func (r *run) declared(name string) bool {
	for _, env := range r.environments() {
		if _, ok := env[name]; ok {
			return true
		}
	}
	return false
}

// constant returns the value of a variable that has the same on all platforms.
func (r *run) constant(name string) (string, bool) {
	envs := r.environments()
	first, ok := envs[0][name]
	for _, env := range envs[1:] {
		if value, set := env[name]; !set || value != first {
			return "", false
		}
	}
	return first, ok
}

// byJob returns the environment of every platform.
func (r *run) byJob() map[string]map[string]string {
	found := make(map[string]map[string]string)
	for i, env := range r.environments() {
		for _, name := range r.steps[i].Platforms {
			found[name] = env
		}
	}
	return found
}

// secrets returns the variables that --mount=type=secret sets.
func (r *run) secrets() map[string]bool {
	found := make(map[string]bool)
	if r.at.kind == "RUN" {
		for _, m := range r.at.mounts() {
			found[m["env"]] = true
		}
	}
	return found
}

// execs returns the architectures that the command runs on, by job.
func (l *linter) execs(r *run) map[string]string {
	found := make(map[string]string)
	for _, s := range r.steps {
		arch := parsePlatform(s.ExecPlatform).Architecture
		for _, name := range s.Platforms {
			found[name] = arch
		}
	}
	return found
}

// several reports whether a map has more than one value.
func several(byJob map[string]string) bool {
	values := slices.Sorted(maps.Values(byJob))
	return len(slices.Compact(values)) > 1
}
