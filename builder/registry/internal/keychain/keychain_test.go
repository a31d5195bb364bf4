package keychain_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mabuild/mabuild/builder/registry/internal/keychain"
)

// helpers are credential helpers as scripts: what the program
// docker-credential-NAME does.
var helpers = map[string]string{
	"good":     `read host; echo "{\"ServerURL\":\"$host\",\"Username\":\"helped\",\"Secret\":\"for $host\"}"`,
	"other":    `echo '{"Username":"other","Secret":"other"}'`,
	"token":    `echo '{"Username":"<token>","Secret":"identity"}'`,
	"notfound": `echo 'credentials not found in native keychain'; exit 1`,
	"broken":   `echo '{"Secret":"canary"}'; echo canary >&2; exit 3`,
	"nonsense": `echo 'canary'`,
	"hangs":    `exec sleep 60`,
}

// setup writes config.json and puts the helpers on PATH. It returns the
// directory of the file.
func setup(t *testing.T, config string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the helpers are shell scripts")
	}
	bin, dir := t.TempDir(), t.TempDir()
	for name, script := range helpers {
		path := filepath.Join(bin, "docker-credential-"+name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("DOCKER_AUTH_CONFIG", "")
	if config != "" {
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// "user:pass", "hub:hub" and "env:env" in base 64.
const (
	userPass = "dXNlcjpwYXNz"
	hubHub   = "aHViOmh1Yg=="
	envEnv   = "ZW52OmVudg=="
)

func TestGet(t *testing.T) {
	tests := []struct {
		name, config, env, host string
		want                    keychain.Credentials
	}{
		{name: "no file", host: "r.example"},
		{name: "empty file", config: "{}", host: "r.example"},
		{name: "auths", config: `{"auths":{"r.example":{"auth":"` + userPass + `"}}}`, host: "r.example", want: keychain.Credentials{Username: "user", Secret: "pass"}},
		{name: "other host", config: `{"auths":{"r.example":{"auth":"` + userPass + `"}}}`, host: "s.example"},
		{name: "other port", config: `{"auths":{"r.example":{"auth":"` + userPass + `"}}}`, host: "r.example:5000"},
		{name: "url as key", config: `{"auths":{"https://r.example/v1/":{"auth":"` + userPass + `"}}}`, host: "r.example", want: keychain.Credentials{Username: "user", Secret: "pass"}},
		{name: "identity token", config: `{"auths":{"r.example":{"auth":"` + userPass + `","identitytoken":"it"}}}`, host: "r.example", want: keychain.Credentials{Secret: "it"}},
		{name: "hub", config: `{"auths":{"https://index.docker.io/v1/":{"auth":"` + hubHub + `"}}}`, host: "registry-1.docker.io", want: keychain.Credentials{Username: "hub", Secret: "hub"}},
		{name: "hub by name", config: `{"auths":{"https://index.docker.io/v1/":{"auth":"` + hubHub + `"}}}`, host: "docker.io", want: keychain.Credentials{Username: "hub", Secret: "hub"}},
		{name: "store", config: `{"credsStore":"good"}`, host: "r.example", want: keychain.Credentials{Username: "helped", Secret: "for r.example"}},
		{name: "store for hub", config: `{"credsStore":"good"}`, host: "docker.io", want: keychain.Credentials{Username: "helped", Secret: "for https://index.docker.io/v1/"}},
		{name: "store with a token", config: `{"credsStore":"token"}`, host: "r.example", want: keychain.Credentials{Secret: "identity"}},
		{name: "store that knows nothing", config: `{"credsStore":"notfound"}`, host: "r.example"},
		// Case 82: the helper for a host wins over the store, and over auths.
		{name: "helper over store", config: `{"credsStore":"other","credHelpers":{"r.example":"good"}}`, host: "r.example", want: keychain.Credentials{Username: "helped", Secret: "for r.example"}},
		{name: "store for others", config: `{"credsStore":"other","credHelpers":{"r.example":"good"}}`, host: "s.example", want: keychain.Credentials{Username: "other", Secret: "other"}},
		{name: "helper over auths", config: `{"auths":{"r.example":{"auth":"` + userPass + `"}},"credHelpers":{"r.example":"good"}}`, host: "r.example", want: keychain.Credentials{Username: "helped", Secret: "for r.example"}},
		{name: "missing helper of another host", config: `{"auths":{"r.example":{"auth":"` + userPass + `"}},"credHelpers":{"s.example":"nothere"}}`, host: "r.example", want: keychain.Credentials{Username: "user", Secret: "pass"}},
		{name: "environment", env: `{"auths":{"r.example":{"auth":"` + envEnv + `"}}}`, config: `{"credsStore":"good"}`, host: "r.example", want: keychain.Credentials{Username: "env", Secret: "env"}},
		{name: "environment without the host", env: `{"auths":{"s.example":{"auth":"` + envEnv + `"}}}`, config: `{"credsStore":"good"}`, host: "r.example", want: keychain.Credentials{Username: "helped", Secret: "for r.example"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := setup(t, test.config)
			t.Setenv("DOCKER_AUTH_CONFIG", test.env)
			got, err := keychain.New(keychain.Options{Dir: dir}).Get(t.Context(), test.host)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestGetFindsItsFile(t *testing.T) {
	dir := setup(t, `{"auths":{"r.example":{"auth":"`+userPass+`"}}}`)
	want := keychain.Credentials{Username: "user", Secret: "pass"}
	t.Run("DOCKER_CONFIG", func(t *testing.T) {
		t.Setenv("DOCKER_CONFIG", dir)
		if got, err := keychain.New(keychain.Options{}).Get(t.Context(), "r.example"); got != want {
			t.Errorf("got %v, %v", got, err)
		}
	})
	t.Run("home", func(t *testing.T) {
		home := t.TempDir()
		if err := os.Rename(dir, filepath.Join(home, ".docker")); err != nil {
			t.Fatal(err)
		}
		t.Setenv("DOCKER_CONFIG", "")
		t.Setenv("HOME", home)
		if got, err := keychain.New(keychain.Options{}).Get(t.Context(), "r.example"); got != want {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

// A login during a long build counts (case 78).
func TestGetReadsAnew(t *testing.T) {
	dir := setup(t, `{}`)
	chain := keychain.New(keychain.Options{Dir: dir})
	if got, err := chain.Get(t.Context(), "r.example"); err != nil || got != (keychain.Credentials{}) {
		t.Fatalf("got %v, %v", got, err)
	}
	login := `{"auths":{"r.example":{"auth":"` + userPass + `"}}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := chain.Get(t.Context(), "r.example"); err != nil || got.Username != "user" {
		t.Errorf("got %v, %v", got, err)
	}
}

// Case 82.
func TestGetFails(t *testing.T) {
	tests := []struct{ name, config, env, want string }{
		{name: "missing helper", config: `{"credsStore":"nothere"}`, want: "docker-credential-nothere"},
		{name: "missing helper for the host", config: `{"credsStore":"good","credHelpers":{"r.example":"nothere"}}`, want: "not found"},
		{name: "broken helper", config: `{"credsStore":"broken"}`, want: "exit status 3"},
		{name: "nonsense", config: `{"credsStore":"nonsense"}`, want: "something other"},
		{name: "hanging helper", config: `{"credsStore":"hangs"}`, want: "no answer within 200ms"},
		{name: "bad file", config: `{"auths":`, want: "config.json"},
		{name: "bad variable", env: `{"auths":{"canary":`, want: "DOCKER_AUTH_CONFIG is not valid"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := setup(t, test.config)
			t.Setenv("DOCKER_AUTH_CONFIG", test.env)
			timeout := keychain.DefaultTimeout
			if strings.Contains(test.config, "hangs") {
				timeout = 200 * time.Millisecond
			}
			got, err := keychain.New(keychain.Options{Dir: dir, Timeout: timeout}).Get(t.Context(), "r.example")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v and error %v, want one with %q", got, err, test.want)
			}
			if got != (keychain.Credentials{}) {
				t.Errorf("got credentials %v too", got)
			}
			if strings.Contains(fmt.Sprintf("%v %+v", err, err), "canary") {
				t.Errorf("the error shows what the helper printed: %v", err)
			}
			var helper *keychain.HelperError
			if errors.As(err, &helper) != strings.Contains(test.config, "creds") {
				t.Errorf("got a %T", err)
			}
		})
	}
}

// A helper that hangs costs its timeout once, not once per registry.
func TestGetAsksAHangingHelperOnce(t *testing.T) {
	dir := setup(t, `{"credsStore":"hangs"}`)
	chain := keychain.New(keychain.Options{Dir: dir, Timeout: 200 * time.Millisecond})
	if _, err := chain.Get(t.Context(), "r.example"); err == nil {
		t.Fatal("no error")
	}
	t.Setenv("PATH", "") // it would be reported as missing now
	_, err := chain.Get(t.Context(), "s.example")
	if err == nil || errors.Is(err, exec.ErrNotFound) {
		t.Errorf("got %v, want the first error again", err)
	}
}

func TestGetEndsWithItsContext(t *testing.T) {
	dir := setup(t, `{"credsStore":"hangs"}`)
	interrupted := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(interrupted) })
	if _, err := keychain.New(keychain.Options{Dir: dir}).Get(ctx, "r.example"); !errors.Is(err, interrupted) {
		t.Errorf("got %v", err)
	}
}

// Docker refuses helpers in the current directory, and so does this package.
func TestGetRefusesHelpersInTheCurrentDirectory(t *testing.T) {
	dir := setup(t, `{"credsStore":"here"}`)
	t.Chdir(t.TempDir())
	script := "#!/bin/sh\n" + helpers["good"] + "\n"
	if err := os.WriteFile("docker-credential-here", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", "."+string(os.PathListSeparator)+os.Getenv("PATH"))
	got, err := keychain.New(keychain.Options{Dir: dir}).Get(t.Context(), "r.example")
	if !errors.Is(err, exec.ErrDot) {
		t.Errorf("got %v, %v", got, err)
	}
}
