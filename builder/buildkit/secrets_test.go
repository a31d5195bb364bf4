package buildkit_test

import (
	"testing"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mabuild/mabuild/builder/buildkit"
)

// TestSecrets asks a session for the secrets of the user and for those of an edit: a
// session can have one server for both.
func TestSecrets(t *testing.T) {
	users := secretsprovider.FromMap(map[string][]byte{"token": []byte("open sesame")})
	edits := map[string][]byte{"mabuild-assist-go-1": []byte("GOARCH=arm64")}
	for name, c := range map[string]struct {
		given []session.Attachable
		files map[string][]byte
		want  map[string]string // by id; none is an error
	}{
		"both":       {[]session.Attachable{users}, edits, map[string]string{"token": "open sesame", "mabuild-assist-go-1": "GOARCH=arm64", "other": ""}},
		"edits only": {nil, edits, map[string]string{"token": "", "mabuild-assist-go-1": "GOARCH=arm64"}},
		"users only": {[]session.Attachable{users}, nil, map[string]string{"token": "open sesame", "mabuild-assist-go-1": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			var servers []secrets.SecretsServer
			for _, a := range buildkit.WithSecrets(c.given, c.files) {
				if server, ok := a.(secrets.SecretsServer); ok {
					servers = append(servers, server)
				}
			}
			if len(servers) != 1 {
				t.Fatalf("%d servers", len(servers))
			}
			for id, want := range c.want {
				got, err := servers[0].GetSecret(t.Context(), &secrets.GetSecretRequest{ID: id})
				if want == "" && status.Code(err) != codes.NotFound || want != "" && (err != nil || string(got.Data) != want) {
					t.Errorf("%s is %q, %v", id, got.GetData(), err)
				}
			}
		})
	}
}
