package web_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/mabuild/mabuild/examples/go-service/internal/links"
	"github.com/mabuild/mabuild/examples/go-service/internal/web"
)

func TestService(t *testing.T) {
	secret := []byte("a secret of the tests, 32 bytes!")
	handler, err := web.New(links.NewMemory(), web.Options{Secret: secret, Rate: 1000, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	token, err := web.Token(secret, "ann", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, body, token string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	if got := ask("POST", "/links", `{"url":"https://example.com/"}`, "").Code; got != http.StatusUnauthorized {
		t.Errorf("without a token: %d", got)
	}
	if got := ask("POST", "/links", `{"url":"ftp://example.com/"}`, token).Code; got != http.StatusBadRequest {
		t.Errorf("not of the web: %d", got)
	}
	made := ask("POST", "/links", `{"url":"https://example.com/"}`, token)
	var link links.Link
	if err := json.Unmarshal(made.Body.Bytes(), &link); err != nil || made.Code != http.StatusCreated || link.Owner != "ann" {
		t.Fatalf("adding: %d %s %v", made.Code, made.Body, err)
	}
	for range 2 { // from the store, then from the cache
		if got := ask("GET", "/"+link.Name, "", ""); got.Code != http.StatusFound || got.Header().Get("Location") != link.URL {
			t.Errorf("following: %d %v", got.Code, got.Header())
		}
	}
	if got := ask("GET", "/nothing", "", "").Code; got != http.StatusNotFound {
		t.Errorf("following what isn't there: %d", got)
	}
	if got := ask("GET", "/metrics", "", "").Body.String(); !strings.Contains(got, `linkd_served_total{found="yes"} 2`) {
		t.Errorf("the metrics are\n%s", got)
	}
}
