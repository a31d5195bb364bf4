package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/platforms"
	"github.com/docker/cli/cli/connhelper"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// answerLimit bounds what is read of an answer that is a document.
const answerLimit = 4 << 20

// connectTimeout is for a Docker that accepts connections and does not answer.
const connectTimeout = 20 * time.Second

// Engine is a running Docker.
type Engine struct {
	// Version is that of the Engine, such as 28.1.0.
	Version string
	// Platform is that of its machine.
	Platform ocispec.Platform
	// MultiPlatform is whether its store keeps several platforms under a name: Docker
	// calls it the containerd image store.
	MultiPlatform bool

	endpoint Endpoint
	client   *http.Client
	base     string // scheme, host and API version
}

// Connect asks the Docker at an endpoint what it is.
func Connect(ctx context.Context, endpoint Endpoint) (*Engine, error) {
	e := &Engine{endpoint: endpoint}
	if err := e.open(); err != nil {
		return nil, fmt.Errorf("reaching Docker at %s (%s): %w", endpoint.Host, endpoint.Origin, err)
	}
	within, stop := context.WithTimeoutCause(ctx, connectTimeout, fmt.Errorf("no answer within %s; is it Docker that listens there?", connectTimeout))
	defer stop()
	if err := e.describe(within); err != nil {
		e.Close()
		if cause := context.Cause(within); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("reaching Docker at %s (%s): %w", endpoint.Host, endpoint.Origin, err)
	}
	return e, nil
}

// Close closes the connections.
func (e *Engine) Close() { e.client.CloseIdleConnections() }

// open prepares connections.
func (e *Engine) open() error {
	address, err := url.Parse(e.endpoint.Host)
	if err != nil {
		return fmt.Errorf("%w; write unix://PATH, tcp://HOST:PORT or ssh://USER@HOST", err)
	}
	transport := &http.Transport{MaxIdleConns: 2, IdleConnTimeout: time.Minute}
	e.client = &http.Client{Transport: transport}
	e.base = "http://docker"
	switch address.Scheme {
	case "unix":
		socket := address.Host + address.Path
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
	case "tcp", "http", "https":
		transport.Proxy = http.ProxyFromEnvironment
		scheme, port := "http", "2375"
		if e.endpoint.TLS != nil || address.Scheme == "https" {
			scheme, port = "https", "2376"
			transport.TLSClientConfig = e.endpoint.TLS
		}
		if given := address.Port(); given != "" {
			port = given
		}
		e.base = scheme + "://" + net.JoinHostPort(address.Hostname(), port)
	case "ssh":
		helper, err := connhelper.GetConnectionHelper(e.endpoint.Host)
		if err != nil {
			return fmt.Errorf("%w; write ssh://USER@HOST", err)
		}
		transport.DialContext = helper.Dialer
	default:
		return fmt.Errorf("the address %q is not supported; use unix://PATH, tcp://HOST:PORT or ssh://USER@HOST", e.endpoint.Host)
	}
	return nil
}

// describe fills in what Docker says of itself.
func (e *Engine) describe(ctx context.Context) error {
	resp, err := e.do(ctx, http.MethodGet, "/_ping", nil, nil)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	api := resp.Header.Get("Api-Version")
	if api == "" {
		return errors.New("what answers there is not Docker; correct DOCKER_HOST or the docker context")
	}
	e.base += "/v" + api // its newest, which is the same for what is used here
	var version struct{ Version, Os, Arch string }
	if err := e.get(ctx, "/version", &version); err != nil {
		return err
	}
	var info struct {
		Architecture string
		DriverStatus [][2]string
	}
	if err := e.get(ctx, "/info", &info); err != nil {
		return err
	}
	e.Version = version.Version
	e.Platform = ocispec.Platform{OS: version.Os, Architecture: version.Arch}
	// Go's name has no variant; the kernel's has.
	if variant, ok := map[string]string{"armv6l": "v6", "armv7l": "v7"}[info.Architecture]; ok && version.Arch == "arm" {
		e.Platform.Variant = variant
	}
	e.Platform = platforms.Normalize(e.Platform)
	e.MultiPlatform = slices.Contains(info.DriverStatus, [2]string{"driver-type", "io.containerd.snapshotter.v1"})
	return nil
}

// major is the first number of the version, 0 for versions that begin otherwise.
func (e *Engine) major() int {
	first, _, _ := strings.Cut(e.Version, ".")
	n, err := strconv.Atoi(first)
	if err != nil {
		return 0
	}
	return n
}

func (e *Engine) get(ctx context.Context, name string, into any) error {
	resp, err := e.do(ctx, http.MethodGet, name, nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, answerLimit)).Decode(into); err != nil {
		return fmt.Errorf("reading Docker's answer to %s: %w", path.Base(name), err)
	}
	return nil
}

// statusError is an answer that says no.
type statusError struct {
	status  int
	message string
}

func (e *statusError) Error() string {
	if e.message == "" {
		return "Docker answers " + strconv.Itoa(e.status) + " " + http.StatusText(e.status)
	}
	return "Docker says: " + e.message
}

// do sends a request. Answers other than 2xx are errors; the caller closes the body of
// the others.
func (e *Engine) do(ctx context.Context, method, name string, query url.Values, body io.Reader) (*http.Response, error) {
	target := e.base + name
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-tar")
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, e.explain(err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer resp.Body.Close()
		return nil, refusal(resp)
	}
	return resp, nil
}

// refusal reads an answer that says no.
func refusal(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, answerLimit)) // without one, the status says it
	var said struct{ Message string }
	_ = json.Unmarshal(body, &said)
	if strings.Contains(string(body), "HTTP request to an HTTPS server") {
		said.Message = "it speaks TLS; set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH"
	}
	return &statusError{resp.StatusCode, strings.TrimSpace(said.Message)}
}

// explain says what to do about a connection that failed.
func (e *Engine) explain(err error) error {
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w; start Docker, or say where it is by DOCKER_HOST or DOCKER_CONTEXT", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; run mabuild as root or as a member of the group docker", err)
	case strings.Contains(err.Error(), "server gave HTTP response"):
		return fmt.Errorf("%w; unset DOCKER_TLS_VERIFY and DOCKER_CERT_PATH", err)
	}
	return err
}
