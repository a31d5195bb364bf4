package integration

import (
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/integration/testbed"
)

// taken is what a registry was asked to take.
type taken struct {
	layers, configs map[string]int // uploads, by digest
	mounts          map[string]int // from another repository, by digest
}

func takenBy(t *testing.T, store *testbed.Registry) taken {
	t.Helper()
	all := taken{map[string]int{}, map[string]int{}, map[string]int{}}
	for _, r := range store.Requests() {
		query, err := url.ParseQuery(r.Query)
		if err != nil {
			t.Fatal(err)
		}
		digest := query.Get("digest")
		switch {
		case !strings.Contains(r.Path, "/blobs/uploads/") || r.Status != http.StatusCreated:
		case query.Get("mount") != "":
			all.mounts[query.Get("mount")]++
		case digest != "" && isConfig(t, store, digest):
			all.configs[digest]++
		case digest != "":
			all.layers[digest]++
		}
	}
	return all
}

// isConfig reports whether a blob is JSON.
func isConfig(t *testing.T, store *testbed.Registry, digest string) bool {
	t.Helper()
	response, err := http.Get("http://" + store.Addr + "/v2/first/blobs/" + digest)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	first := make([]byte, 1)
	if _, err := io.ReadFull(response.Body, first); err != nil {
		t.Fatal(err)
	}
	return first[0] == '{'
}

// TestSeveralRegistries pushes one build to two registries, and to two repositories of
// each: the steps run once, each registry gets each layer once though both platforms
// push it at the same moment, and the second repository has it from the first one. A
// config has a few kilobytes and goes to each repository.
func TestSeveralRegistries(t *testing.T) {
	stores := []*testbed.Registry{registry(t, testbed.RegistryOptions{}), registry(t, testbed.RegistryOptions{})}
	dir := project(t, map[string]string{"Dockerfile": "FROM scratch AS files\nCOPY shared /shared\n" +
		"FROM busybox AS id\nRUN cat /proc/sys/kernel/random/uuid > /id\n" +
		"FROM files\nCOPY --from=id /id /id\n", "shared": "the same for all platforms"})
	args := []string{"--platform", "linux/amd64,linux/arm64", "--push"}
	var names []string
	for _, store := range stores {
		for _, name := range []string{"/first:1", "/first:2", "/team/second:1"} {
			names = append(names, store.Addr+name)
			args = append(args, "-t", store.Addr+name)
		}
	}
	digest := strings.TrimSpace(mabuild(t, append(args, dir)...).stdout)
	for _, name := range names {
		checkIndex(t, name, digest, "linux/amd64,linux/arm64")
	}
	for i, store := range stores {
		got := takenBy(t, store)
		// One layer of both platforms, and the one with the id for each.
		if len(got.layers) != 3 || len(got.configs) != 2 {
			t.Errorf("registry %d: %d layers and %d configs came, want 3 and 2", i, len(got.layers), len(got.configs))
		}
		for layer, times := range got.layers {
			if times != 1 || got.mounts[layer] != 1 {
				t.Errorf("registry %d: %s was uploaded %d times and mounted %d times, want 1 and 1", i, layer, times, got.mounts[layer])
			}
		}
		for config, times := range got.configs {
			if times > 2 {
				t.Errorf("registry %d: %s was uploaded %d times to two repositories", i, config, times)
			}
		}
		if i > 0 {
			layers := func(of taken) []string { return slices.Sorted(maps.Keys(of.layers)) }
			if diff := cmp.Diff(layers(takenBy(t, stores[0])), layers(got)); diff != "" {
				t.Errorf("the registries have other layers, so steps ran twice (-first +second):\n%s", diff)
			}
		}
	}
}
