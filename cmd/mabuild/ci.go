package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mabuild/mabuild/builder/ci"
	"github.com/mabuild/mabuild/builder/ci/action"
	"github.com/mabuild/mabuild/builder/ci/summary"
	"github.com/mabuild/mabuild/builder/engine"
	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/builder/progress"
)

func newCICommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ci",
		Short: "Build as a step of a CI system",
		Long: `Build as a step of a CI system that hands over its inputs in a way of its own.

Everywhere else mabuild sees by itself who runs it (GitHub Actions, GitLab, Buildkite,
TeamCity, Azure Pipelines), and only the log is another one: a group for each platform,
the failed ones last, annotations, and no line of a build that the runner takes for a
command. MABUILD_CI=plain turns that off, MABUILD_CI=tekton names a system that leaves
no trace. --metadata-file and --results have the digests for the steps that follow.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(newGitHubCommand())
	return cmd
}

func newGitHubCommand() *cobra.Command {
	var post bool
	cmd := &cobra.Command{
		Use:   "github",
		Short: "Build by the inputs of a step of GitHub Actions (action.yml calls it)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if post {
				return cleanUp(cmd.Context())
			}
			step, err := newGitHubStep()
			if err != nil {
				early := buildOptions{ci: ci.GitHub, progress: progress.Auto}
				return early.logged(func() error { return err })
			}
			return step.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&post, "post", false, "clean up after the job: stop the engine")
	return cmd
}

// patience is how long the post phase waits for the engine to end.
const patience = 5 * time.Second

// cleanUp is the post phase of the action. The engine's cache stays. On a machine of one's
// own other jobs may be building with the same engine: it ends after them, and nobody waits.
func cleanUp(ctx context.Context) error {
	state, err := engine.DefaultState()
	if err != nil {
		return err
	}
	late := errors.New("the engine is in use")
	waiting, cancel := context.WithTimeoutCause(ctx, patience, late)
	defer cancel()
	if err := engine.Stop(waiting, state, false); !errors.Is(err, engine.ErrNotRunning) && !errors.Is(err, late) {
		return err
	}
	return nil
}

// gitHubStep is a step of GitHub Actions: its inputs, and the files that it may write.
type gitHubStep struct {
	inputs *action.Inputs
	// options are what the inputs ask for.
	options buildOptions
}

func newGitHubStep() (*gitHubStep, error) {
	var event []byte
	if name := os.Getenv("GITHUB_EVENT_PATH"); name != "" {
		var err error
		if event, err = os.ReadFile(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading the event of the workflow: %w; GITHUB_EVENT_PATH has to name its file", err)
		}
	}
	inputs, err := action.Read(action.Options{Environ: os.Environ(), Event: event})
	if err != nil {
		return nil, &usageError{err}
	}
	for _, variable := range inputs.Env {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			return nil, fmt.Errorf("handing over a secret: %w", err)
		}
	}
	return &gitHubStep{inputs: inputs}, nil
}

// run builds, and tells GitHub what came out.
func (s *gitHubStep) run(ctx context.Context) error {
	s.options = buildOptions{ci: ci.GitHub, masks: s.masks(), progress: progress.Auto}
	var flags buildFlags
	notes, err := overheard(func() error { return s.read(&flags) })
	for line := range strings.Lines(notes) { // nothing is written before the secrets are masked
		s.inputs.Warnings = append(s.inputs.Warnings, ci.Annotation{Level: ci.Warning, Message: strings.TrimPrefix(strings.TrimSpace(line), "warning: ")})
	}
	if err != nil {
		return s.logged(func() error { return err })
	}
	if s.inputs.Caller["join"] == "true" {
		return s.logged(func() error { return s.join(ctx, &flags) })
	}
	return s.logged(func() error {
		err := s.options.start(ctx)
		if err == nil && s.options.results != nil {
			err = s.outputs()
		}
		s.summary()
		return err
	})
}

// overheard is what something writes to standard error.
func overheard(run func() error) (string, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer reader.Close()
	said := make(chan []byte, 1)
	go func() {
		text, _ := io.ReadAll(reader) // of a pipe of our own
		said <- text
	}()
	stderr := os.Stderr
	os.Stderr = writer
	err = run()
	os.Stderr = stderr
	if closeErr := writer.Close(); closeErr != nil {
		return "", errors.Join(err, closeErr)
	}
	return string(<-said), err
}

// logged runs something in the log of the step, which begins with what is wrong with
// its inputs.
func (s *gitHubStep) logged(run func() error) error {
	return s.options.logged(func() error {
		s.options.log.Annotate(s.inputs.Warnings)
		return run()
	})
}

// read makes options of the inputs.
func (s *gitHubStep) read(flags *buildFlags) error {
	set := pflag.NewFlagSet("mabuild", pflag.ContinueOnError)
	set.SetOutput(io.Discard)
	flags.addFlags(set)
	if err := set.Parse(s.inputs.Args); err != nil {
		return usagef("%w; this is what the inputs of the step say: %s", err, strings.Join(s.inputs.Args, " "))
	}
	flags.reportFile = s.inputs.Caller["report"]
	if s.inputs.Caller["join"] == "true" {
		return nil // it needs a few of the flags, and neither a context nor outputs
	}
	options, err := flags.options(set.Arg(0))
	if err != nil {
		return err
	}
	if slices.ContainsFunc(options.outputs, func(spec output.Spec) bool { return spec.Dest == output.Stdout }) {
		return usagef("the input outputs has one without a file, and standard output is the log of the step; write it with one, like type=oci,dest=image.tar")
	}
	options.ci, options.masks, options.annotated = s.options.ci, s.options.masks, s.inputs.File
	s.options = options
	return nil
}

// join makes the image of what other jobs have built.
func (s *gitHubStep) join(ctx context.Context, flags *buildFlags) error {
	if len(flags.shards.platforms) > 0 {
		return usagef("the inputs join and shard contradict each other: a job builds a shard, or joins those of the others")
	}
	joining := joinFlags{names: flags.tags, platforms: flags.platforms, engineConfig: flags.engineConfig, shards: flags.shards}
	m, err := joining.joinShards(ctx)
	if err != nil {
		return causeOf(ctx, err)
	}
	text, err := encodeJSON(m)
	if err != nil {
		return err
	}
	s.options.results = m.results(text)
	return s.outputs()
}

// masks are what must not be seen.
func (s *gitHubStep) masks() []string {
	secrets := slices.Clone(s.inputs.Secrets)
	for _, name := range s.inputs.SecretFiles {
		if text, err := os.ReadFile(name); err == nil { // if not, nothing can be seen of it
			secrets = append(secrets, string(text))
		}
	}
	return secrets
}

// summary writes the job summary. A build is not wrong because nobody can read of it.
func (s *gitHubStep) summary() {
	if s.options.reporting == nil || s.options.reporting.done == nil || s.inputs.Caller["summary"] == "false" {
		return
	}
	err := appendFile("GITHUB_STEP_SUMMARY", func(w io.Writer) error {
		return summary.Write(w, s.options.reporting.done, summary.Options{Secrets: ci.NewSecrets(s.options.masks...), File: s.inputs.File})
	})
	if err != nil {
		s.options.log.Annotate([]ci.Annotation{{Level: ci.Warning, Title: "mabuild", Message: "there is no summary: " + err.Error()}})
	}
}

// outputs writes what later steps can use.
func (s *gitHubStep) outputs() error {
	outputs, err := s.options.results.Outputs()
	if err != nil {
		return err
	}
	return appendFile("GITHUB_OUTPUT", func(w io.Writer) error { return ci.WriteGitHub(w, rand.Text(), outputs) })
}

// appendFile adds to a file of the runner's, which a variable names; no name is none.
func appendFile(variable string, write func(io.Writer) error) error {
	name := os.Getenv(variable)
	if name == "" {
		return nil
	}
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("telling the runner: %w; %s has to name a file that can be written", err, variable)
	}
	return errors.Join(write(file), file.Close())
}
