package registry_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
)

func TestUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	client, clock := newClient(t, registry.Options{})
	_, err = client.Resolve(t.Context(), closed+"/app:v1")
	wantError(t, err, "connection refused", "the machine that mabuild runs on") // case 81
	_, err = client.Resolve(t.Context(), "registry.invalid/app:v1")
	wantError(t, err, "registry.invalid", "registry.invalid")
	if total, _ := clock.Slept(); total > 0 {
		t.Logf("waited %s for the name server", total)
	}
}

// Case 80: the hint about a certificate for another name.
func TestWrongName(t *testing.T) {
	proxy := registrytest.NewTLS(t, registrytest.Memory())
	no := false
	_, port, _ := strings.Cut(proxy.Host(), ":")
	host := "localhost:" + port // not in httptest's certificate
	client, _ := newClient(t, registry.Options{Hosts: map[string]registry.Host{
		host: {PlainHTTP: &no, RootCAs: []string{certificate(t, proxy)}},
	}})
	_, err := client.Resolve(t.Context(), host+"/app:v1")
	wantError(t, err, "x509", "by a name that its certificate has")
}

// Case 27: nothing that the client says shows a secret, whatever goes wrong.
func TestNoSecretsAnywhere(t *testing.T) {
	const canary = "c4n4ry"
	encoded := base64.StdEncoding.EncodeToString([]byte("user:" + canary))
	src := newStore()
	root := src.image(t, "amd64", 1, 2000)
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))

	faults := map[string]registrytest.Fault{
		"401":      registrytest.Status(401, "", "WWW-Authenticate", `Basic realm="x"`),
		"403":      registrytest.Status(403, ""),
		"404":      registrytest.Status(404, ""),
		"429":      registrytest.Status(429, "", "Retry-After", "1"),
		"500":      registrytest.Status(500, ""),
		"reset":    registrytest.Reset(0),
		"redirect": registrytest.Redirect(307, "http://user:"+canary+"@127.0.0.1:1/x?token="+canary),
		"metadata": registrytest.Redirect(307, "http://169.254.169.254/?token="+canary),
		"location": registrytest.Status(202, "", "Location", "/v2/app/blobs/uploads/1?_state="+canary),
		"garbage":  registrytest.Status(202, "", "Location", "http://%zz?token="+canary),
		"realm":    registrytest.Status(401, "", "WWW-Authenticate", `Bearer realm="http://127.0.0.1:1/token?key=`+canary+`",service="s"`),
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			tokens := &registrytest.Tokens{Users: map[string]string{"user": canary}}
			proxy := registrytest.New(t, tokens.Protect(registrytest.Memory()))
			client, _ := newClient(t, registry.Options{ConfigDir: login(t, proxy.Host(), "user", canary), Logger: logger})
			mustCopy(t, client, proxy.Host()+"/app:v1", src, root)
			for _, method := range []string{"HEAD", "GET", "POST", "PUT"} {
				proxy.Reset()
				proxy.Add(registrytest.Rule{Method: method, Fault: fault})
				other := src.image(t, "amd64", uint64(len(method)), 3000)
				_, resolving := client.Resolve(t.Context(), proxy.Host()+"/app:v1")
				_, fetching := client.Fetch(t.Context(), proxy.Host()+"/app", root)
				_, opening := client.Open(t.Context(), proxy.Host()+"/app", src.layers(t, root)[0])
				copying := client.Copy(t.Context(), proxy.Host()+"/app:v2", src, other)
				for _, err := range []error{resolving, fetching, opening, copying} {
					checkNoSecret(t, err, canary, encoded)
				}
			}
		})
	}
	for _, ref := range []string{
		"https://user:" + canary + "@registry.example/app", "user:" + canary + "@registry.example/app",
		"registry.example/app?token=" + canary, "http://registry.example/app?x=" + canary + "#y",
	} {
		client, _ := newClient(t, registry.Options{})
		_, err := client.Resolve(t.Context(), ref)
		wantError(t, err, "invalid reference format", "HOST/NAME:TAG")
		checkNoSecret(t, err, canary, encoded)
	}
	if strings.Contains(log.String(), canary) || strings.Contains(log.String(), encoded) {
		t.Errorf("the log shows a secret:\n%s", log.String())
	}
}

func checkNoSecret(t *testing.T, err error, secrets ...string) {
	t.Helper()
	if err == nil {
		return
	}
	text := fmt.Sprintf("%v", err)
	var described *registry.Error
	if !errors.As(err, &described) {
		t.Errorf("%v is no *registry.Error", err)
	} else {
		text += described.Hint + described.Message + described.Reference
	}
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("shows a secret: %s", text)
		}
	}
}

func TestRedact(t *testing.T) {
	tests := []struct{ text, want string }{
		{"plain text", "plain text"},
		{`Get "https://user:pw@r.example/v2/?a=b": refused`, `Get "https://r.example/v2/": refused`},
		{"user:pw@r.example/app", "r.example/app"},
		{"r.example/app@sha256:abc", "r.example/app@sha256:abc"},
		{"r.example/app:v1@sha256:abc", "r.example/app:v1@sha256:abc"},
		{"app@sha256:abc", "app@sha256:abc"},
		{"what? no secret", "what? no secret"},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			if got := registry.Redact(test.text); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("https://", "@r.example/app?token=x")
	f.Add("see ", " and more")
	f.Fuzz(func(t *testing.T, before, after string) {
		const canary = "C4N4RY"
		if strings.ContainsAny(before, "/@ \t\r\n\"\f\v") {
			return
		}
		for _, text := range []string{
			before + " https://user:" + canary + "@r.example/app " + after,
			before + " https://r.example/app?a=" + canary + " " + after,
		} {
			if got := registry.Redact(text); strings.Contains(got, canary) {
				t.Fatalf("%q becomes %q", text, got)
			}
		}
	})
}
