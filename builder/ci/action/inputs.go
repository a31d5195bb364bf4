package action

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/util/suggest"

	"github.com/mabuild/mabuild/builder/ci"
)

// kind is how an input is written.
type kind int

const (
	asText   kind = iota
	asSwitch      // true or false
	asLines       // one item on a line
	asItems       // one on a line, or between commas
	asList        // as items, for a flag that takes a list
	asRaw         // one on a line, quotes are the item's own
	asOther       // read by a function of its own
)

// input is one of the action, and the flag that it gives.
type input struct {
	name, flag string
	kind       kind
}

// inputTable lists the inputs: those of build-push-action, and ours.
func inputTable() []input { return append(theirs(), ours()...) }

func theirs() []input {
	return []input{
		{"add-hosts", "add-host", asItems},
		{"allow", "allow", asItems},
		{"annotations", "annotation", asLines},
		{"attests", "attest", asOther},
		{"build-args", "build-arg", asLines},
		{"build-contexts", "build-context", asLines},
		{"builder", "node", asOther},
		{"cache-from", "cache-from", asLines},
		{"cache-to", "cache-to", asLines},
		{"call", "call", asText},
		{"cgroup-parent", "cgroup-parent", asText},
		{"context", "", asOther},
		{"file", "file", asText},
		{"labels", "label", asLines},
		{"load", "load", asSwitch},
		{"network", "network", asText},
		{"no-cache", "no-cache", asSwitch},
		{"no-cache-filters", "no-cache-filter", asItems},
		{"outputs", "output", asRaw},
		{"platforms", "platform", asList},
		{"provenance", "attest", asOther},
		{"pull", "pull", asSwitch},
		{"push", "push", asSwitch},
		{"sbom", "attest", asOther},
		{"secrets", "secret", asOther},
		{"secret-envs", "secret", asOther},
		{"secret-files", "secret", asOther},
		{"shm-size", "shm-size", asText},
		{"ssh", "ssh", asItems},
		{"tags", "tag", asItems},
		{"target", "target", asText},
		{"ulimit", "ulimit", asLines},
		{"github-token", "secret", asOther},
	}
}

func ours() []input {
	return []input{
		{"allow-arg-default", "allow-arg-default", asSwitch},
		{"allow-base-fallback", "allow-base-fallback", asSwitch},
		{"allow-missing", "allow-missing", asList},
		{"allow-pinned-runtime", "allow-pinned-runtime", asSwitch},
		{"allow-single-base", "allow-single-base", asSwitch},
		{"assist", "assist", asText},
		{"build-arg-files", "build-arg-file", asItems},
		{"emulation", "emulation", asText},
		{"engine-config", "engine-config", asText},
		{"git-labels", "git-labels", asSwitch},
		{"idle-timeout", "idle-timeout", asText},
		{"jobs", "jobs", asText},
		{"keep-going", "keep-going", asSwitch},
		{"node", "node", asText},
		{"pin-native", "pin-native", asItems},
		{"preflight", "preflight", asText},
		{"resources", "resource", asLines},
		{"retry", "retry", asText},
		{"retry-emulated", "retry-emulated", asText},
		{"run-id", "run-id", asText},
		{"shard", "shard", asList},
		{"shard-wait", "shard-wait", asText},
		{"timeout", "timeout", asText},
		{"tools-images", "tools-image", asItems},
		{"verify", "verify", asText},
		{"verify-ignore", "verify-ignore", asItems},

		{"join", "", asSwitch},
		{"report", "", asOther},
		{"summary", "", asSwitch},
	}
}

// callers are the inputs that are no flags of a build; whoever runs it reads them.
func callers() []string { return []string{"join", "report", "summary"} }

// Names are the names of all inputs, which an action.yml has to declare.
func Names() []string {
	var names []string
	for _, in := range inputTable() {
		names = append(names, in.name)
	}
	slices.Sort(names)
	return names
}

// Flags are the flags of mabuild build that inputs become.
func Flags() []string {
	var flags []string
	for _, in := range inputTable() {
		if in.flag != "" {
			flags = append(flags, in.flag)
		}
	}
	slices.Sort(flags)
	return slices.Compact(flags)
}

// Options say where inputs come from.
type Options struct {
	// Environ is the environment, as os.Environ returns it.
	Environ []string
	// Event is what triggered the run, the file that GITHUB_EVENT_PATH names. It says
	// whether the repository is private.
	Event []byte
}

// Inputs are those of a step of GitHub Actions as mabuild has them.
type Inputs struct {
	// Args is the command line of mabuild build; the context is the last of it.
	Args []string
	// Env is what the process that gets Args must have in its environment, NAME=VALUE:
	// the values of secrets.
	Env []string
	// Context is what is built, File the Dockerfile as the repository has it.
	Context, File string
	// Caller has the inputs that are no flags of a build: join, report and summary.
	// Those that are empty are missing; join and summary are true or false.
	Caller map[string]string
	// Secrets must not be shown; SecretFiles are files in which there are more.
	Secrets, SecretFiles []string
	// Warnings are about inputs that are not known or not followed.
	Warnings []ci.Annotation
}

// Read reads the inputs of the step, by the rules of docker/build-push-action.
func Read(opts Options) (*Inputs, error) {
	r := &reader{Inputs: &Inputs{Caller: make(map[string]string)}, opts: opts, values: make(map[string]string), env: make(map[string]string)}
	for _, variable := range opts.Environ {
		name, value, _ := strings.Cut(variable, "=")
		r.env[name] = value
		if in, ok := strings.CutPrefix(name, "INPUT_"); ok {
			if value = strings.TrimSpace(value); value != "" {
				r.values[strings.ToLower(in)] = value
			}
		}
	}
	r.unknown()
	var problems []error
	for _, in := range inputTable() {
		if err := r.read(in); err != nil {
			problems = append(problems, fmt.Errorf("reading the input %s: %w", in.name, err))
		}
	}
	for _, step := range []func() error{r.attestations, r.secrets, r.context} {
		if err := step(); err != nil {
			problems = append(problems, err)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return r.Inputs, nil
}

type reader struct {
	*Inputs
	opts   Options
	values map[string]string // of inputs, without the empty ones
	env    map[string]string
}

func (r *reader) lookup(name string) (string, bool) {
	value, found := r.env[name]
	return value, found
}

func (r *reader) flag(name string, values ...string) {
	for _, value := range values {
		r.Args = append(r.Args, "--"+name, value)
	}
}

func (r *reader) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, ci.Annotation{Level: ci.Warning, Message: fmt.Sprintf(format, args...)})
}

// read makes a flag of an input whose value says all.
func (r *reader) read(in input) error {
	value := r.values[in.name]
	if slices.Contains(callers(), in.name) && value != "" {
		r.Caller[in.name] = value
	}
	if in.name == "builder" && value != "" {
		r.builder(value)
	}
	if value == "" || in.kind == asOther {
		return nil
	}
	switch in.kind {
	case asText:
		r.flag(in.flag, value)
	case asSwitch:
		on, err := boolean(value)
		if in.flag == "" {
			r.Caller[in.name] = strconv.FormatBool(on)
		} else if on {
			r.Args = append(r.Args, "--"+in.flag)
		}
		return err
	case asRaw:
		r.flag(in.flag, trimmed(strings.Split(value, "\n"))...)
	default:
		if in.name == "build-contexts" {
			value = r.expand(value)
		}
		values, err := list(value, in.kind != asLines)
		if err != nil {
			return err
		}
		if in.kind == asList {
			values = []string{strings.Join(values, ",")}
		}
		r.flag(in.flag, values...)
	}
	return nil
}

// builder is the name of a builder of buildx, or what mabuild can connect to.
func (r *reader) builder(value string) {
	if strings.Contains(value, "://") && r.values["node"] == "" {
		r.flag("node", value)
		return
	}
	r.warn("the input builder is not followed: mabuild brings its own builder, and knows none of buildx; remove it, or give the address of a BuildKit daemon with the input node")
}

// unknown warns of inputs that do not exist.
func (r *reader) unknown() {
	names := Names()
	byFlag := make(map[string]string)
	options := slices.Clone(names)
	for _, in := range inputTable() {
		if in.flag != "" && byFlag[in.flag] == "" && in.kind != asOther {
			byFlag[in.flag] = in.name
			options = append(options, in.flag)
		}
	}
	// What other actions for images call it.
	for name, ours := range map[string]string{"dockerfile": "file", "image": "tags", "images": "tags", "archs": "platforms", "path": "context"} {
		byFlag[name] = ours
	}
	var unknown []string
	for name := range r.values {
		if !slices.Contains(names, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		nearest, found := byFlag[name], byFlag[name] != ""
		if !found {
			if nearest, found = suggest.Search(name, options, true); found && byFlag[nearest] != "" && !slices.Contains(names, nearest) {
				nearest = byFlag[nearest]
			}
		}
		if !found {
			r.warn("the input %s is unknown and not followed", ci.OneLine(name))
			continue
		}
		at := slices.IndexFunc(inputTable(), func(in input) bool { return in.name == nearest })
		if flag := inputTable()[at].flag; flag != "" {
			nearest += ", which is the flag --" + flag
		}
		r.warn("the input %s is unknown and not followed; did you mean %s?", ci.OneLine(name), nearest)
	}
}
