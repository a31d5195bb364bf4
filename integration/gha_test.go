package integration

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// actions is the cache service of GitHub Actions, in both versions.
type actions struct {
	url string

	mu      sync.Mutex
	refused int      // what it answers, if it is not zero
	rival   string   // keys that begin so are taken by somebody who is still writing; empty for none
	keys    []string // by ID, from 1
	content map[string][]byte
	pending map[string][]byte
}

func newActions(t *testing.T) *actions {
	t.Helper()
	a := &actions{content: map[string][]byte{}, pending: map[string][]byte{}}
	mux := http.NewServeMux()
	const api = "/_apis/artifactcache"
	mux.HandleFunc("GET "+api+"/cache", a.find)
	mux.HandleFunc("POST "+api+"/caches", a.reserve)
	mux.HandleFunc("PATCH "+api+"/caches/{id}", a.upload)
	mux.HandleFunc("POST "+api+"/caches/{id}", a.commit)
	a.serveV2(mux)
	mux.HandleFunc("GET /blob/{id}", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		body := a.content[a.key(r)]
		a.mu.Unlock()
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		refused := a.refused
		a.mu.Unlock()
		if refused != 0 {
			http.Error(w, "later", refused)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	a.url = server.URL + "/"
	return a
}

func (a *actions) key(r *http.Request) string {
	id, _ := strconv.Atoi(r.PathValue("id"))
	return a.keys[id-1]
}

// find answers with the newest entry whose key begins with what is asked for.
func (a *actions) find(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, wanted := range strings.Split(r.URL.Query().Get("keys"), ",") {
		for i, key := range slices.Backward(a.keys) {
			if _, ok := a.content[key]; ok && strings.HasPrefix(key, wanted) {
				_ = json.NewEncoder(w).Encode(map[string]string{"cacheKey": key, "archiveLocation": fmt.Sprintf("%sblob/%d", a.url, i+1)})
				return
			}
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// taken reports whether somebody was faster, a moment ago or long ago.
func (a *actions) taken(key string) bool {
	return slices.Contains(a.keys, key) || a.rival != "" && strings.HasPrefix(key, a.rival)
}

func (a *actions) reserve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var request struct{ Key string }
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if a.taken(request.Key) {
		w.WriteHeader(http.StatusConflict)
		_ = json.NewEncoder(w).Encode(map[string]any{"typeKey": "ArtifactCacheItemAlreadyExistsException", "message": "it is there"})
		return
	}
	a.keys = append(a.keys, request.Key)
	a.pending[request.Key] = nil
	_ = json.NewEncoder(w).Encode(map[string]int{"cacheId": len(a.keys)})
}

func (a *actions) upload(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending[a.key(r)] = append(a.pending[a.key(r)], body...) // chunks are larger than any test's layer
}

func (a *actions) commit(_ http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.content[a.key(r)] = a.pending[a.key(r)]
}

// indexes are the keys of what is no layer.
func (a *actions) indexes() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []string
	for _, key := range slices.Sorted(maps.Keys(a.content)) {
		if name, _, found := strings.Cut(strings.TrimPrefix(key, "index-"), "-1-"); found && strings.HasPrefix(key, "index-") {
			list = append(list, name)
		}
	}
	return list
}

// token is one of a runner that may write the cache of its branch.
func token() string {
	encode := func(v any) string {
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	claims := map[string]any{
		"ac": `[{"Scope":"refs/heads/main","Permission":3}]`, "nbf": time.Now().Add(-time.Hour).Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	return encode(map[string]string{"alg": "HS256", "typ": "JWT"}) + "." + encode(claims) + "." + base64.RawURLEncoding.EncodeToString([]byte("signature"))
}

// TestActionsCache: the engine has GitHub's cache, with a scope for each platform.
func TestActionsCache(t *testing.T) {
	for version, variables := range map[string]func(*actions) []string{
		"1": func(a *actions) []string { return []string{"ACTIONS_CACHE_URL=" + a.url} },
		"2": func(a *actions) []string {
			return []string{"ACTIONS_CACHE_SERVICE_V2=true", "ACTIONS_RESULTS_URL=" + a.url, "ACTIONS_CACHE_URL=http://127.0.0.1:1/"}
		},
	} {
		t.Run("version "+version, func(t *testing.T) { testActionsCache(t, variables) })
	}
}

func testActionsCache(t *testing.T, variables func(*actions) []string) {
	service := newActions(t)
	dir := randomProject(t)
	within := func(cmd *exec.Cmd) *exec.Cmd {
		cmd.Env = append(append(cmd.Env, "ACTIONS_RUNTIME_TOKEN="+token()), variables(service)...)
		return cmd
	}
	first := outputs(t, within(command(t, "--cache-to", "type=gha,mode=max", "--cache-from", "type=gha", dir)))
	if diff := cmp.Diff([]string{"buildkit-linux-amd64", "buildkit-linux-arm64"}, service.indexes()); diff != "" {
		t.Errorf("indexes (-want +got):\n%s", diff)
	}
	other := elsewhere(t)
	if diff := cmp.Diff(first, outputs(t, within(other("--cache-from", "type=gha", dir)))); diff != "" {
		t.Errorf("steps ran again (-first +second):\n%s", diff)
	}
	// What is there is not sent again, and the index is replaced.
	outputs(t, within(command(t, "--cache-to", "type=gha,mode=max", dir)))
	if n := len(service.indexes()); n != 4 {
		t.Errorf("%d indexes after the second export: %v", n, service.indexes())
	}
	// A layer that another job writes at the same time is its.
	service.mu.Lock()
	service.rival = "buildkit-blob-"
	service.mu.Unlock()
	dir = randomProject(t)
	outputs(t, within(command(t, "--cache-to", "type=gha,mode=max", dir)))
	if n := len(service.indexes()); n != 6 {
		t.Errorf("%d indexes after the third export: %v", n, service.indexes())
	}
	// A service that has had enough is a warning, and no reason not to build.
	service.refuse(http.StatusTooManyRequests)
	dir = randomProject(t)
	busy := finish(t, within(command(t, "--platform", "linux/amd64", "--cache-to", "type=gha,timeout=5s,ignore-error=true", "-o", t.TempDir(), dir)))
	if busy.code != 0 || !strings.Contains(busy.stderr, "429") && !strings.Contains(busy.stderr, "cache") {
		t.Errorf("exit code %d\n%s", busy.code, busy.stderr)
	}
}
