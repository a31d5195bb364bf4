package registrytest_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/builder/registry/registrytest"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

func TestRules(t *testing.T) {
	backend := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") })
	tests := []struct {
		name  string
		rules []registrytest.Rule
		want  string // statuses of five requests
	}{
		{"none", nil, "[200 200 200 200 200]"},
		{"for ever", []registrytest.Rule{{Fault: registrytest.Status(500, "")}}, "[500 500 500 500 500]"},
		{"twice", []registrytest.Rule{{Times: 2, Fault: registrytest.Status(500, "")}}, "[500 500 200 200 200]"},
		{"after one", []registrytest.Rule{{Skip: 1, Times: 1, Fault: registrytest.Status(500, "")}}, "[200 500 200 200 200]"},
		{"one after the other", []registrytest.Rule{
			{Times: 1, Fault: registrytest.Status(429, "")}, {Times: 1, Fault: registrytest.Status(503, "")},
		}, "[429 503 200 200 200]"},
		{"other method", []registrytest.Rule{{Method: "PUT", Fault: registrytest.Status(500, "")}}, "[200 200 200 200 200]"},
		{"other path", []registrytest.Rule{{Path: "^/v3/", Fault: registrytest.Status(500, "")}}, "[200 200 200 200 200]"},
		{"condition", []registrytest.Rule{{When: func(*http.Request) bool { return false }, Fault: registrytest.Status(500, "")}}, "[200 200 200 200 200]"},
		{"cut", []registrytest.Rule{{Times: 1, Fault: registrytest.Reset(0)}}, "[0 200 200 200 200]"},
		{"gateway", []registrytest.Rule{{Times: 1, Fault: registrytest.Stored(504)}}, "[504 200 200 200 200]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			proxy := registrytest.New(t, backend)
			proxy.Add(test.rules...)
			var got []int
			for range 5 {
				status, _ := get(t, "http://"+proxy.Host()+"/v2/")
				got = append(got, status)
			}
			if fmt.Sprint(got) != test.want {
				t.Errorf("got %v, want %s", got, test.want)
			}
			var logged []int
			for _, req := range proxy.Requests() {
				logged = append(logged, req.Status)
			}
			if !slices.Equal(logged, got) {
				t.Errorf("logged %v", logged)
			}
			if n := proxy.Count("GET", "^/v2/$"); n != 5 {
				t.Errorf("counted %d requests", n)
			}
			proxy.Reset()
			if status, body := get(t, "http://"+proxy.Host()+"/v2/"); status != 200 || body != "fine" || proxy.Count("", "") != 1 {
				t.Errorf("got %d %q after a reset", status, body)
			}
		})
	}
}

func TestBodies(t *testing.T) {
	backend := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "abc") })
	tests := []struct {
		name  string
		fault registrytest.Fault
		want  string
	}{
		{"flipped", registrytest.Flip(), "acc"},
		{"cut", registrytest.Cut(2), "ab"},
		{"changed", registrytest.Body(func([]byte) []byte { return []byte("x") }), "x"},
		{"header", registrytest.Header("X", "y"), "abc"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			proxy := registrytest.New(t, backend)
			proxy.Add(registrytest.Rule{Fault: test.fault})
			if _, body := get(t, "http://"+proxy.Host()+"/"); body != test.want {
				t.Errorf("got %q, want %q", body, test.want)
			}
		})
	}
}

// Both registries serve the API's root.
func TestServers(t *testing.T) {
	for name, backend := range map[string]http.Handler{
		"memory": registrytest.Memory(), "distribution": registrytest.Distribution(t),
	} {
		t.Run(name, func(t *testing.T) {
			proxy := registrytest.New(t, backend)
			if status, body := get(t, "http://"+proxy.Host()+"/v2/"); status != 200 || strings.Contains(body, "error") {
				t.Errorf("got %d %s", status, body)
			}
		})
	}
}
