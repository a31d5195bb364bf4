package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	resolverconfig "github.com/moby/buildkit/util/resolver/config"

	"github.com/mabuild/mabuild/builder/registry/internal/patient"
)

// Host says how one registry is reached. It is the [registry."host"] table of a
// buildkitd.toml, field by field, so that client and engine can share one
// configuration:
//
//	Mirrors       hosts to ask before this one when pulling, optionally with a path
//	PlainHTTP     http: plain http instead of https; default for this machine
//	Insecure      insecure: any certificate will do; with http too, either protocol
//	RootCAs       ca: files with certificates to trust besides the system's
//	KeyPairs      keypair: client certificates
//	TLSConfigDir  tlsconfigdir: directories of .crt, .cert and .key files
type Host = resolverconfig.RegistryConfig

// site is a registry together with its mirrors.
type site struct {
	pull  []docker.RegistryHost // mirrors first, the registry itself last
	push  []docker.RegistryHost // the registry itself
	auth  *authorizer           // of the registry itself
	bases []*http.Transport
}

// origin is the registry itself.
func (s *site) origin() docker.RegistryHost { return s.push[0] }

// site returns how to reach domain, the host of a reference.
func (c *Client) site(domain string) (*site, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.sites[domain]; ok {
		return s, nil
	}
	s := &site{}
	for _, mirror := range c.opts.Hosts[domain].Mirrors {
		host, prefix := splitMirror(mirror)
		h, err := c.connect(s, host, c.opts.Hosts[host], true)
		if err != nil {
			return nil, fmt.Errorf("setting up the mirror %s of %s: %w", host, domain, err)
		}
		h.Path = path.Join(h.Path, prefix)
		h.Capabilities = docker.HostCapabilityPull | docker.HostCapabilityResolve
		s.pull = append(s.pull, h)
	}
	host := domain
	if domain == "docker.io" {
		host = "registry-1.docker.io"
	}
	h, err := c.connect(s, host, c.opts.Hosts[domain], false)
	if err != nil {
		return nil, fmt.Errorf("setting up the registry %s: %w", domain, err)
	}
	s.auth = h.Authorizer.(*authorizer)
	s.pull = append(s.pull, h)
	s.push = []docker.RegistryHost{h}
	c.sites[domain] = s
	return s, nil
}

// connect makes the clients for one host. The meaning of the settings is that of
// BuildKit (util/resolver/resolver.go, fillInsecureOpts).
func (c *Client) connect(s *site, host string, conf Host, mirror bool) (docker.RegistryHost, error) {
	config, err := tlsConfig(conf)
	if err != nil {
		return docker.RegistryHost{}, err
	}
	plain, insecure := isLocal(host), conf.Insecure != nil && *conf.Insecure
	if conf.PlainHTTP != nil {
		plain = *conf.PlainHTTP
	}
	base := newBase(config)
	s.bases = append(s.bases, base)
	var sender http.RoundTripper = base
	scheme := "https"
	switch {
	case insecure:
		config.InsecureSkipVerify = true
		if plain {
			sender = docker.NewHTTPFallback(base)
		}
	case plain:
		scheme = "http"
	}
	transport := &patient.Transport{
		Base:       sender,
		Logger:     c.opts.Logger,
		UserAgent:  c.opts.UserAgent,
		Host:       host,
		AllowPlain: plain || insecure,
		Impatient:  mirror,
		Pauses:     c.pauses,
		Limits:     c.limits,
		Clock:      c.clock,
	}
	tokens := *transport
	tokens.Raw = true
	return docker.RegistryHost{
		Client:       &http.Client{Transport: transport, CheckRedirect: checkRedirect},
		Authorizer:   newAuthorizer(host, c.keys, &http.Client{Transport: &tokens, CheckRedirect: checkRedirect}),
		Host:         host,
		Scheme:       scheme,
		Path:         "/v2",
		Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve | docker.HostCapabilityPush,
	}, nil
}

// newBase returns a transport with BuildKit's settings: no HTTP/2, whose flow
// control slows uploads down (golang/go#14077).
func newBase(config *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{
			Timeout:   15 * time.Second,
			KeepAlive: 60 * time.Second,
		}).DialContext,
		MaxIdleConns:          30,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: 5 * time.Second,
		TLSClientConfig:       config,
		TLSNextProto:          map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
}

// checkRedirect bounds redirects and keeps credentials at home. net/http
// compares host names without ports, and keeps the header for subdomains.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("the registry redirects in circles (more than 10 times)")
	}
	if from := via[0].URL; req.URL.Host != from.Host || req.URL.Scheme != from.Scheme {
		req.Header.Del("Authorization")
		req.Header.Del("Cookie")
	}
	return nil
}

// isLocal reports whether host is this machine, as containerd understands it.
func isLocal(host string) bool {
	local, err := docker.MatchLocalhost(host)
	return local && err == nil
}

// splitMirror takes a mirror of a buildkitd.toml apart. It may have a scheme,
// which doesn't count, and a path.
func splitMirror(mirror string) (host, prefix string) {
	u, err := url.Parse(mirror)
	if err != nil || u.Host == "" {
		u, err = url.Parse("//" + mirror)
	}
	if err != nil || u.Host == "" {
		return mirror, ""
	}
	return u.Host, strings.TrimRight(u.Path, "/")
}

func tlsConfig(conf Host) (*tls.Config, error) {
	authorities, pairs := conf.RootCAs, conf.KeyPairs
	for _, dir := range conf.TLSConfigDir {
		files, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return nil, err
		}
		for _, file := range files {
			full := filepath.Join(dir, file.Name())
			if strings.HasSuffix(full, ".crt") {
				authorities = append(authorities[:len(authorities):len(authorities)], full)
			}
			if stem, ok := strings.CutSuffix(full, ".cert"); ok {
				pairs = append(pairs[:len(pairs):len(pairs)], resolverconfig.TLSKeyPair{Certificate: full, Key: stem + ".key"})
			}
		}
	}
	config := &tls.Config{}
	if len(authorities) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		for _, file := range authorities {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			if !pool.AppendCertsFromPEM(text) {
				return nil, fmt.Errorf("reading the certificate file %q: no certificate in it", file)
			}
		}
		config.RootCAs = pool
	}
	for _, pair := range pairs {
		certificate, err := tls.LoadX509KeyPair(pair.Certificate, pair.Key)
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate %q: %w", pair.Certificate, err)
		}
		config.Certificates = append(config.Certificates, certificate)
	}
	return config, nil
}
