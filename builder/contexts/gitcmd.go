package contexts

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// git runs the program in a bare repository.
type git struct {
	program string
	dir     string
	secret  func(id string) string
	remote  string // once it is known
}

// maxOutput bounds what is read of git where no file is read.
const maxOutput = 64 << 20

// gitError is a run of git that ended badly.
type gitError struct {
	command string
	message string // what git said, without credentials
	err     error
}

func (e *gitError) Error() string {
	if e.message == "" {
		return fmt.Sprintf("git %s: %v", e.command, e.err)
	}
	return "git " + e.command + ": " + e.message
}

func (e *gitError) Unwrap() error { return e.err }

// run returns what git prints, which is to fit into memory.
func (g git) run(ctx context.Context, args ...string) ([]byte, error) {
	out, err := g.output(ctx, maxOutput+1, args...)
	if err == nil && len(out) > maxOutput {
		return nil, &hintError{fmt.Errorf("git %s printed more than %d MiB", verb(args), maxOutput>>20), "the repository is too large to be planned from its URL; clone it and give the directory"}
	}
	return out, err
}

// output returns the first bytes that git prints.
func (g git) output(ctx context.Context, limit int64, args ...string) ([]byte, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	cmd := exec.CommandContext(ctx, g.program, append([]string{"--git-dir=" + g.dir}, args...)...)
	cmd.Dir = g.dir
	cmd.Env = append(environment(os.Environ()), g.authorization()...)
	isolate(cmd)
	cmd.WaitDelay = 5 * time.Second // for helpers that outlive git with its pipes open
	stdout := &limited{max: limit, full: func() { stop(errEnough) }}
	stderr := &limited{max: 16 << 10}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err := cmd.Run()
	switch {
	case err == nil, errors.Is(context.Cause(ctx), errEnough):
		return stdout.Bytes(), nil
	case context.Cause(ctx) != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return nil, &hintError{fmt.Errorf("the program git is missing: %w", err), "install it, or give a directory or the URL of an archive"}
	}
	return nil, explain(&gitError{command: verb(args), message: lastWords(stderr.String()), err: err}, stderr.String())
}

// errEnough ends a git that prints more than is wanted.
var errEnough = errors.New("enough")

// limited keeps the first bytes that are written to it.
type limited struct {
	bytes.Buffer
	max  int64
	full func()
}

func (l *limited) Write(p []byte) (int, error) {
	if room := l.max - int64(l.Len()); int64(len(p)) >= room {
		l.Buffer.Write(p[:max(room, 0)])
		if l.full != nil {
			l.full()
		}
		return len(p), nil
	}
	return l.Buffer.Write(p)
}

func verb(args []string) string {
	for i := 0; i < len(args); i++ {
		if args[i] == "-c" {
			i++
			continue
		}
		return args[i]
	}
	return ""
}

// environment is what git gets to see: the user's own settings and credentials, but
// no repository of a surrounding git command, and no way to ask.
func environment(inherited []string) []string {
	var env []string
	for _, item := range inherited {
		name, _, _ := strings.Cut(item, "=")
		if !surrounding[name] && !strings.HasPrefix(name, "GIT_CONFIG_KEY_") && !strings.HasPrefix(name, "GIT_CONFIG_VALUE_") && !strings.HasPrefix(name, "GIT_TRACE") {
			env = append(env, item)
		}
	}
	return append(env, "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS_REQUIRE=never", "GCM_INTERACTIVE=never",
		"GIT_ALLOW_PROTOCOL=http:https:ssh:git", "GIT_NO_REPLACE_OBJECTS=1", "LC_ALL=C", "LANGUAGE=C")
}

// authorization is what BuildKit would send for this repository, by its own names and
// in its order. Everybody may look at command lines, so it goes into the environment.
func (g git) authorization() []string {
	remote, err := url.Parse(g.remote)
	if g.secret == nil || err != nil || remote.Host == "" {
		return nil
	}
	for _, name := range []string{"GIT_AUTH_HEADER." + remote.Host, "GIT_AUTH_TOKEN." + remote.Host, "GIT_AUTH_HEADER", "GIT_AUTH_TOKEN"} {
		value := strings.TrimSpace(g.secret(name))
		if value == "" {
			continue
		}
		if strings.HasPrefix(name, "GIT_AUTH_TOKEN") {
			value = "basic " + base64.StdEncoding.EncodeToString([]byte("x-access-token:"+value))
		}
		scope := url.URL{Scheme: remote.Scheme, Host: remote.Host, Path: remote.Path}
		return []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http." + scope.String() + ".extraheader", "GIT_CONFIG_VALUE_0=Authorization: " + value}
	}
	return nil
}

// surrounding are the variables that are about another repository than the one that
// is fetched, from git rev-parse --local-env-vars, and those that are set anew.
var surrounding = map[string]bool{
	"GIT_ALTERNATE_OBJECT_DIRECTORIES": true, "GIT_CONFIG": true, "GIT_CONFIG_PARAMETERS": true, "GIT_CONFIG_COUNT": true,
	"GIT_OBJECT_DIRECTORY": true, "GIT_DIR": true, "GIT_WORK_TREE": true, "GIT_IMPLICIT_WORK_TREE": true, "GIT_GRAFT_FILE": true,
	"GIT_INDEX_FILE": true, "GIT_NO_REPLACE_OBJECTS": true, "GIT_REPLACE_REF_BASE": true, "GIT_PREFIX": true,
	"GIT_SHALLOW_FILE": true, "GIT_COMMON_DIR": true, "GIT_NAMESPACE": true, "GIT_QUARANTINE_PATH": true, "GIT_EXTERNAL_DIFF": true,
	"GIT_TERMINAL_PROMPT": true, "GIT_ASKPASS": true, "SSH_ASKPASS": true, "SSH_ASKPASS_REQUIRE": true, "GCM_INTERACTIVE": true,
	"GIT_ALLOW_PROTOCOL": true, "LC_ALL": true, "LANGUAGE": true, "GIT_PROTOCOL_FROM_USER": true, "GIT_CURL_VERBOSE": true,
}

// lastWords are the lines in which git says what is wrong.
func lastWords(stderr string) string {
	var fatal, rest []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(printable(line))
		switch {
		case line == "":
		case strings.HasPrefix(line, "fatal: "), strings.HasPrefix(line, "error: "), strings.HasPrefix(line, "remote: "):
			fatal = append(fatal, line)
		default:
			rest = append(rest, line)
		}
	}
	if len(fatal) == 0 {
		fatal = rest
	}
	return strings.Join(fatal[max(0, len(fatal)-3):], ", ")
}

// explain adds to what git says what can be done about it.
func explain(err *gitError, stderr string) error {
	hint := ""
	contains := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(stderr, part) {
				return true
			}
		}
		return false
	}
	switch {
	case contains("could not read Username", "could not read Password", "Authentication failed", "Permission denied", "error: 401", "error: 403", "terminal prompts disabled"):
		hint = "git has no valid credentials for it: set up a credential helper or an SSH key, and try git ls-remote; nobody can be asked during a build"
	case contains("Could not resolve host", "Connection refused", "Connection timed out", "Failed to connect", "No route to host", "unable to connect", "Network is unreachable"):
		hint = "check the host, the network, and the proxy if there is one (HTTPS_PROXY)"
	case contains("Host key verification failed"):
		hint = "connect once with ssh to accept the host's key"
	case contains("not found", "does not exist", "does not appear to be a git repository", "not exported"):
		hint = "check the URL; a private repository looks the same to those who may not read it"
	case contains("certificate"):
		hint = "make the authority known to git (http.sslCAInfo)"
	case contains("transport '"):
		hint = "git is set up to fetch this URL from elsewhere (url.….insteadOf), over a protocol that is not allowed here; clone it and give the directory"
	default:
		hint = "git ls-remote with the same URL may tell more"
	}
	return &hintError{err, hint}
}

// shallowRefused reports whether the server cannot leave out history or files.
func shallowRefused(err error) bool {
	var failed *gitError
	if !errors.As(err, &failed) {
		return false
	}
	for _, word := range []string{"--depth", "shallow", "filter", "partial clone"} {
		if strings.Contains(failed.message, word) {
			return true
		}
	}
	return false
}

// unadvertised reports whether the server knows no object of that name, or gives
// none out.
func unadvertised(err error) bool {
	var failed *gitError
	if !errors.As(err, &failed) {
		return false
	}
	for _, word := range []string{"not our ref", "unadvertised object", "no such remote ref", "couldn't find remote ref"} {
		if strings.Contains(failed.message, word) {
			return true
		}
	}
	return false
}

// init makes an empty repository that knows where to fetch from.
func (g *git) init(ctx context.Context, remote, format string) error {
	g.remote = remote
	if err := os.MkdirAll(g.dir, 0o700); err != nil {
		return fmt.Errorf("preparing to fetch: %w", err)
	}
	args := []string{"-c", "init.defaultBranch=main", "init", "--quiet", "--bare", "--template="}
	if format != "sha1" { // which is the default, also of old versions
		args = append(args, "--object-format="+format)
	}
	if _, err := g.run(ctx, append(args, "--", ".")...); err != nil {
		return err
	}
	return g.configure(remote)
}

// configure sets where to fetch from, and nothing else. The URL goes into a file:
// everybody may look at command lines, and it may have a password.
func (g git) configure(remote string) error {
	name := filepath.Join(g.dir, "config")
	made := filepath.Join(g.dir, "config.made") // by git init
	config, err := os.ReadFile(made)
	if errors.Is(err, fs.ErrNotExist) {
		if config, err = os.ReadFile(name); err == nil {
			err = os.WriteFile(made, config, 0o600)
		}
	}
	if err == nil {
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(remote)
		config = fmt.Appendf(config, "[remote \"origin\"]\n\turl = \"%s\"\n[gc]\n\tauto = 0\n[core]\n\thooksPath = %s\n", quoted, os.DevNull)
		err = os.WriteFile(name, config, 0o600)
	}
	if err != nil {
		return fmt.Errorf("preparing to fetch: %w", err)
	}
	return nil
}
