package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	ctl "github.com/moby/buildkit/cmd/buildctl/build"
	"github.com/moby/buildkit/session/sshforward"
	"github.com/moby/buildkit/session/sshforward/sshprovider"
	"github.com/moby/buildkit/util/gitutil"
	"github.com/tonistiigi/go-csvvalue"

	"github.com/mabuild/mabuild/planner/exact"
	"github.com/mabuild/mabuild/planner/native"
)

// credentials reads what the steps may ask for. That secrets exist is checked now.
func (f *inputFlags) credentials(o *buildOptions) error {
	in := &o.inputs
	if len(f.secrets) > 0 {
		for _, value := range f.secrets {
			id := csvField(value, "id")
			if id == "" {
				return usagef("--secret %q has no id; write id=ID,src=FILE or id=ID,env=NAME", redactSecret(value))
			}
			in.secretIDs = append(in.secretIDs, id)
		}
		secrets, err := ctl.ParseSecret(f.secrets)
		if err != nil {
			return usagef("--secret: %w; write id=ID,src=FILE or id=ID,env=NAME", err)
		}
		in.session, in.secrets = append(in.session, secrets), f.secrets
	}
	if len(f.ssh) > 0 {
		agents, err := ctl.ParseSSH(f.ssh)
		if err != nil {
			return usagef("--ssh: %w; write default, or ID=SOCKET or ID=KEY", err)
		}
		for _, agent := range agents {
			in.sshIDs = append(in.sshIDs, agent.ID)
		}
		forward, err := sshprovider.NewSSHAgentProvider(agents)
		if err != nil {
			return usagef("--ssh: %w", err)
		}
		in.session = append(in.session, forward)
	}
	return nil
}

// secretTexts are what must not be seen in what is kept or shown of a build.
func (o *buildOptions) secretTexts() []string {
	return slices.Concat(o.masks, secretValues(o.inputs.secrets))
}

// secretValues are what must not be seen. What cannot be read cannot be used either.
func secretValues(specs []string) []string {
	var values []string
	for _, spec := range specs {
		id, file, name := csvField(spec, "id"), csvField(spec, "src"), csvField(spec, "env")
		if file == "" {
			file = csvField(spec, "source")
		}
		if kind := csvField(spec, "type"); kind == "env" && name == "" {
			name, file = cmp.Or(file, id), ""
		}
		switch text, err := os.ReadFile(file); {
		case file != "" && err == nil:
			values = append(values, string(text))
		case file == "":
			values = append(values, os.Getenv(cmp.Or(name, id)))
		}
	}
	return values
}

// secret returns a secret that was given, empty if it was not.
func (in *inputs) secret(id string) string {
	if i := slices.Index(in.secretIDs, id); i >= 0 {
		if values := secretValues(in.secrets[i : i+1]); len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// csvField returns the value of a key of a list of key=value.
func csvField(list, name string) string {
	fields, err := csvvalue.Fields(list, nil)
	if err != nil {
		return ""
	}
	for _, field := range fields {
		if key, value, _ := strings.Cut(field, "="); strings.EqualFold(key, name) {
			return value
		}
	}
	return ""
}

// redactSecret drops the values: somebody may have written the secret itself.
func redactSecret(list string) string {
	var keys []string
	for field := range strings.SplitSeq(list, ",") {
		key, _, found := strings.Cut(field, "=")
		if found {
			key += "=…"
		}
		keys = append(keys, key)
	}
	return strings.Join(keys, ",")
}

// ungiven finds secrets and agents that steps mount and nobody gives: BuildKit leaves
// them out without a word (case 44).
func (in *inputs) ungiven(planned *native.Result, file string) []exact.Finding {
	given := slices.Clone(in.secretIDs)
	for _, edit := range planned.Edits {
		given = slices.AppendSeq(given, maps.Keys(edit.Secrets))
	}
	var findings []exact.Finding
	for _, step := range planned.Plan.Steps {
		missing := func(rule, what, fix string) {
			findings = append(findings, exact.Finding{
				Rule: rule, Level: exact.LevelWarning, File: file, Line: step.Line, Stage: step.Stage, Platforms: step.Platforms,
				Message: what + " is not given, so the step runs without it", Fix: fix,
			})
		}
		secrets := step.SecretEnv
		for _, mount := range step.Mounts {
			switch {
			case mount.Type == exact.MountSecret:
				secrets = append(slices.Clone(secrets), mount.ID)
			case mount.Type == exact.MountSSH && !slices.Contains(in.sshIDs, cmp.Or(mount.ID, sshforward.DefaultID)):
				id := cmp.Or(mount.ID, sshforward.DefaultID)
				missing("ssh-missing", "the SSH agent "+id, "add --ssh "+id)
			}
		}
		for _, id := range secrets {
			if !slices.Contains(given, id) {
				missing("secret-missing", "the secret "+id, fmt.Sprintf("add --secret id=%s,src=FILE or --secret id=%s,env=NAME", id, id))
			}
		}
	}
	return findings
}

// addAgent gives the user's SSH agent to a daemon that has to fetch a git repository by
// ssh, as buildx does.
func (o *buildOptions) addAgent() error {
	if o.remote == nil || len(o.inputs.sshIDs) > 0 || os.Getenv("SSH_AUTH_SOCK") == "" {
		return nil
	}
	remote, err := gitutil.ParseURL(o.context)
	if err != nil || remote.Scheme != gitutil.SSHProtocol {
		return nil //nolint:nilerr // what is no URL of git needs no agent
	}
	forward, err := sshprovider.NewSSHAgentProvider([]sshprovider.AgentConfig{{ID: sshforward.DefaultID}})
	if err != nil {
		return fmt.Errorf("offering the SSH agent for %s: %w", remote.Host, err)
	}
	o.inputs.session = append(o.inputs.session, forward)
	return nil
}
