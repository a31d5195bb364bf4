package rig_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/integration/bench/rig"
)

// TestStartModules serves a module of a cache that is the test's own; nothing is
// downloaded.
func TestStartModules(t *testing.T) {
	cache, dir := t.TempDir(), t.TempDir()
	t.Setenv("GOMODCACHE", cache)
	t.Setenv("GOFLAGS", "-mod=mod")
	module := filepath.Join(cache, "cache", "download", "example.com", "m", "@v")
	if err := os.MkdirAll(module, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		filepath.Join(module, "v1.0.0.info"): `{"Version":"v1.0.0"}`,
		filepath.Join(dir, "go.mod"):         "module example.com/app\n\ngo 1.26\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	modules, err := rig.StartModules(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := modules.Close(); err != nil {
			t.Error(err)
		}
	}()
	for path, want := range map[string]string{
		"/example.com/m/@v/v1.0.0.info": `{"Version":"v1.0.0"}`,
		"/example.com/m/@v/v1.0.1.info": "404",
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, modules.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s is %q, %v; want %s", path, body, err, want)
		}
	}
	if _, err := rig.StartModules(t.Context(), t.TempDir()); err == nil {
		t.Error("a folder without a module was accepted")
	}
}
