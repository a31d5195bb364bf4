package docker_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/builder/docker"
)

// configure writes Docker's configuration with one context.
func configure(t *testing.T, current, name, meta string) string {
	t.Helper()
	dir := t.TempDir()
	id := digest.FromString(name).Encoded()
	files := map[string]string{
		"config.json": fmt.Sprintf(`{"currentContext":%q}`, current),
		filepath.Join("contexts", "meta", id, "meta.json"): meta,
	}
	for path, text := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const remote = `{"Name":"remote","Metadata":{},"Endpoints":{"docker":{"Host":"ssh://me@there","SkipTLSVerify":false}}}`

func TestFind(t *testing.T) {
	tests := map[string]struct {
		current, meta  string
		host, context  string // of the environment
		opts           docker.Options
		want, wantPart string
	}{
		"nothing":              {want: docker.DefaultHost},
		"default context":      {current: "default", want: docker.DefaultHost},
		"current context":      {current: "remote", meta: remote, want: "ssh://me@there"},
		"DOCKER_CONTEXT":       {meta: remote, context: "remote", want: "ssh://me@there"},
		"DOCKER_HOST wins":     {current: "remote", meta: remote, context: "remote", host: "tcp://h:1", want: "tcp://h:1"},
		"asked-for wins":       {meta: remote, host: "tcp://h:1", opts: docker.Options{Context: "remote"}, want: "ssh://me@there"},
		"asked-for host":       {host: "tcp://h:1", opts: docker.Options{Host: "tcp://h:2"}, want: "tcp://h:2"},
		"unknown context":      {context: "nothere", wantPart: `"nothere" (DOCKER_CONTEXT): there is no such context; ` + "`docker context ls`"},
		"broken context":       {current: "remote", meta: "{", wantPart: `"remote"`},
		"context of something": {current: "remote", meta: `{"Endpoints":{"kubernetes":{}}}`, wantPart: "no docker endpoint"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("DOCKER_HOST", test.host)
			t.Setenv("DOCKER_CONTEXT", test.context)
			t.Setenv("DOCKER_TLS_VERIFY", "")
			t.Setenv("DOCKER_CERT_PATH", "")
			test.opts.ConfigDir = configure(t, test.current, "remote", test.meta)
			got, err := docker.Find(test.opts)
			if test.wantPart != "" {
				wantError(t, err, test.wantPart)
				return
			}
			if err != nil || got.Host != test.want {
				t.Errorf("got %+v, %v; want %s", got, err, test.want)
			}
		})
	}
}

// TestTLS: a Docker on tcp with a certificate of its own, by the environment and by a
// context.
func TestTLS(t *testing.T) {
	e := &engine{version: "20.10.24", arch: "amd64", mu: &sync.Mutex{}}
	server := httptest.NewTLSServer(e)
	t.Cleanup(server.Close)
	host := "tcp://" + strings.TrimPrefix(server.URL, "https://")
	dir := configure(t, "remote", "remote", fmt.Sprintf(`{"Endpoints":{"docker":{"Host":%q}}}`, host))
	certs := filepath.Join(dir, "contexts", "tls", digest.FromString("remote").Encoded(), "docker")
	if err := os.MkdirAll(certs, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(certs, "ca.pem"), certificate(server), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"} {
		t.Setenv(name, "")
	}
	connect := func() error {
		endpoint, err := docker.Find(docker.Options{ConfigDir: dir})
		if err != nil {
			return err
		}
		connected, err := docker.Connect(t.Context(), endpoint)
		if err == nil {
			connected.Close()
		}
		return err
	}
	if err := connect(); err != nil {
		t.Errorf("by a context: %v", err)
	}
	t.Setenv("DOCKER_HOST", host)
	wantError(t, connect(), "DOCKER_HOST", "DOCKER_TLS_VERIFY") // it speaks TLS
	t.Setenv("DOCKER_TLS_VERIFY", "1")
	t.Setenv("DOCKER_CERT_PATH", certs)
	if err := connect(); err != nil {
		t.Errorf("by DOCKER_CERT_PATH: %v", err)
	}
	if err := os.WriteFile(filepath.Join(certs, "ca.pem"), []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantError(t, connect(), "has no certificate", "DOCKER_CERT_PATH")
}

// TestPorts: Docker has ports of its own.
func TestPorts(t *testing.T) {
	for host, part := range map[string]string{"tcp://127.0.0.1": "127.0.0.1:2375", "https://127.0.0.1": "127.0.0.1:2376"} {
		_, err := docker.Connect(t.Context(), docker.Endpoint{Host: host, Origin: "the test"})
		wantError(t, err, part)
	}
}

func TestConnectErrors(t *testing.T) {
	other := listen(t, http.NotFoundHandler())
	mute := listen(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	file := filepath.Join(t.TempDir(), "file")
	for host, parts := range map[string][]string{
		"unix:///nothere.sock": {"unix:///nothere.sock (the test)", "start Docker", "DOCKER_HOST"},
		"unix://" + file:       {"start Docker"},
		"tcp://127.0.0.1:1":    {"refused", "start Docker"},
		other:                  {"404"},
		mute:                   {"is not Docker"},
		"npipe:////./pipe/d":   {"not supported"},
		"nonsense":             {"not supported", "unix://PATH"},
		"ssh://":               {"ssh://USER@HOST"},
		"%":                    {"unix://PATH"},
	} {
		t.Run(host, func(t *testing.T) {
			_, err := docker.Connect(t.Context(), docker.Endpoint{Host: host, Origin: "the test"})
			wantError(t, err, parts...)
		})
	}
}

// TestSSH reaches an Engine through a program called ssh.
func TestSSH(t *testing.T) {
	e := &engine{version: "20.10.24", arch: "amd64"}
	socket := strings.TrimPrefix(listen(t, e), "unix://")
	t.Setenv("MABUILD_TEST_DIAL", socket)
	bin := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "ssh")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	connected, err := docker.Connect(t.Context(), docker.Endpoint{Host: "ssh://me@there", Origin: "the test"})
	if err != nil {
		t.Fatal(err)
	}
	defer connected.Close()
	if connected.Version != "20.10.24" {
		t.Errorf("got %+v", connected)
	}
}
