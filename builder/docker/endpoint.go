package docker

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/docker/cli/cli/config"
	"github.com/opencontainers/go-digest"
)

// DefaultHost is where Docker listens when nobody says otherwise.
const DefaultHost = "unix:///var/run/docker.sock"

// Options say which Docker is meant. The zero value is useful.
type Options struct {
	// Host is the address. Default: what the docker command uses.
	Host string
	// Context is the name of a docker context. Default: as Host.
	Context string
	// ConfigDir holds config.json and contexts. Default: $DOCKER_CONFIG, else ~/.docker.
	ConfigDir string
}

// Endpoint is where a Docker Engine listens.
type Endpoint struct {
	// Host is its address: unix://, tcp:// or ssh://.
	Host string
	// TLS, if any, is for tcp.
	TLS *tls.Config
	// Origin is where Host comes from, for messages: DOCKER_HOST, a context.
	Origin string
}

// Find returns the Docker that the docker command would use.
func Find(opts Options) (Endpoint, error) {
	if opts.ConfigDir == "" {
		opts.ConfigDir = config.Dir()
	}
	origin := "as was asked for"
	if opts.Host == "" && opts.Context == "" {
		opts.Host, origin = os.Getenv("DOCKER_HOST"), "DOCKER_HOST"
	}
	if opts.Host != "" {
		return fromEnvironment(opts, origin)
	}
	name, origin := opts.Context, "as was asked for"
	if name == "" {
		name, origin = os.Getenv("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
	}
	if name == "" {
		file, err := config.Load(opts.ConfigDir)
		if err != nil {
			return Endpoint{}, fmt.Errorf("reading Docker's configuration: %w; correct the file, or set DOCKER_HOST", err)
		}
		name, origin = file.CurrentContext, file.Filename
	}
	if name == "" || name == "default" {
		return Endpoint{Host: DefaultHost, Origin: "the default"}, nil
	}
	endpoint, err := fromContext(opts.ConfigDir, name)
	if err != nil {
		return Endpoint{}, fmt.Errorf("reading the docker context %q (%s): %w; `docker context ls` lists those that there are", name, origin, err)
	}
	return endpoint, nil
}

// fromEnvironment completes a host by the variables that belong to DOCKER_HOST.
func fromEnvironment(opts Options, origin string) (Endpoint, error) {
	endpoint := Endpoint{Host: opts.Host, Origin: origin}
	verify, dir := os.Getenv("DOCKER_TLS_VERIFY") != "", os.Getenv("DOCKER_CERT_PATH")
	if !verify && dir == "" {
		return endpoint, nil
	}
	if dir == "" {
		dir = opts.ConfigDir
	}
	var err error
	if endpoint.TLS, err = certificates(dir, !verify); err != nil {
		return Endpoint{}, fmt.Errorf("reading certificates for %s: %w; correct DOCKER_CERT_PATH", opts.Host, err)
	}
	return endpoint, nil
}

// fromContext reads a context as the docker command stores it (docker/cli's
// cli/context/store): in directories named by the digest of the context's name.
func fromContext(configDir, name string) (Endpoint, error) {
	id := digest.FromString(name).Encoded()
	body, err := os.ReadFile(filepath.Join(configDir, "contexts", "meta", id, "meta.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return Endpoint{}, errors.New("there is no such context")
	}
	if err != nil {
		return Endpoint{}, err
	}
	var meta struct {
		Endpoints map[string]struct {
			Host          string
			SkipTLSVerify bool
		}
	}
	if err := json.Unmarshal(body, &meta); err != nil {
		return Endpoint{}, err
	}
	found, ok := meta.Endpoints["docker"]
	if !ok || found.Host == "" {
		return Endpoint{}, errors.New("it has no docker endpoint")
	}
	endpoint := Endpoint{Host: found.Host, Origin: fmt.Sprintf("docker context %q", name)}
	dir := filepath.Join(configDir, "contexts", "tls", id, "docker")
	if _, err := os.Stat(dir); err == nil || found.SkipTLSVerify {
		endpoint.TLS, err = certificates(dir, found.SkipTLSVerify)
		if err != nil {
			return Endpoint{}, err
		}
	}
	return endpoint, nil
}

// certificates reads ca.pem, cert.pem and key.pem, of which none has to be there.
func certificates(dir string, insecure bool) (*tls.Config, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure} //nolint:gosec // the user's setting
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("%s has no certificate", filepath.Join(dir, "ca.pem"))
		}
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		settings.Certificates = []tls.Certificate{pair}
	}
	return settings, nil
}
