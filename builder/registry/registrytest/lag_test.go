package registrytest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/builder/registry/registrytest"
)

func putManifest(t *testing.T, url, body string, want int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		t.Fatalf("writing %s: %s, want %d", url, resp.Status, want)
	}
}

func TestLag(t *testing.T) {
	now := time.Unix(0, 0)
	early := false
	lag := &registrytest.Lag{
		Next:  registrytest.Memory(),
		Now:   func() time.Time { return now },
		Delay: func() time.Duration { return 5 * time.Second },
		Early: func() bool { return early },
	}
	base := "http://" + registrytest.New(t, lag).Host() + "/v2/app/manifests/"
	const first, second = `{"schemaVersion":2,"n":1}`, `{"schemaVersion":2,"n":2}`
	byDigest := digest.FromString(first).String()
	want := func(object string, status int, body string) {
		t.Helper()
		gotStatus, gotBody := get(t, base+object)
		if gotStatus != status || body != "" && gotBody != body {
			t.Errorf("at %s, %s is %d %s, want %d %s", now.UTC().Format("05"), object, gotStatus, gotBody, status, body)
		}
	}

	putManifest(t, base+"tag", first, 201)
	want("tag", 404, "")
	want(byDigest, 404, "")
	index := `{"schemaVersion":2,"manifests":[{"digest":"` + byDigest + `"}]}`
	putManifest(t, base+"index", index, 404)
	early = true
	want("tag", 200, first)
	early = false
	want("tag", 404, "")
	now = now.Add(5 * time.Second)
	want("tag", 200, first)
	want(byDigest, 200, first)
	putManifest(t, base+"index", index, 201)

	putManifest(t, base+"tag", second, 201)
	want("tag", 200, first)
	now = now.Add(4 * time.Second)
	putManifest(t, base+"tag", second, 201) // changes nothing
	now = now.Add(time.Second)
	want("tag", 200, second)

	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, base+"tag", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	want("tag", 404, "")
	want(byDigest, 200, first)
}
