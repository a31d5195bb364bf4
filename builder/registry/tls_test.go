package registry_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	resolverconfig "github.com/moby/buildkit/util/resolver/config"

	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
)

// selfSigned writes a certificate for 127.0.0.1 that ends at a given time, and
// its key, to dir.
func selfSigned(t *testing.T, dir string, end time.Time) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "registrytest"},
		NotBefore:    end.Add(-48 * time.Hour),
		NotAfter:     end,
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(dir, "client.cert"), filepath.Join(dir, "client.key")
	for name, block := range map[string]*pem.Block{
		certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: encoded},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

// Row 30 of the fault table: certificates of the registry and of the client.
func TestCertificates(t *testing.T) {
	no, later := false, time.Now().Add(24*time.Hour)
	dir := t.TempDir()
	certificate, key := selfSigned(t, dir, later)
	old, oldKey := selfSigned(t, t.TempDir(), time.Now().Add(-time.Hour))
	pair := []resolverconfig.TLSKeyPair{{Certificate: certificate, Key: key}}
	tests := []struct {
		name       string
		server     [2]string // certificate and key
		asks       tls.ClientAuthType
		host       registry.Host
		text, hint string
	}{
		{name: "expired", server: [2]string{old, oldKey}, host: registry.Host{RootCAs: []string{old}}, text: "expired", hint: "renew the registry's certificate"},
		{name: "client without one", server: [2]string{certificate, key}, asks: tls.RequireAnyClientCert, host: registry.Host{RootCAs: []string{certificate}}, text: "certificate required", hint: "keypair"},
		{name: "client with a pair", server: [2]string{certificate, key}, asks: tls.RequireAnyClientCert, host: registry.Host{RootCAs: []string{certificate}, KeyPairs: pair}},
		{name: "client with a directory", server: [2]string{certificate, key}, asks: tls.RequireAnyClientCert, host: registry.Host{RootCAs: []string{certificate}, TLSConfigDir: []string{dir}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			loaded, err := tls.LoadX509KeyPair(test.server[0], test.server[1])
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewUnstartedServer(registrytest.Memory())
			server.TLS = &tls.Config{Certificates: []tls.Certificate{loaded}, ClientAuth: test.asks}
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.StartTLS()
			t.Cleanup(server.Close)

			host := strings.TrimPrefix(server.URL, "https://")
			test.host.PlainHTTP = &no
			client, clock := newClient(t, registry.Options{Hosts: map[string]registry.Host{host: test.host}})
			src := newStore()
			err = client.Copy(t.Context(), host+"/app:v1", src, src.image(t, "amd64", 1, 10))
			if test.text == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, test.text, test.hint)
			if total, _ := clock.Slept(); total > 0 {
				t.Errorf("waited %s", total)
			}
		})
	}
}
