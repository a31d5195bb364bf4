package contexts_test

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/builder/contexts"
	"github.com/mabuild/mabuild/builder/contexts/contextstest"
)

// TestGitSecret reads a private repository by the secrets that BuildKit knows.
func TestGitSecret(t *testing.T) {
	t.Parallel()
	s := contextstest.New(t)
	r := s.Repository(t, "app")
	r.Commit("main", map[string]string{"Dockerfile": "FROM x\n"})
	private := strings.Replace(r.URL, "/git/", "/private/", 1)
	at, err := url.Parse(private)
	if err != nil {
		t.Fatal(err)
	}
	header := "basic " + base64.StdEncoding.EncodeToString([]byte("robot:hunter2"))
	for name, secrets := range map[string]map[string]string{
		"token":                {"GIT_AUTH_TOKEN": "hunter2\n"},
		"token of the host":    {"GIT_AUTH_TOKEN." + at.Host: "hunter2", "GIT_AUTH_TOKEN": "other"},
		"header":               {"GIT_AUTH_HEADER": header, "GIT_AUTH_TOKEN": "other"},
		"header of the host":   {"GIT_AUTH_HEADER." + at.Host: header, "GIT_AUTH_TOKEN." + at.Host: "other"},
		"wrong":                {"GIT_AUTH_TOKEN": "s3cr3t"},
		"none":                 {},
		"of another host only": {"GIT_AUTH_TOKEN.example.com": "hunter2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := client(t, contexts.Options{Secret: func(id string) string { return secrets[id] }})
			opened, err := c.Open(t.Context(), private)
			if refused := name == "wrong" || name == "none" || strings.HasPrefix(name, "of another"); refused {
				if err == nil || strings.Contains(err.Error(), "s3cr3t") || !strings.Contains(err.Error(), "credentials") {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if text, _, err := opened.Dockerfile(t.Context(), ""); err != nil || string(text) != "FROM x\n" {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}
