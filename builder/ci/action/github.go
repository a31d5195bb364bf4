package action

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/mabuild/mabuild/builder/ci"
)

// GitContext is the address of the commit that a workflow runs for, as a context of a
// build. It is empty outside of GitHub Actions.
func GitContext(lookup ci.Lookup) string {
	repository := value(lookup, "GITHUB_REPOSITORY")
	if repository == "" {
		return ""
	}
	ref, commit := value(lookup, "GITHUB_REF"), value(lookup, "GITHUB_SHA")
	// The commit of a pull request is a merge that only its ref leads to.
	if commit != "" && !strings.HasPrefix(ref, "refs/pull/") {
		ref = commit
	}
	return server(lookup) + "/" + repository + ".git#" + ref
}

// RunURL is the page of the run, empty outside of GitHub Actions.
func RunURL(lookup ci.Lookup) string {
	repository, run := value(lookup, "GITHUB_REPOSITORY"), value(lookup, "GITHUB_RUN_ID")
	if repository == "" || run == "" {
		return ""
	}
	address := server(lookup) + "/" + repository + "/actions/runs/" + run
	if attempt := value(lookup, "GITHUB_RUN_ATTEMPT"); attempt != "" {
		address += "/attempts/" + attempt
	}
	return address
}

func value(lookup ci.Lookup, name string) string {
	value, _ := lookup(name)
	return value
}

func server(lookup ci.Lookup) string {
	if server := value(lookup, "GITHUB_SERVER_URL"); server != "" {
		return strings.TrimSuffix(server, "/")
	}
	return "https://github.com"
}

// placeholder stands for the default context, as in {{defaultContext}}:directory.
var placeholder = regexp.MustCompile(`\{\{\{?\s*defaultContext\s*\}?\}\}`)

func (r *reader) expand(value string) string {
	return placeholder.ReplaceAllLiteralString(value, GitContext(r.lookup))
}

// context ends the command line.
func (r *reader) context() error {
	git := GitContext(r.lookup)
	r.Context = git
	if value := r.values["context"]; value != "" {
		r.Context = r.expand(value)
	}
	if r.Context == "" {
		return fmt.Errorf("reading the input context: it is empty, and GITHUB_REPOSITORY is not set to build the commit of the workflow; write context: . for the directory")
	}
	remote := git != "" && strings.HasPrefix(r.Context, git)
	if token := r.values["github-token"]; token != "" {
		r.Secrets = append(r.Secrets, token)
		if remote {
			r.token(token)
		}
	}
	r.File = r.values["file"]
	switch {
	case remote: // the file is looked for in the directory
		_, directory, _ := strings.Cut(strings.TrimPrefix(r.Context, git), ":")
		r.File = path.Join(directory, orDockerfile(r.File))
	case r.File == "" && !strings.Contains(r.Context, "://"):
		r.File = path.Join(r.Context, orDockerfile(""))
	}
	r.Args = append(r.Args, r.Context)
	return nil
}

func orDockerfile(file string) string {
	if file == "" {
		return "Dockerfile"
	}
	return file
}

// token lets BuildKit fetch the commit. It is for that host alone: a token without a
// host goes to every git server that the Dockerfile names.
func (r *reader) token(token string) {
	host := strings.TrimPrefix(server(r.lookup), "https://")
	if address, err := url.Parse(server(r.lookup)); err == nil {
		host = address.Host
	}
	for _, id := range []string{"GIT_AUTH_TOKEN", "GIT_AUTH_TOKEN." + host} {
		if slices.ContainsFunc(r.Args, func(arg string) bool { return arg == "id="+id || strings.HasPrefix(arg, "id="+id+",") }) {
			return // the user gives one
		}
	}
	r.secret("GIT_AUTH_TOKEN."+host, token)
}

// secrets reads the three inputs for secrets.
func (r *reader) secrets() error {
	given, err := list(r.values["secrets"], false)
	if err != nil {
		return fmt.Errorf("reading the input secrets: its lines are not CSV; quote a value with several lines, and double the quotes in it")
	}
	for _, item := range given {
		if id, value, ok := r.pair("secrets", "ID=VALUE", item); ok {
			r.secret(id, value)
		}
	}
	for _, in := range []struct{ name, form, key string }{{"secret-envs", "ID=VARIABLE", "env"}, {"secret-files", "ID=FILE", "src"}} {
		given, err := list(r.values[in.name], in.key == "env")
		if err != nil {
			return fmt.Errorf("reading the input %s: %w", in.name, err)
		}
		for _, item := range given {
			id, value, ok := r.pair(in.name, in.form, item)
			if !ok {
				continue
			}
			r.flag("secret", fields("id="+id, in.key+"="+value))
			if in.key == "src" {
				r.SecretFiles = append(r.SecretFiles, value)
			} else if hidden := r.env[value]; hidden != "" {
				r.Secrets = append(r.Secrets, hidden)
			}
		}
	}
	return nil
}

// pair reads ID=VALUE. What is none may be a secret, and is not told.
func (r *reader) pair(input, form, item string) (id, value string, ok bool) {
	id, value, _ = strings.Cut(item, "=")
	if id == "" || value == "" {
		r.warn("a line of the input %s is not %s, and not followed", input, form)
		return "", "", false
	}
	return id, value, true
}

// secret gives a value through the environment: a file would have to be deleted.
func (r *reader) secret(id, value string) {
	name := fmt.Sprintf("MABUILD_SECRET_%d", len(r.Env)+1)
	r.Env = append(r.Env, name+"="+value)
	r.Secrets = append(r.Secrets, value)
	r.flag("secret", fields("id="+id, "env="+name))
}

// attestations reads provenance, sbom and attests, of which the first two go before the
// third, and attests how the image was made if nothing is said of that.
func (r *reader) attestations() error {
	given, err := list(r.values["attests"], false)
	if err != nil {
		return fmt.Errorf("reading the input attests: %w", err)
	}
	of := func(kind string) func(string) bool {
		return func(spec string) bool { value, _ := attribute(spec, "type"); return value == kind }
	}
	provenance, sbom := r.values["provenance"], r.values["sbom"]
	switch {
	case provenance != "":
		r.flag("attest", "type=provenance,"+r.provenance(provenance))
	case !slices.ContainsFunc(given, of("provenance")) && r.values["call"] == "" && !r.loads():
		// What is told of a private repository says less: mode=max has the Dockerfile
		// and the values of arguments. An unknown one may be private.
		mode := "mode=min,inline-only=true"
		if r.public() {
			mode = "mode=max"
		}
		r.flag("attest", "type=provenance,"+r.provenance(mode))
	}
	if sbom != "" {
		r.flag("attest", "type=sbom,"+orDisabled(sbom))
	}
	for _, spec := range given {
		switch {
		case of("provenance")(spec):
			if provenance == "" {
				r.flag("attest", r.provenance(spec))
			}
		case of("sbom")(spec):
			if sbom == "" {
				r.flag("attest", spec)
			}
		default:
			r.flag("attest", spec)
		}
	}
	return nil
}

// provenance names the run as the builder, unless there is a name.
func (r *reader) provenance(spec string) string {
	on, err := boolean(spec)
	builder := RunURL(r.lookup)
	switch {
	case err == nil && !on:
		return "disabled=true"
	case builder == "" && err == nil:
		return "mode=min"
	case builder == "":
		return spec
	case err == nil:
		return fields("builder-id=" + builder)
	}
	if _, named := attribute(spec, "builder-id"); named {
		return spec
	}
	return spec + "," + fields("builder-id="+builder)
}

// orDisabled writes a boolean as the long form of a flag has it.
func orDisabled(spec string) string {
	if on, err := boolean(spec); err == nil {
		return fmt.Sprintf("disabled=%t", !on)
	}
	return spec
}

// loads reports whether the image goes to Docker, whose image store may know no
// attestations.
func (r *reader) loads() bool {
	on, _ := boolean(r.values["load"])
	return on || slices.ContainsFunc(strings.Split(r.values["outputs"], "\n"), func(spec string) bool {
		kind, _ := attribute(spec, "type")
		return kind == "docker"
	})
}

// public reports whether the repository is known to be.
func (r *reader) public() bool {
	var event struct {
		Repository struct {
			Private *bool `json:"private"`
		} `json:"repository"`
	}
	if json.Unmarshal(r.opts.Event, &event) != nil || event.Repository.Private == nil {
		return false
	}
	return !*event.Repository.Private
}
