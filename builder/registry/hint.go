package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/mabuild/mabuild/builder/registry/internal/keychain"
	"github.com/mabuild/mabuild/builder/registry/internal/patient"
)

// hint says what the user can do about e.
func (c *Client) hint(e *Error, t target) string {
	var broken *patient.BrokenError
	switch {
	case errors.Is(e.Err, ErrTagMoved):
		return "somebody else pushes this tag too: push under another tag, or push again to have the last word"
	case errors.Is(e.Err, ErrDigest):
		return "a registry, mirror or proxy on the way delivers wrong content: try again, or leave out the mirror"
	case errors.Is(e.Err, patient.ErrForbidden):
		return fmt.Sprintf("if %s is meant to do that, correct its external URL, or allow it by insecure = true in %s", t.domain, stanza(t.domain))
	case errors.As(e.Err, &broken):
		return connectionHint(broken.Cause(), t)
	case errors.As(e.Err, new(*lateError)):
		return "try again; a registry that does this more often loses what it accepts"
	case errors.As(e.Err, new(*tagError)):
		return "push under a new tag, or allow this one to move in the registry's settings"
	case errors.As(e.Err, new(*foreignError)):
		return "allow the layer's address in the registry (distribution: validation.manifests.urls.allow), or build on a base without such layers"
	case errors.As(e.Err, new(*childError)):
		return "push what the manifest refers to into the same repository first"
	}
	switch e.Status {
	case 0:
		return ""
	case http.StatusUnauthorized, http.StatusForbidden:
		return c.accessHint(e, t)
	case http.StatusNotFound:
		return notFoundHint(e, t)
	}
	return statusHint(e, t)
}

func (c *Client) accessHint(e *Error, t target) string {
	login := "docker login " + t.domain
	if t.domain == "docker.io" {
		login = "docker login"
	}
	if strings.Contains(e.Message, "rate limit") {
		return "wait a few minutes and try again"
	}
	s, err := c.site(t.domain)
	if err != nil {
		return "run `" + login + "`"
	}
	var helper *keychain.HelperError
	switch problem := s.auth.problem(); {
	case errors.As(problem, &helper):
		return fmt.Sprintf("%s; install or repair it, or remove it from %s and run `%s`", redact(problem.Error()), helper.File, login)
	case problem != nil:
		return fmt.Sprintf("%s; then run `%s`", redact(problem.Error()), login)
	case s.auth.anonymous():
		return "run `" + login + "`"
	}
	return fmt.Sprintf("the credentials of `%s` are wrong, or their account may not do that: log in again, or ask for access to %s", login, t.repository)
}

func notFoundHint(e *Error, t target) string {
	if strings.HasPrefix(e.Op, "pushing") && !errors.As(e.Err, new(*patient.StatusError)) {
		return "what is to be pushed is gone from where it was built: build again"
	}
	if strings.HasPrefix(e.Op, "pushing") {
		return fmt.Sprintf("create the repository %s first; not every registry does that on a push", t.repository)
	}
	return fmt.Sprintf("check the name and the tag; a private repository can look like this before `docker login %s`", t.domain)
}

func statusHint(e *Error, t target) string {
	plain := strings.ToLower(e.Message)
	switch {
	case e.Status == http.StatusBadRequest && (strings.Contains(plain, "https") || e.Code+plain == ""):
		return fmt.Sprintf("if %s speaks https, set http = false in %s, and ca if its certificate is its own", t.domain, stanza(t.domain))
	case e.Code == "MANIFEST_INVALID" || e.Code == "UNSUPPORTED" || e.Status == http.StatusUnsupportedMediaType:
		return "the registry refuses this kind of manifest: build without attestations (--provenance=false --sbom=false) or with Docker's media types (oci-mediatypes=false)"
	case e.Status == http.StatusRequestEntityTooLarge:
		return "raise the limit for request bodies of the registry or of the proxy in front of it (nginx: client_max_body_size)"
	case e.Status == http.StatusTooManyRequests:
		var refusal *patient.StatusError
		if errors.As(e.Err, &refusal) && refusal.RetryAfter > 0 {
			return fmt.Sprintf("try again in %s; `docker login %s` may raise the limit", roundWait(refusal.RetryAfter), t.domain)
		}
		return fmt.Sprintf("try again later; `docker login %s` may raise the limit", t.domain)
	case e.Status == http.StatusMethodNotAllowed:
		return "the registry doesn't allow that; it may be read-only, or a mirror"
	case e.Status >= 500:
		return "the registry is in trouble; try again later"
	}
	return ""
}

// connectionHint explains why a registry could not be reached.
func connectionHint(err error, t target) string {
	var (
		header  tls.RecordHeaderError
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		lookup  *net.DNSError
	)
	host := t.domain
	switch {
	case errors.As(err, &header) && string(header.RecordHeader[:]) == "HTTP/":
		return fmt.Sprintf("%s speaks plain http: set http = true in %s", host, stanza(host))
	case errors.As(err, &unknown):
		return fmt.Sprintf("name the registry's certificate authority by ca = [\"FILE\"] in %s", stanza(host))
	case errors.As(err, &name):
		return "reach the registry by a name that its certificate has, or give it another certificate"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew the registry's certificate, or correct this machine's clock"
	case strings.Contains(err.Error(), "tls: certificate required"):
		return fmt.Sprintf("name a client certificate by keypair in %s", stanza(host))
	case errors.As(err, &lookup):
		return fmt.Sprintf("check the spelling of %s, and this machine's DNS", host)
	case patient.Refused(err) && isLocal(host):
		return fmt.Sprintf("start the registry; %s is the machine that mabuild runs on", host)
	case patient.Refused(err):
		return fmt.Sprintf("check that the registry runs at %s and that nothing in between refuses the connection", host)
	case strings.Contains(err.Error(), "malformed HTTP response"):
		return fmt.Sprintf("%s doesn't speak plain http: set http = false in %s", host, stanza(host))
	}
	return fmt.Sprintf("check the network between this machine and %s, and try again", host)
}

// stanza names the place for a registry's settings.
func stanza(host string) string {
	return fmt.Sprintf("[registry.%q] of the engine's configuration", host)
}
