package integration

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/integration/testbed"
)

// elsewhere is a mabuild with an engine of its own, which has no cache.
func elsewhere(t *testing.T) func(args ...string) *exec.Cmd {
	t.Helper()
	dir := shortDir(t)
	run := func(args ...string) *exec.Cmd { return own(t, dir, command(t, args...)) }
	t.Cleanup(func() { stopEngine(t, run().Env) })
	return run
}

// randomProject has a step whose result differs whenever it runs, for each platform.
func randomProject(t *testing.T) string {
	t.Helper()
	return project(t, map[string]string{
		"salt": filepath.Base(t.TempDir()) + t.Name(),
		"Dockerfile": "FROM busybox AS b\nCOPY salt /salt\n" +
			"RUN cat /proc/sys/kernel/random/uuid > /id\nFROM scratch\nCOPY --from=b /id /id\n",
	})
}

// TestCachePerPlatform: every platform has a cache of its own, all are imported, and an
// engine that knows nothing runs nothing again (case 37).
func TestCachePerPlatform(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	local := t.TempDir()
	for name, test := range map[string]struct {
		to, from string
		check    func(t *testing.T)
	}{
		"registry": {
			"type=registry,mode=max,ref=" + store.Addr + "/cache:main", store.Addr + "/cache:main",
			func(t *testing.T) {
				var tags struct{ Tags []string }
				get(t, "http://"+store.Addr+"/v2/cache/tags/list", &tags)
				if diff := cmp.Diff([]string{"main-linux-amd64", "main-linux-arm64"}, tags.Tags); diff != "" {
					t.Errorf("tags (-want +got):\n%s", diff)
				}
			},
		},
		"local": {
			"type=local,mode=max,dest=" + local, "type=local,src=" + local,
			func(t *testing.T) {
				if _, err := os.Stat(filepath.Join(local, "linux-arm64", "index.json")); err != nil {
					t.Error(err)
				}
			},
		},
		"several": {
			"type=registry,mode=max,ref=" + store.Addr + "/several", "type=registry,ref=" + store.Addr + "/several",
			func(*testing.T) {},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := randomProject(t)
			if name == "several" { // platforms that are built apart from each other
				for _, platform := range strings.Split(pair, ",") {
					mabuild(t, "--platform", platform, "--cache-to", test.to, "-o", t.TempDir(), dir)
				}
			}
			first := outputs(t, command(t, "--cache-to", test.to, "--cache-from", test.from, dir))
			test.check(t)
			other := elsewhere(t)
			if diff := cmp.Diff(first, outputs(t, other("--cache-from", test.from, dir))); diff != "" {
				t.Errorf("steps ran again (-first +second):\n%s", diff)
			}
		})
	}
}

// TestInlineCache: the cache is in the images, and comes from the index of them.
func TestInlineCache(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	image := store.Addr + "/inline:1"
	dir := project(t, map[string]string{"Dockerfile": "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /id\n"})
	mabuild(t, "--platform", pair, "-t", image, "--push", "--cache-to", "type=inline", dir)
	other := elsewhere(t)
	again := store.Addr + "/again:1"
	if res := finish(t, other("--platform", pair, "-t", again, "--push", "--cache-from", image, dir)); res.code != 0 {
		t.Fatal(res.stderr)
	}
	for _, platform := range strings.Split(pair, ",") {
		if diff := cmp.Diff(configOf(t, image, platform).RootFS, configOf(t, again, platform).RootFS); diff != "" {
			t.Errorf("%s: the step ran again:\n%s", platform, diff)
		}
	}
}

// TestCacheTrouble: what is wrong with a cache is told, and fails a build only if that
// was not asked to be ignored (case 38).
func TestCacheTrouble(t *testing.T) {
	store := registry(t, testbed.RegistryOptions{})
	target, err := url.Parse("http://" + store.Addr)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	broken := httpServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	dir := randomProject(t)
	to := "type=registry,ref=" + broken + "/cache:x"
	if res := finish(t, command(t, "--platform", "linux/amd64", "--cache-to", to, "-o", t.TempDir(), dir)); res.code == 0 {
		t.Errorf("a cache that cannot be written is no error:\n%s", res.stderr)
	}
	mabuild(t, "--platform", "linux/amd64", "--cache-to", to+",ignore-error=true", "-o", t.TempDir(), dir)

	first := finish(t, command(t, "--platform", pair, "--cache-from", store.Addr+"/never:x", "--cache-from", "type=local,src=/nothere", "-o", t.TempDir(), dir))
	if first.code != 0 || strings.Count(first.stderr, "there is no cache yet") != 2 || strings.Contains(first.stderr, "ERROR") {
		t.Errorf("exit code %d\n%s", first.code, first.stderr)
	}
	lacking := finish(t, command(t, "--platform", pair, "--cache-to", "type=s3,bucket=b,region=r", "--cache-from", "type=s3,bucket=b,region=r", "-o", t.TempDir(), dir))
	if lacking.code != 0 || strings.Count(lacking.stderr, "no cache of this type") != 1 {
		t.Errorf("exit code %d\n%s", lacking.code, lacking.stderr)
	}
	gha := finish(t, command(t, "--platform", pair, "--cache-to", "type=gha", "-o", t.TempDir(), dir))
	if gha.code != 0 || !strings.Contains(gha.stderr, "ACTIONS_RUNTIME_TOKEN") {
		t.Errorf("exit code %d\n%s", gha.code, gha.stderr)
	}
	for _, flags := range [][]string{
		{"--cache-to", "type=floppy"},
		{"--cache-to", "type=local"},
		{"--cache-from", "type=inline"},
		{"--cache-to", "type=registry,ref=a/UPPER"},
		{"--cache-to", "type=registry,ref=a,mode=most"},
		{"--cache-to", "type=registry,ref=a,ignore-error=maybe"},
		{"--cache-from", "ref=a"},
	} {
		fails(t, command(t, append(flags, dir)...), 2, flags[0])
	}
}
