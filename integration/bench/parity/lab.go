package parity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mabuild/mabuild/integration/bench/rig"
	"github.com/mabuild/mabuild/integration/testbed"
)

const (
	buildx  = "buildx"
	mabuild = "mabuild"

	// killGrace is how long a cancelled program may take to end by itself.
	killGrace = 10 * time.Second
)

// Options say what to compare.
type Options struct {
	// Mabuild is the path of mabuild.
	Mabuild string
	// Tools are buildx and the daemon that both use.
	Tools rig.Tools
	// Places are further ones, {NAME} and what it stands for.
	Places map[string]string
}

// Lab is a registry, base images and a stock buildkitd, empty at first.
//
// These are the places of a command line:
//
//	{REF}     a reference in the registry, of the case and the program
//	{OUT}     a directory for what is written, likewise
//	{ADDR}    the registry's host and port
//	{RUN}     a word that no other run has
//
// Files of a case may have them as well.
type Lab struct {
	Options
	dir      string
	mirror   *testbed.Registry
	registry *rig.Registry
	daemon   *rig.Daemon
	cases    atomic.Int64
}

// Start starts a lab, as root. The caller closes it.
func Start(ctx context.Context, opts Options) (lab *Lab, err error) {
	dir, err := os.MkdirTemp("", "mabuild-parity-") // short: sockets are in there
	if err != nil {
		return nil, fmt.Errorf("making a folder for the comparison: %w: set TMPDIR to one that can be written", err)
	}
	l := &Lab{Options: opts, dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	for _, folder := range []string{"buildkit", "home"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			return nil, fmt.Errorf("preparing the comparison: %w", err)
		}
	}
	if l.mirror, err = testbed.Bases(ctx, testbed.Options{Images: []string{testbed.Busybox}}); err != nil {
		return nil, err
	}
	if l.registry, err = rig.StartRegistry(ctx, filepath.Join(dir, "registry")); err != nil {
		return nil, err
	}
	config := rig.RegistryConfig(l.mirror.Addr, l.registry.Addr)
	if err := os.WriteFile(l.config(), config, 0o644); err != nil {
		return nil, fmt.Errorf("telling mabuild about the registries: %w", err)
	}
	l.daemon, err = rig.StartDaemon(ctx, rig.DaemonOptions{
		Tools: opts.Tools, Dir: filepath.Join(dir, "buildkit"), Registry: l.registry.Addr, Mirror: l.mirror.Addr,
		Entitlements: []string{"network.host", "security.insecure"},
	})
	if err != nil {
		return nil, err
	}
	create := exec.CommandContext(ctx, opts.Tools.Buildx, "create", "--driver", "remote", "--name", builder, l.daemon.Address())
	create.Env = l.environment()
	if out, err := create.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("making buildx's builder: %w\n%s", err, out)
	}
	return l, nil
}

// Programs says what is compared.
func (l *Lab) Programs() string {
	return fmt.Sprintf("buildx %s and buildkitd %s", l.Tools.BuildxVersion, l.Tools.BuildKitVersion)
}

// builder is the name of buildx's builder.
const builder = "parity"

func (l *Lab) config() string { return filepath.Join(l.dir, "registries.toml") }

// environment is all that the programs see. Both get their daemon from it, so that
// the command lines are the same.
func (l *Lab) environment() []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + filepath.Join(l.dir, "home"),
		"DOCKER_CONFIG=" + filepath.Join(l.dir, "docker"),
		"BUILDX_CONFIG=" + filepath.Join(l.dir, "buildx"),
		"BUILDX_BUILDER=" + builder,
		"BUILDX_NO_DEFAULT_ATTESTATIONS=1",
		"BUILDX_METADATA_PROVENANCE=disabled",
		"MABUILD_ENGINE_CONFIG=" + l.config(),
		"MABUILD_STATE_DIR=" + filepath.Join(l.dir, "engine"),
	}
	if tmp := os.Getenv("TMPDIR"); tmp != "" {
		env = append(env, "TMPDIR="+tmp)
	}
	if l.daemon != nil {
		env = append(env, "BUILDKIT_HOST="+l.daemon.Address())
	}
	return env
}

// Close ends everything and deletes it.
func (l *Lab) Close() error {
	var errs []error
	if l.daemon != nil {
		errs = append(errs, l.daemon.Close())
	}
	if l.registry != nil {
		errs = append(errs, l.registry.Close())
	}
	if l.mirror != nil {
		errs = append(errs, l.mirror.Close())
	}
	if err := rig.Unmount(l.dir); err != nil {
		return errors.Join(append(errs, err)...)
	}
	return errors.Join(append(errs, os.RemoveAll(l.dir))...)
}

// run is one program running a case.
type run struct {
	lab      *Lab
	program  string
	files    string // working directory
	out      string
	places   *strings.Replacer // from {NAME} to what it stands for
	env      []string
	observer observer
	stdout   []byte
	stderr   []byte
}

// Run runs a case with both programs and compares what they leave.
func (l *Lab) Run(ctx context.Context, c Case) (Result, error) {
	dir := filepath.Join(l.dir, fmt.Sprintf("case-%d", l.cases.Add(1)))
	defer os.RemoveAll(dir)
	facts := make(map[string]Facts)
	for _, program := range []string{buildx, mabuild} {
		r := l.newRun(program, dir, c)
		for _, folder := range []string{r.out, r.files} {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return Result{}, fmt.Errorf("preparing a case: %w", err)
			}
		}
		files := make(map[string]string)
		for name, text := range c.Files {
			files[name] = r.places.Replace(text)
		}
		if err := WriteFiles(r.files, files); err != nil {
			return Result{}, err
		}
		if err := r.do(ctx, c); err != nil {
			return Result{}, err
		}
		facts[program] = r.observer.facts
	}
	return Compare(c, facts[buildx], facts[mabuild]), nil
}

func (l *Lab) newRun(program, dir string, c Case) *run {
	files, out := filepath.Join(dir, program, "files"), filepath.Join(dir, program, "out")
	places := map[string]string{
		"{REF}":  fmt.Sprintf("%s/%s/%s:v1", l.registry.Addr, program, filepath.Base(dir)),
		"{OUT}":  out,
		"{ADDR}": l.registry.Addr,
		"{RUN}":  program + filepath.Base(dir),
	}
	for name, place := range l.Places {
		places[name] = place
	}
	var words, back []string
	for _, name := range sorted(places) {
		words = append(words, name, places[name])
	}
	back = []string{
		places["{REF}"], "REF", strings.TrimSuffix(places["{REF}"], ":v1"), "REF", out, "OUT", files, "FILES",
		l.registry.Addr, "ADDR", "{", "", "}", "",
	}
	for name, place := range l.Places {
		back = append(back, place, strings.Trim(name, "{}"))
	}
	r := &run{lab: l, program: program, files: files, out: out, places: strings.NewReplacer(words...)}
	r.observer = observer{facts: Facts{}, times: c.Times, roles: map[string]string{}, back: strings.NewReplacer(back...)}
	r.env = append(l.environment(), "XDG_DATA_HOME="+filepath.Join(out, ".data"))
	for _, variable := range c.Env {
		r.env = append(r.env, r.places.Replace(variable))
	}
	return r
}

// do runs the command lines of a case and looks at what they leave.
func (r *run) do(ctx context.Context, c Case) error {
	if c.Before != "" {
		code, err := r.execute(ctx, c.Before, c.Stdin)
		if err != nil || code != 0 {
			return fmt.Errorf("running %s %s: exit code %d, %w\n%s", r.program, c.Before, code, err, r.stderr)
		}
	}
	if c.Prune {
		out, err := exec.CommandContext(ctx, r.lab.Tools.Buildctl, "--addr", r.lab.daemon.Address(), "prune", "--all").CombinedOutput()
		if err != nil {
			return fmt.Errorf("emptying the daemon's cache: %w\n%s", err, out)
		}
	}
	code, err := r.execute(ctx, c.Args, c.Stdin)
	if err != nil {
		return err
	}
	if want := c.Fails; r.program == buildx && code != want {
		return fmt.Errorf("running buildx build %s: exit code %d, want %d\n%s", c.Args, code, want, r.stderr)
	}
	r.observer.set("exit code", code)
	for _, look := range c.Look {
		if err := r.look(ctx, look); err != nil {
			return fmt.Errorf("%w\n%s", err, r.stderr)
		}
	}
	r.observer.settle()
	return nil
}

// execute runs one command line to its end.
func (r *run) execute(ctx context.Context, line, stdin string) (code int, err error) {
	args := []string{r.lab.Mabuild}
	if r.program == buildx {
		args = []string{r.lab.Tools.Buildx, "build"}
	}
	cmd := r.lab.command(ctx, r, append(args, strings.Fields(r.places.Replace(line))...))
	if stdin != "" {
		file, err := os.Open(filepath.Join(r.files, stdin))
		if err != nil {
			return 0, fmt.Errorf("opening standard input: %w", err)
		}
		defer file.Close()
		cmd.Stdin = file
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	r.stdout, r.stderr = stdout.Bytes(), stderr.Bytes()
	if cause := context.Cause(ctx); cause != nil {
		return 0, fmt.Errorf("running %s: %w", r.program, cause)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return 0, fmt.Errorf("running %s: %w", r.program, err)
	}
	return cmd.ProcessState.ExitCode(), nil
}

func (l *Lab) command(ctx context.Context, r *run, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env, cmd.Dir = r.env, r.files
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = killGrace
	return cmd
}
