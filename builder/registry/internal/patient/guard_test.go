package patient_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/mabuild/mabuild/builder/registry/internal/patient"
)

// Row 26 of the fault table: where a hostile registry would like to send us.
func TestTransportGuardsTargets(t *testing.T) {
	tests := []struct {
		host, target string
		plain        bool
		allowed      bool
	}{
		{host: "r.example", target: "https://r.example/v2/", allowed: true},
		{host: "r.example", target: "https://cdn.example/blob?signature=x", allowed: true},
		{host: "r.example", target: "https://10.1.2.3/blob", allowed: true},
		{host: "r.example", target: "http://r.example/v2/"},
		{host: "r.example", target: "http://cdn.example/blob"},
		{host: "r.example", target: "file:///etc/passwd"},
		{host: "r.example", target: "https://169.254.169.254/latest/meta-data"},
		{host: "r.example", target: "https://[fe80::1]/"},
		{host: "r.example", target: "https://[::ffff:169.254.169.254]/"},
		{host: "r.example", target: "https://0.0.0.0/"},
		{host: "r.example", target: "https://127.0.0.1:2375/containers/json"},
		{host: "r.example", target: "https://localhost/"},
		{host: "r.example", target: "https://[::1]:8080/"},
		{host: "r.example:5000", target: "http://169.254.169.254/", plain: true},
		{host: "r.example:5000", target: "http://r.example:5000/v2/", plain: true, allowed: true},
		{host: "r.example:5000", target: "ftp://r.example:5000/v2/", plain: true},
		{host: "localhost:5000", target: "http://localhost:5000/v2/", plain: true, allowed: true},
		{host: "localhost:5000", target: "http://127.0.0.1:9000/blob", plain: true, allowed: true},
		{host: "127.0.0.1:5000", target: "http://169.254.169.254/", plain: true},
		{host: "[::1]:5000", target: "http://localhost:9000/blob", plain: true, allowed: true},
	}
	for _, test := range tests {
		t.Run(test.host+" to "+test.target, func(t *testing.T) {
			base := script(status(200))
			transport := &patient.Transport{Base: base, Host: test.host, AllowPlain: test.plain}
			_, err := transport.RoundTrip(request(t, http.MethodGet, test.target, ""))
			if test.allowed && err != nil {
				t.Errorf("refused: %v", err)
			}
			if !test.allowed && (!errors.Is(err, patient.ErrForbidden) || len(base.at) > 0) {
				t.Errorf("got error %v after %d requests", err, len(base.at))
			}
		})
	}
}
