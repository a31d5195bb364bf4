package registry_test

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
)

// certificate writes the certificate of a proxy to a file.
func certificate(t *testing.T, proxy *registrytest.Proxy) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.crt")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate()})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Case 80: client and engine share the settings for registries.
func TestHosts(t *testing.T) {
	plain, encrypted := registrytest.New(t, registrytest.Memory()), registrytest.NewTLS(t, registrytest.Memory())
	trusted := certificate(t, encrypted)
	tests := []struct {
		name       string
		proxy      *registrytest.Proxy
		config     string // body of the [registry."HOST"] table
		text, hint string // of the error, if one is expected
	}{
		{name: "local http by default", proxy: plain},
		{name: "http", proxy: plain, config: "http = true"},
		{name: "http or https, plain", proxy: plain, config: "http = true\ninsecure = true"},
		{name: "http or https, encrypted", proxy: encrypted, config: "http = true\ninsecure = true"},
		{name: "https that isn't", proxy: plain, config: "http = false", text: "first record does not look like a TLS handshake", hint: "set http = true in [registry.\"HOST\"]"},
		{name: "http that isn't", proxy: encrypted, text: "400 Bad Request", hint: "set http = false in [registry.\"HOST\"]"},
		{name: "insecure", proxy: encrypted, config: "http = false\ninsecure = true"},
		{name: "own authority", proxy: encrypted, config: "http = false\nca = [\"CA\"]"},
		{name: "directory", proxy: encrypted, config: "http = false\ntlsconfigdir = [\"DIR\", \"/does/not/exist\"]"},
		{name: "unknown authority", proxy: encrypted, config: "http = false", text: "certificate signed by unknown authority", hint: "ca = [\"FILE\"] in [registry.\"HOST\"]"},
		{name: "missing file", proxy: encrypted, config: "ca = [\"/does/not/exist\"]", text: "setting up the registry"},
		{name: "missing key", proxy: encrypted, config: "keypair = [{key = \"CA\", cert = \"CA\"}]", text: "reading the client certificate"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			host := test.proxy.Host()
			text := strings.NewReplacer("CA", trusted, "DIR", filepath.Dir(trusted)).Replace(test.config)
			var config struct {
				Registry map[string]registry.Host `toml:"registry"`
			}
			if err := toml.Unmarshal([]byte("[registry.\""+host+"\"]\n"+text+"\n"), &config); err != nil {
				t.Fatal(err)
			}
			client, _ := newClient(t, registry.Options{Hosts: config.Registry})
			src := newStore()
			root := src.twoPlatforms(t, 1)
			err := client.Copy(t.Context(), host+"/app:v1", src, root)
			if test.text != "" {
				wantError(t, err, test.text, strings.ReplaceAll(test.hint, "HOST", host))
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkTag(t, client, host+"/app:v1", root)
		})
	}
}

func TestMirrors(t *testing.T) {
	src := newStore()
	root := src.twoPlatforms(t, 1)
	origin, mirror := registrytest.New(t, registrytest.Memory()), registrytest.New(t, registrytest.Memory())
	filler, _ := newClient(t, registry.Options{})
	mustCopy(t, filler, origin.Host()+"/team/app:v1", src, root)
	mustCopy(t, filler, mirror.Host()+"/cache/team/app:v1", src, root)
	options := registry.Options{Hosts: map[string]registry.Host{
		origin.Host(): {Mirrors: []string{"http://" + mirror.Host() + "/cache"}},
	}}
	ref := origin.Host() + "/team/app:v1"
	tests := []struct {
		name  string
		fault registrytest.Fault // of the mirror
		asked bool               // the registry itself
	}{
		{name: "has it"},
		{name: "has it not", fault: registrytest.Refuse(404, "MANIFEST_UNKNOWN", ""), asked: true},
		{name: "is busy", fault: registrytest.Status(429, "", "Retry-After", "60"), asked: true},
		{name: "is broken", fault: registrytest.Status(500, ""), asked: true},
		{name: "is gone", fault: registrytest.Reset(0), asked: true},
		{name: "wants credentials", fault: registrytest.Status(401, "", "WWW-Authenticate", `Basic realm="x"`), asked: true},
		{name: "lies", fault: registrytest.Flip(), asked: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, clock := newClient(t, options)
			origin.Reset()
			mirror.Reset()
			if test.fault != nil {
				rule := registrytest.Rule{Fault: test.fault}
				if test.name == "lies" {
					rule.Path = "/manifests/sha256:" // a mirror is believed what a tag is
				}
				mirror.Add(rule)
			}
			desc, err := client.Resolve(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			body, err := client.Fetch(t.Context(), ref, desc)
			if err != nil {
				t.Fatal(err)
			}
			if string(body) != string(src.body(root)) {
				t.Error("got something else")
			}
			if n := origin.Count("", ""); (n > 0) != test.asked {
				t.Errorf("the registry itself was asked %d times", n)
			}
			if total, _ := clock.Slept(); total > 0 {
				t.Errorf("waited %s for a mirror", total)
			}
			for _, req := range mirror.Requests() {
				if !strings.HasPrefix(req.Path, "/v2/cache/team/app/") || !strings.Contains(req.Query, "ns=") {
					t.Errorf("asked the mirror for %s?%s", req.Path, req.Query)
				}
			}
		})
	}
	t.Run("pushes go to the registry", func(t *testing.T) {
		client, _ := newClient(t, options)
		mirror.Reset()
		mustCopy(t, client, origin.Host()+"/team/app:v2", src, root)
		if _, err := client.Missing(t.Context(), ref, root); err != nil {
			t.Error(err)
		}
		if n := mirror.Count("", ""); n > 0 {
			t.Errorf("the mirror got %d requests", n)
		}
	})
}
