package registry_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
)

// Two requests wait for a token, and the first one does not get it. The other one asks
// for itself, but does not send a wrong password once more.
func TestTokenForOneThatWaits(t *testing.T) {
	var interrupt context.CancelCauseFunc
	for name, test := range map[string]struct {
		password string
		fault    registrytest.Fault
		asks     bool
	}{
		"connection cut": {password: "secret", fault: registrytest.Reset(0), asks: true},
		"request ended": {password: "secret", asks: true, fault: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			interrupt(errors.New("another platform's job failed"))
			registrytest.Silence()(w, r, next)
		}},
		"service in trouble": {password: "secret", fault: registrytest.Status(502, ""), asks: true},
		"wrong password":     {password: "canary"},
	} {
		t.Run(name, func(t *testing.T) {
			tokens := &registrytest.Tokens{Users: map[string]string{"user": "secret"}}
			proxy := registrytest.New(t, tokens.Protect(registrytest.Memory()))
			proxy.Add(registrytest.Rule{Path: "^/token$", Times: 1, Fault: test.fault})
			client, _ := newClient(t, registry.Options{ConfigDir: login(t, proxy.Host(), "user", test.password)})
			authorizer, err := client.Authorizer(proxy.Host())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			interrupt = cancel
			first, second := refused(ctx, t, proxy), refused(t.Context(), t, proxy)
			for _, resp := range []*http.Response{first, second} {
				if err := authorizer.AddResponses(resp.Request.Context(), []*http.Response{resp}); err != nil {
					t.Fatal(err)
				}
			}
			if err := authorizer.Authorize(ctx, first.Request); err == nil {
				t.Fatal("the first request was authorized")
			}
			before := proxy.Count("", "^/token$")
			if err := authorizer.Authorize(t.Context(), second.Request); err != nil {
				t.Fatal(err)
			}
			asked, header := proxy.Count("", "^/token$") > before, second.Request.Header.Get("Authorization")
			if asked != test.asks || (header != "") != test.asks {
				t.Errorf("a token was asked for: %t; the second request has %q", asked, header)
			}
		})
	}
}

// refused is the answer to a request without a token.
func refused(ctx context.Context, t *testing.T, proxy *registrytest.Proxy) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+proxy.Host()+"/v2/app/manifests/v1", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusUnauthorized {
		t.Fatalf("got %s", resp.Status)
	}
	return resp
}
