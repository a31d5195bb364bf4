package registry_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
)

// login writes a config.json with the credentials for host and returns its
// directory.
func login(t *testing.T, host, user, password string) string {
	t.Helper()
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	entry := fmt.Sprintf(`"auth":%q`, auth)
	if token, ok := strings.CutPrefix(password, "identity:"); ok {
		entry = fmt.Sprintf(`"identitytoken":%q`, token)
	}
	return config(t, fmt.Sprintf(`{"auths":{%q:{%s}}}`, host, entry))
}

func config(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_AUTH_CONFIG", "")
	return dir
}

// helper puts a credential helper on PATH.
func helper(t *testing.T, name, script string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the helper is a shell script")
	}
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "docker-credential-"+name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func TestCredentials(t *testing.T) {
	src := newStore()
	root := src.twoPlatforms(t, 1)
	t.Run("basic", func(t *testing.T) {
		proxy := registrytest.New(t, registrytest.Basic("user", "secret", registrytest.Memory()))
		client, _ := newClient(t, registry.Options{ConfigDir: login(t, proxy.Host(), "user", "secret")})
		mustCopy(t, client, proxy.Host()+"/app:v1", src, root)
		checkTag(t, client, proxy.Host()+"/app:v1", root)
	})
	t.Run("token for a password", func(t *testing.T) {
		tokens := &registrytest.Tokens{Users: map[string]string{"user": "secret"}, Allow: func(user, _, _ string) bool { return user == "user" }}
		proxy := registrytest.New(t, tokens.Protect(registrytest.Memory()))
		client, _ := newClient(t, registry.Options{ConfigDir: login(t, proxy.Host(), "user", "secret")})
		mustCopy(t, client, proxy.Host()+"/app:v1", src, root)
		checkTag(t, client, proxy.Host()+"/app:v1", root)
		if n := tokens.Issued(); n > 6 {
			t.Errorf("asked for %d tokens", n)
		}
	})
	t.Run("token for an identity token", func(t *testing.T) {
		tokens := &registrytest.Tokens{Users: map[string]string{"user": "identity:refresh"}, Allow: func(user, _, _ string) bool { return user == "user" }}
		proxy := registrytest.New(t, tokens.Protect(registrytest.Memory()))
		client, _ := newClient(t, registry.Options{ConfigDir: login(t, proxy.Host(), "", "identity:refresh")})
		mustCopy(t, client, proxy.Host()+"/app:v1", src, root)
	})
	t.Run("anonymous token", func(t *testing.T) {
		tokens := &registrytest.Tokens{}
		proxy := registrytest.New(t, tokens.Protect(registrytest.Memory()))
		client, _ := newClient(t, registry.Options{})
		mustCopy(t, client, proxy.Host()+"/app:v1", src, root)
		checkTag(t, client, proxy.Host()+"/app:v1", root)
	})
}

// Case 78, row 15: tokens that expire in the middle, in servers that say so and
// in servers that don't.
func TestTokenExpires(t *testing.T) {
	for _, terse := range []bool{false, true} {
		t.Run(fmt.Sprintf("terse=%v", terse), func(t *testing.T) {
			tokens := &registrytest.Tokens{Terse: terse}
			proxy := registrytest.New(t, tokens.Protect(registrytest.Memory()))
			// Every token is revoked after its first use to change something.
			revoke := registrytest.After(tokens.Revoke)
			for _, method := range []string{"POST", "PUT"} {
				proxy.Add(registrytest.Rule{Method: method, When: func(r *http.Request) bool { return r.URL.Path != "/token" }, Fault: revoke})
			}
			client, _ := newClient(t, registry.Options{Parallel: 1})
			src := newStore()
			root := src.index(t, src.image(t, "amd64", 1, 200_000))
			mustCopy(t, client, proxy.Host()+"/app:v1", src, root)
			checkTag(t, client, proxy.Host()+"/app:v1", root)
			if n := tokens.Issued(); n < 4 {
				t.Errorf("only %d tokens were asked for", n)
			}
		})
	}
}

// Row 16: what counts is how long a token is good, not what the server's clock
// says.
func TestTokenWithSkewedClock(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			tokens := &registrytest.Tokens{Skew: skew, TTL: 5 * time.Minute}
			proxy := registrytest.New(t, tokens.Protect(registrytest.Memory()))
			client, _ := newClient(t, registry.Options{Parallel: 1})
			src := newStore()
			mustCopy(t, client, proxy.Host()+"/app:v1", src, src.twoPlatforms(t, 1))
			if n := tokens.Issued(); n > 6 {
				t.Errorf("asked for %d tokens", n)
			}
		})
	}
}

// Case 78: credentials that change during a build are asked for again.
func TestCredentialsRotate(t *testing.T) {
	password := "first"
	src := newStore()
	first, second := src.image(t, "amd64", 1, 100), src.image(t, "amd64", 2, 100)
	memory := registrytest.Memory()
	proxy := registrytest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		registrytest.Basic("user", password, memory).ServeHTTP(w, r)
	}))
	dir := login(t, proxy.Host(), "user", "first")
	client, _ := newClient(t, registry.Options{ConfigDir: dir})
	mustCopy(t, client, proxy.Host()+"/app:v1", src, first)

	password = "second"
	text, err := os.ReadFile(filepath.Join(login(t, proxy.Host(), "user", "second"), "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	mustCopy(t, client, proxy.Host()+"/app:v2", src, second)
}

func TestCredentialsRefused(t *testing.T) {
	src := newStore()
	root := src.image(t, "amd64", 1, 100)
	t.Run("wrong password", func(t *testing.T) {
		proxy := registrytest.New(t, registrytest.Basic("user", "secret", registrytest.Memory()))
		client, _ := newClient(t, registry.Options{ConfigDir: login(t, proxy.Host(), "user", "canary")})
		err := client.Copy(t.Context(), proxy.Host()+"/app:v1", src, root)
		described := wantError(t, err, "401 Unauthorized", "docker login "+proxy.Host())
		if described.Status != 401 || strings.Contains(err.Error()+described.Hint, "canary") {
			t.Errorf("got %v", described)
		}
		// Sent too often, a wrong password locks the account. Two blobs ask.
		wrong := 0
		for _, req := range proxy.Requests() {
			if req.Authorization != "" {
				wrong++
			}
		}
		if wrong > 4 {
			t.Errorf("sent the wrong password %d times", wrong)
		}
	})
	t.Run("wrong password for a token", func(t *testing.T) {
		tokens := &registrytest.Tokens{Users: map[string]string{"user": "secret"}}
		proxy := registrytest.New(t, tokens.Protect(registrytest.Memory()))
		client, _ := newClient(t, registry.Options{ConfigDir: login(t, proxy.Host(), "user", "canary")})
		_, err := client.Resolve(t.Context(), proxy.Host()+"/app:v1")
		wantError(t, err, "401 Unauthorized: incorrect username or password", "docker login")
	})
	t.Run("nobody logged in", func(t *testing.T) {
		proxy := registrytest.New(t, registrytest.Basic("user", "secret", registrytest.Memory()))
		client, _ := newClient(t, registry.Options{})
		_, err := client.Resolve(t.Context(), proxy.Host()+"/app:v1")
		wantError(t, err, "401 Unauthorized", "run `docker login "+proxy.Host()+"`")
	})
	t.Run("no access", func(t *testing.T) {
		tokens := &registrytest.Tokens{Users: map[string]string{"user": "secret"}, Allow: func(_, _, action string) bool { return action == "pull" }}
		proxy := registrytest.New(t, tokens.Protect(registrytest.Memory()))
		client, _ := newClient(t, registry.Options{ConfigDir: login(t, proxy.Host(), "user", "secret")})
		err := client.Copy(t.Context(), proxy.Host()+"/app:v1", src, root)
		wantError(t, err, "401 Unauthorized", "ask for access to app")
		if n := tokens.Issued(); n > 8 {
			t.Errorf("asked for %d tokens", n)
		}
	})
}

// Case 82.
func TestCredentialHelpers(t *testing.T) {
	src := newStore()
	root := src.image(t, "amd64", 1, 100)
	protected := func(t *testing.T) *registrytest.Proxy {
		return registrytest.New(t, registrytest.Basic("user", "secret", registrytest.Memory()))
	}
	t.Run("helper for the host", func(t *testing.T) {
		proxy := protected(t)
		helper(t, "good", `echo '{"Username":"user","Secret":"secret"}'`)
		dir := config(t, fmt.Sprintf(`{"credsStore":"nothere","credHelpers":{%q:"good"}}`, proxy.Host()))
		client, _ := newClient(t, registry.Options{ConfigDir: dir})
		mustCopy(t, client, proxy.Host()+"/app:v1", src, root)
	})
	t.Run("missing helper where none is needed", func(t *testing.T) {
		tokens := &registrytest.Tokens{}
		open, public := registrytest.New(t, registrytest.Memory()), registrytest.New(t, tokens.Protect(registrytest.Memory()))
		client, _ := newClient(t, registry.Options{ConfigDir: config(t, `{"credsStore":"nothere"}`)})
		mustCopy(t, client, open.Host()+"/app:v1", src, root)
		mustCopy(t, client, public.Host()+"/app:v1", src, root)
	})
	t.Run("missing helper where one is needed", func(t *testing.T) {
		proxy := protected(t)
		client, _ := newClient(t, registry.Options{ConfigDir: config(t, `{"credsStore":"nothere"}`)})
		err := client.Copy(t.Context(), proxy.Host()+"/app:v1", src, root)
		wantError(t, err, "401 Unauthorized", "docker-credential-nothere")
	})
	t.Run("hanging helper", func(t *testing.T) {
		proxy := protected(t)
		helper(t, "hangs", "exec sleep 60")
		client, _ := newClient(t, registry.Options{ConfigDir: config(t, `{"credsStore":"hangs"}`)})
		client.SetHelperTimeout(200 * time.Millisecond)
		err := client.Copy(t.Context(), proxy.Host()+"/app:v1", src, root)
		wantError(t, err, "401 Unauthorized", "no answer within 200ms")
	})
	t.Run("bad file", func(t *testing.T) {
		proxy := protected(t)
		client, _ := newClient(t, registry.Options{ConfigDir: config(t, `{"auths":`)})
		err := client.Copy(t.Context(), proxy.Host()+"/app:v1", src, root)
		wantError(t, err, "401 Unauthorized", "config.json")
	})
}

// Row 26 of the fault table: credentials stay with the host that they are for.
func TestCredentialsStayAtHome(t *testing.T) {
	src := newStore()
	root := src.image(t, "amd64", 1, 2000)
	layer := src.layers(t, root)[0]
	evil := registrytest.New(t, registrytest.Memory())
	evilDir := evil.Host()

	quiet := func(t *testing.T) {
		t.Helper()
		for _, req := range evil.Requests() {
			if req.Authorization != "" {
				t.Errorf("%s %s came with %q", req.Method, req.Path, req.Authorization)
			}
		}
		if len(evil.Requests()) == 0 {
			t.Error("the other host wasn't asked at all")
		}
		evil.Reset()
	}
	for _, kind := range []string{"basic", "token"} {
		t.Run(kind, func(t *testing.T) {
			backend := registrytest.Basic("user", "canary", registrytest.Memory())
			if kind == "token" {
				backend = (&registrytest.Tokens{Users: map[string]string{"user": "canary"}}).Protect(registrytest.Memory())
			}
			proxy := registrytest.New(t, backend)
			client, _ := newClient(t, registry.Options{ConfigDir: login(t, proxy.Host(), "user", "canary")})
			mustCopy(t, client, proxy.Host()+"/app:v1", src, root)

			// The other port of the same address counts as another host, which
			// net/http doesn't think.
			proxy.Add(
				registrytest.Rule{Method: "GET", Path: registrytest.Manifests, Fault: registrytest.Redirect(307, "http://"+evilDir+"/v2/app/manifests/v1")},
				registrytest.Rule{Method: "GET", Path: registrytest.Blobs, Fault: registrytest.Redirect(307, "http://"+evilDir+"/blob")},
			)
			if _, err := client.Fetch(t.Context(), proxy.Host()+"/app", root); err == nil {
				t.Error("no error")
			}
			quiet(t)
			if _, err := client.Open(t.Context(), proxy.Host()+"/app", layer); err == nil {
				t.Error("no error")
			}
			quiet(t)

			// A host to which we were redirected asks for credentials.
			evil.Add(registrytest.Rule{Fault: registrytest.Status(401, "", "WWW-Authenticate", `Basic realm="give"`)})
			if _, err := client.Fetch(t.Context(), proxy.Host()+"/app", root); err == nil {
				t.Error("no error")
			}
			quiet(t)

			// An upload is sent elsewhere.
			proxy.Reset()
			proxy.Add(registrytest.Rule{Method: "POST", Path: registrytest.Uploads, Fault: registrytest.Status(202, "", "Location", "http://"+evilDir+"/v2/app/blobs/uploads/1")})
			evil.Add(registrytest.Rule{Fault: registrytest.Status(201, "")})
			if err := client.Copy(t.Context(), proxy.Host()+"/other:v1", src, src.image(t, "amd64", 77, 2000)); err == nil {
				t.Log("the registry lost the blob and accepted the manifest")
			}
			quiet(t)
		})
	}
}

// Row 26: a registry that sends the client away and back asks for credentials for
// ever, because they don't come back along.
func TestRedirectThereAndBack(t *testing.T) {
	there := registrytest.New(t, registrytest.Memory())
	_, port, _ := strings.Cut(there.Host(), ":") // net/http must see another host name
	proxy := registrytest.New(t, registrytest.Basic("user", "secret", registrytest.Memory()))
	client, _ := newClient(t, registry.Options{ConfigDir: login(t, proxy.Host(), "user", "secret")})
	src := newStore()
	root := src.image(t, "amd64", 1, 100)
	mustCopy(t, client, proxy.Host()+"/app:v1", src, root)
	proxy.Reset()
	proxy.Add(registrytest.Rule{Path: "/v1$", Fault: registrytest.Redirect(307, "http://localhost:"+port+"/back")})
	there.Add(registrytest.Rule{Fault: registrytest.Redirect(307, "http://"+proxy.Host()+"/v2/app/manifests/v2")})
	_, err := client.Resolve(t.Context(), proxy.Host()+"/app:v1")
	wantError(t, err, "401 Unauthorized", "docker login")
	if n := proxy.Count("", ""); n > 10 {
		t.Errorf("made %d requests", n)
	}
}

// Row 26: a token service over plain http would get the password of an https
// registry in the clear.
func TestRealmOfAnHTTPSRegistry(t *testing.T) {
	trap := registrytest.New(t, registrytest.Memory())
	tokens := &registrytest.Tokens{Realm: "http://" + trap.Host() + "/token"}
	proxy := registrytest.NewTLS(t, tokens.Protect(registrytest.Memory()))
	no := false
	client, _ := newClient(t, registry.Options{
		ConfigDir: login(t, proxy.Host(), "user", "canary"),
		Hosts:     map[string]registry.Host{proxy.Host(): {PlainHTTP: &no, RootCAs: []string{certificate(t, proxy)}}},
	})
	_, err := client.Resolve(t.Context(), proxy.Host()+"/app:v1")
	wantError(t, err, "refused to follow the registry from https to http", "insecure = true")
	if n := trap.Count("", ""); n > 0 {
		t.Errorf("%d requests went there", n)
	}
}

// The same token serves requests that run at the same time.
func TestTokensAreShared(t *testing.T) {
	tokens := &registrytest.Tokens{}
	proxy := registrytest.New(t, tokens.Protect(registrytest.Memory()))
	client, _ := newClient(t, registry.Options{Parallel: 8})
	src := newStore()
	root := src.index(t,
		src.image(t, "amd64", 1, 100, 200, 300, 400), src.image(t, "arm64", 1, 100, 200, 300, 400),
		src.image(t, "s390x", 1, 100, 200, 300, 400), src.image(t, "ppc64le", 1, 100, 200, 300, 400))
	mustCopy(t, client, proxy.Host()+"/app:v1", src, root)
	if n := tokens.Issued(); n > 12 {
		t.Errorf("asked for %d tokens", n)
	}
	scopes := map[string]int{}
	for _, req := range proxy.Requests() {
		if req.Path == "/token" {
			scopes[req.Query]++
		}
	}
	if len(scopes) == 0 || slices.Max(values(scopes)) > 10 {
		t.Errorf("scopes were asked for %v times", scopes)
	}
}

func values(m map[string]int) []int {
	var all []int
	for _, n := range m {
		all = append(all, n)
	}
	return all
}
