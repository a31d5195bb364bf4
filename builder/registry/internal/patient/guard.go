package patient

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// ErrForbidden is wrapped by errors about requests to a place where a registry
// has no business to send the client.
var ErrForbidden = errors.New("refused to follow")

// guard refuses targets of redirects, upload locations and token realms that no
// honest registry names.
func (t *Transport) guard(target *url.URL) error {
	if target.Scheme != "https" && (target.Scheme != "http" || !t.AllowPlain) {
		return fmt.Errorf("%w the registry from https to %s://%s", ErrForbidden, target.Scheme, target.Host)
	}
	if target.Host == t.Host || t.Host == "" {
		return nil
	}
	address, local := literal(target.Hostname())
	switch {
	case !address.IsValid() && !local:
		return nil
	case address.IsLinkLocalUnicast() || address.IsLinkLocalMulticast() || address.IsUnspecified() || address.IsMulticast():
		return fmt.Errorf("%w the registry to the address %s", ErrForbidden, target.Host)
	case local && !t.isLocal():
		return fmt.Errorf("%w the registry to %s on this machine", ErrForbidden, target.Host)
	}
	return nil
}

func (t *Transport) isLocal() bool {
	host := t.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, local := literal(strings.Trim(host, "[]"))
	return local
}

// literal returns the address that host is, and whether it is this machine.
func literal(host string) (netip.Addr, bool) {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return netip.Addr{}, true
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, false
	}
	address = address.Unmap()
	return address, address.IsLoopback()
}
