// Package keychain looks up registry credentials where docker login puts them.
//
// For a registry host it asks, in this order, as the docker command does:
//
//  1. the variable DOCKER_AUTH_CONFIG,
//  2. the helper named for the host under credHelpers in config.json,
//  3. the helper named by credsStore,
//  4. the entries under auths.
//
// A host for which a helper is named is not looked up further down. Docker Hub's
// credentials have the key https://index.docker.io/v1/ everywhere.
//
// docker/cli has code for this, but it gives a helper all the time in the world
// and shows its stderr to the user; this package adds a time limit, keeps helpers
// quiet and tells a helper that is missing from one that knows no credentials.
// The file is read for every lookup, so that a login during a long build counts.
package keychain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	filestore "github.com/docker/cli/cli/config/credentials"
	"github.com/docker/cli/cli/config/types"
	"github.com/docker/docker-credential-helpers/client"
	"github.com/docker/docker-credential-helpers/credentials"
)

const (
	hubKey       = "https://index.docker.io/v1/"
	helperPrefix = "docker-credential-"
	tokenUser    = "<token>"
)

// DefaultTimeout is what a credential helper gets to answer.
const DefaultTimeout = 30 * time.Second

// Credentials are what a registry wants to see. With an identity token Username
// is empty and Secret is the token. The zero value is an anonymous user.
type Credentials struct{ Username, Secret string }

// Options say where a Keychain looks.
type Options struct {
	// Dir holds Docker's config.json. Default: $DOCKER_CONFIG, else ~/.docker.
	Dir string
	// Timeout for a helper. Default: [DefaultTimeout].
	Timeout time.Duration
}

// Keychain finds credentials. It is safe for concurrent use.
type Keychain struct {
	dir     string
	timeout time.Duration

	mu     sync.Mutex
	failed map[string]error // helpers that are missing or hang, by name
}

// New returns a Keychain. It reads nothing yet.
func New(opts Options) *Keychain {
	k := &Keychain{dir: opts.Dir, timeout: opts.Timeout, failed: map[string]error{}}
	if k.timeout == 0 {
		k.timeout = DefaultTimeout
	}
	return k
}

// HelperError is a credential helper that could not be asked. What the helper
// printed is not part of it: it may contain a secret.
type HelperError struct {
	Name string // of the program
	File string // that names it
	Err  error
}

func (e *HelperError) Error() string {
	return fmt.Sprintf("asking the credential helper %s, which %s names: %v", e.Name, e.File, e.Err)
}

func (e *HelperError) Unwrap() error { return e.Err }

// Get returns the credentials for host. Having none is not an error. A helper
// that can't be asked is a *HelperError; the caller may go on anonymously.
func (k *Keychain) Get(ctx context.Context, host string) (Credentials, error) {
	key := host
	switch host {
	case "docker.io", "index.docker.io", "registry-1.docker.io":
		key = hubKey
	}
	found, ok, err := fromEnvironment(key)
	if ok || err != nil {
		return found, err
	}
	dir, err := k.directory()
	if err != nil {
		return Credentials{}, err
	}
	file, err := config.Load(dir)
	if err != nil {
		return Credentials{}, fmt.Errorf("reading registry credentials: %w", err)
	}
	helper, ok := file.CredentialHelpers[key]
	if !ok {
		helper = file.CredentialsStore
	}
	if helper != "" {
		return k.ask(ctx, helperPrefix+helper, filepath.Join(dir, config.ConfigFileName), key)
	}
	return fromFile(file, key)
}

func (k *Keychain) directory() (string, error) {
	if k.dir != "" {
		return k.dir, nil
	}
	if dir := os.Getenv(config.EnvOverrideConfigDir); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("looking for registry credentials: %w", err)
	}
	return filepath.Join(home, ".docker"), nil
}

// fromEnvironment reads DOCKER_AUTH_CONFIG, a config.json of nothing but auths.
func fromEnvironment(key string) (Credentials, bool, error) {
	text := os.Getenv(configfile.DockerEnvConfigKey)
	if text == "" {
		return Credentials{}, false, nil
	}
	file, err := config.LoadFromReader(strings.NewReader(text))
	if err != nil {
		// The text of a JSON error can quote the text around it.
		return Credentials{}, false, fmt.Errorf("reading registry credentials: the variable %s is not valid", configfile.DockerEnvConfigKey)
	}
	found, err := fromFile(file, key)
	return found, found != Credentials{}, err
}

func fromFile(file *configfile.ConfigFile, key string) (Credentials, error) {
	entry, err := filestore.NewFileStore(file).Get(key)
	if err != nil {
		return Credentials{}, fmt.Errorf("reading registry credentials: %w", err)
	}
	return ofEntry(entry), nil
}

func ofEntry(entry types.AuthConfig) Credentials {
	if entry.IdentityToken != "" {
		return Credentials{Secret: entry.IdentityToken}
	}
	return Credentials{Username: entry.Username, Secret: entry.Password}
}

// ask runs a helper. One that is missing or hangs is not run again: every
// registry host would wait for it anew.
func (k *Keychain) ask(ctx context.Context, name, file, key string) (Credentials, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err, ok := k.failed[name]; ok {
		return Credentials{}, &HelperError{Name: name, File: file, Err: err}
	}
	limited, cancel := context.WithTimeoutCause(ctx, k.timeout, fmt.Errorf("it did not answer within %s", k.timeout))
	defer cancel()
	run := &program{ctx: limited, name: name}
	found, err := client.Get(func(args ...string) client.Program {
		run.args = args
		return run
	}, key)
	switch {
	case err == nil && found.Username == tokenUser:
		return Credentials{Secret: found.Secret}, nil
	case err == nil:
		return Credentials{Username: found.Username, Secret: found.Secret}, nil
	case credentials.IsErrCredentialsNotFound(err):
		return Credentials{}, nil
	case ctx.Err() != nil:
		return Credentials{}, context.Cause(ctx)
	case limited.Err() != nil:
		err = fmt.Errorf("no answer within %s", k.timeout)
		k.failed[name] = err
	case errors.Is(run.err, exec.ErrNotFound):
		err = fmt.Errorf("%w", exec.ErrNotFound)
		k.failed[name] = err
	case run.err != nil:
		err = run.err
	default:
		err = errors.New("it answered something other than credentials")
	}
	return Credentials{}, &HelperError{Name: name, File: file, Err: err}
}

// program is a client.Program that ends with a context and keeps quiet.
type program struct {
	ctx   context.Context //nolint:containedctx // client.Program has no place for one
	name  string
	args  []string
	stdin io.Reader
	err   error
}

func (p *program) Input(in io.Reader) { p.stdin = in }

func (p *program) Output() ([]byte, error) {
	var stdout bytes.Buffer
	cmd := exec.CommandContext(p.ctx, p.name, p.args...)
	cmd.Stdin, cmd.Stdout = p.stdin, &stdout
	cmd.WaitDelay = time.Second // a child of the helper may hold the pipe open
	p.err = cmd.Run()
	return stdout.Bytes(), p.err
}
