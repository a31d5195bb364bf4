package registry_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
)

// pushed returns a proxy in front of a registry that has everything of root but
// root itself.
func pushed(t *testing.T, client *registry.Client, backend http.Handler, src *store, roots ...ocispec.Descriptor) *registrytest.Proxy {
	t.Helper()
	proxy := registrytest.New(t, backend)
	for _, root := range roots {
		mustCopy(t, client, proxy.Host()+"/app@"+root.Digest.String(), src, root)
	}
	proxy.Reset()
	return proxy
}

const writesTag = "/manifests/v1$"

// Cases 55, 76 and 84, rows 9, 10, 11 and 14: how often the tag is written and
// what comes of it.
func TestPushManifest(t *testing.T) {
	put := func(times int, fault registrytest.Fault) registrytest.Rule {
		return registrytest.Rule{Method: "PUT", Path: writesTag, Times: times, Fault: fault}
	}
	get := func(times int, fault registrytest.Fault) registrytest.Rule {
		return registrytest.Rule{Method: "GET", Path: writesTag, Times: times, Fault: fault}
	}
	wrong := "sha256:" + strings.Repeat("0", 64)
	tests := []struct {
		name  string
		rules []registrytest.Rule
		puts  int // at most
		waits bool
	}{
		{name: "plain", puts: 1},
		{name: "429 in seconds", rules: []registrytest.Rule{put(2, registrytest.Status(429, "", "Retry-After", "2"))}, puts: 3, waits: true},
		{name: "429 as date", rules: []registrytest.Rule{put(1, registrytest.Status(429, "", "Retry-After", time.Now().Add(5*time.Second).UTC().Format(http.TimeFormat)))}, puts: 2, waits: true},
		{name: "429 alone", rules: []registrytest.Rule{put(2, registrytest.Status(429, ""))}, puts: 3, waits: true},
		{name: "429 six times", rules: []registrytest.Rule{put(6, registrytest.Status(429, "", "Retry-After", "2"))}, puts: 7, waits: true},
		{name: "500 once", rules: []registrytest.Rule{put(1, registrytest.Status(500, ""))}, puts: 2, waits: true},
		{name: "502 thrice", rules: []registrytest.Rule{put(3, registrytest.Status(502, ""))}, puts: 4, waits: true},
		{name: "504 but stored", rules: []registrytest.Rule{put(1, registrytest.Stored(504))}, puts: 1, waits: true},
		{name: "502 but stored", rules: []registrytest.Rule{put(1, registrytest.Stored(502))}, puts: 1, waits: true},
		{name: "reset", rules: []registrytest.Rule{put(1, registrytest.Reset(0))}, puts: 2, waits: true},
		{name: "reset but stored", rules: []registrytest.Rule{put(1, registrytest.StoredReset())}, puts: 1, waits: true},
		{name: "409 but stored", rules: []registrytest.Rule{put(1, registrytest.Stored(409))}, puts: 1},
		{name: "wrong digest header", rules: []registrytest.Rule{put(1, registrytest.Header("Docker-Content-Digest", wrong)), {Method: "HEAD", Fault: registrytest.Header("Docker-Content-Digest", wrong)}}, puts: 1},
		{name: "no digest header", rules: []registrytest.Rule{{Fault: registrytest.Header("Docker-Content-Digest", "")}}, puts: 1},
		{name: "wrong type", rules: []registrytest.Rule{{Fault: registrytest.Header("Content-Type", "text/plain")}}, puts: 1},
		{name: "no HEAD", rules: []registrytest.Rule{{Method: "HEAD", Fault: registrytest.Status(405, "")}}, puts: 1},
		{name: "busy while reading back", rules: []registrytest.Rule{get(2, registrytest.Status(503, ""))}, puts: 1, waits: true},
		{name: "reading back is cut", rules: []registrytest.Rule{get(2, registrytest.Cut(10))}, puts: 1, waits: true},
		// Row 13: visible late.
		{name: "hidden for a while", rules: []registrytest.Rule{get(4, registrytest.Refuse(404, "MANIFEST_UNKNOWN", ""))}, puts: 1, waits: true},
	}
	for _, test := range tests {
		for name, backend := range backends(t) {
			t.Run(test.name+" "+name, func(t *testing.T) {
				client, clock := newClient(t, registry.Options{})
				src := newStore()
				root := src.twoPlatforms(t, 1)
				// The children by digest, the index not at all.
				proxy := registrytest.New(t, backend)
				for _, child := range src.children(t, root) {
					mustCopy(t, client, proxy.Host()+"/app@"+child.Digest.String(), src, child)
				}
				proxy.Reset()
				before, _ := clock.Slept()
				proxy.Add(test.rules...)
				if err := client.PushManifest(t.Context(), proxy.Host()+"/app:v1", root, src.body(root)); err != nil {
					t.Fatal(err)
				}
				if n := proxy.Count("PUT", ""); n > test.puts {
					t.Errorf("the tag was written %d times, want %d", n, test.puts)
				}
				if after, _ := clock.Slept(); (after > before) != test.waits {
					t.Errorf("waited for %s", after-before)
				}
				proxy.Reset()
				checkTag(t, client, proxy.Host()+"/app:v1", root)
			})
		}
	}
}

// Case 75: a registry that asks for more patience than there is, and what is said
// while waiting.
func TestTooManyRequests(t *testing.T) {
	var log bytes.Buffer
	client, clock := newClient(t, registry.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	src := newStore()
	root := src.twoPlatforms(t, 1)
	proxy := pushed(t, client, registrytest.Memory(), src, root)
	ref := proxy.Host() + "/app:v1"

	proxy.Add(registrytest.Rule{Method: "PUT", Times: 1, Fault: registrytest.Status(429, "", "Retry-After", "3600")})
	err := client.PushManifest(t.Context(), ref, root, src.body(root))
	described := wantError(t, err, "429 Too Many Requests", "try again in 1h0m0s")
	if described.Status != 429 || !described.Transient() {
		t.Errorf("got %+v", described)
	}
	if total, _ := clock.Slept(); total > 0 {
		t.Errorf("waited %s for nothing", total)
	}

	proxy.Add(registrytest.Rule{Method: "PUT", Times: 1, Fault: registrytest.Status(429, "", "Retry-After", "45")})
	if err := client.PushManifest(t.Context(), ref, root, src.body(root)); err != nil {
		t.Fatal(err)
	}
	if line := log.String(); strings.Count(line, "\n") != 1 || !strings.Contains(line, "registry="+proxy.Host()) || !regexp.MustCompile(`seconds=4[56]`).MatchString(line) {
		t.Errorf("the log is %q", line)
	}
}

func TestPushManifestTwice(t *testing.T) {
	for name, backend := range backends(t) {
		t.Run(name, func(t *testing.T) {
			client, _ := newClient(t, registry.Options{})
			src := newStore()
			first, second := src.twoPlatforms(t, 1), src.twoPlatforms(t, 2)
			proxy := pushed(t, client, backend, src, first, second)
			proxy.Add(registrytest.Rule{Fault: registrytest.Immutable()}) // case 55
			ref := proxy.Host() + "/app:v1"
			for range 2 {
				if err := client.PushManifest(t.Context(), ref, first, src.body(first)); err != nil {
					t.Fatal(err)
				}
			}
			if n := proxy.Count("PUT", ""); n != 1 {
				t.Errorf("the same index was written %d times", n)
			}
			err := client.PushManifest(t.Context(), ref, second, src.body(second))
			wantError(t, err, "the tag v1 points to "+first.Digest.String(), "under a new tag")
			checkTag(t, client, ref, first)
		})
	}
}

// Case 84: a registry that refuses to store the same thing twice.
func TestPushManifestConflict(t *testing.T) {
	client, _ := newClient(t, registry.Options{})
	src := newStore()
	root := src.twoPlatforms(t, 1)
	proxy := registrytest.New(t, registrytest.Memory())
	proxy.Add(
		// The first write of each manifest is stored, but the answer is lost.
		registrytest.Rule{Method: "PUT", Path: registrytest.Manifests, Times: 3, Fault: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			registrytest.StoredReset()(w, r, next)
		}},
		registrytest.Rule{Fault: registrytest.Once()},
	)
	mustCopy(t, client, proxy.Host()+"/app:v1", src, root)
	checkTag(t, client, proxy.Host()+"/app:v1", root)
	if n := proxy.Count("PUT", registrytest.Manifests); n != 3 {
		t.Errorf("three manifests were written %d times", n)
	}
}

// Case 85: children that were accepted a moment ago are not known yet.
func TestPushManifestBeforeChildrenShow(t *testing.T) {
	unknown := registrytest.Refuse(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")
	t.Run("known to be there", func(t *testing.T) {
		client, clock := newClient(t, registry.Options{})
		src := newStore()
		root := src.twoPlatforms(t, 1)
		proxy := registrytest.New(t, registrytest.Memory())
		proxy.Add(registrytest.Rule{Method: "PUT", Path: writesTag, Times: 3, Fault: unknown})
		mustCopy(t, client, proxy.Host()+"/app:v1", src, root)
		checkTag(t, client, proxy.Host()+"/app:v1", root)
		if total, _ := clock.Slept(); total < time.Second || total > 10*time.Second {
			t.Errorf("waited for %s", total)
		}
	})
	t.Run("for ever", func(t *testing.T) {
		client, clock := newClient(t, registry.Options{})
		src := newStore()
		root := src.twoPlatforms(t, 1)
		proxy := registrytest.New(t, registrytest.Memory())
		proxy.Add(registrytest.Rule{Method: "PUT", Path: writesTag, Fault: unknown})
		err := client.Copy(t.Context(), proxy.Host()+"/app:v1", src, root)
		wantError(t, err, "MANIFEST_BLOB_UNKNOWN", "")
		if total, _ := clock.Slept(); total < 59*time.Second || total > 61*time.Second {
			t.Errorf("waited for %s", total)
		}
	})
	t.Run("not there", func(t *testing.T) {
		client, clock := newClient(t, registry.Options{})
		src := newStore()
		root := src.twoPlatforms(t, 1)
		proxy := registrytest.New(t, registrytest.Distribution(t))
		err := client.PushManifest(t.Context(), proxy.Host()+"/app:v1", root, src.body(root))
		wantError(t, err, src.children(t, root)[0].Digest.String(), "first")
		if total, _ := clock.Slept(); total > 0 {
			t.Errorf("waited for %s", total)
		}
	})
}

// Row 13: the registry says yes and has nothing.
func TestPushManifestLost(t *testing.T) {
	client, clock := newClient(t, registry.Options{})
	src := newStore()
	root := src.twoPlatforms(t, 1)
	proxy := pushed(t, client, registrytest.Memory(), src, root)
	proxy.Add(registrytest.Rule{Method: "PUT", Path: writesTag, Fault: registrytest.Status(201, "")})
	err := client.PushManifest(t.Context(), proxy.Host()+"/app:v1", root, src.body(root))
	wantError(t, err, "v1 was pushed but doesn't show up within 1m0s", "loses what it accepts")
	if total, _ := clock.Slept(); total < 59*time.Second || total > 61*time.Second {
		t.Errorf("waited for %s", total)
	}
}

func TestPushManifestLostChild(t *testing.T) {
	client, _ := newClient(t, registry.Options{})
	src := newStore()
	root := src.twoPlatforms(t, 1)
	child := src.children(t, root)[1]
	proxy := registrytest.New(t, registrytest.Memory())
	proxy.Add(registrytest.Rule{Method: "PUT", Path: "/manifests/" + child.Digest.String(), Fault: registrytest.Status(201, "")})
	err := client.Copy(t.Context(), proxy.Host()+"/app:v1", src, root)
	wantError(t, err, child.Digest.String()+" was pushed but doesn't show up within 1m0s", "")
	if n := proxy.Count("PUT", writesTag); n != 0 {
		t.Error("the tag was written all the same")
	}
}

// Invariant 7 of pushes: the tag is read back.
func TestPushManifestTagMoved(t *testing.T) {
	client, clock := newClient(t, registry.Options{})
	src := newStore()
	old, ours, theirs := src.twoPlatforms(t, 1), src.twoPlatforms(t, 2), src.twoPlatforms(t, 3)
	proxy := pushed(t, client, registrytest.Memory(), src, old, ours, theirs)
	other, _ := newClient(t, registry.Options{})
	ref := proxy.Host() + "/app:v1"
	if err := client.PushManifest(t.Context(), ref, old, src.body(old)); err != nil {
		t.Fatal(err)
	}
	proxy.Add(registrytest.Rule{Method: "PUT", Path: writesTag, Times: 1, Fault: registrytest.After(func() {
		if err := other.PushManifest(t.Context(), ref, theirs, src.body(theirs)); err != nil {
			t.Error(err)
		}
	})})
	err := client.PushManifest(t.Context(), ref, ours, src.body(ours))
	wantError(t, err, theirs.Digest.String(), "another tag")
	if !errors.Is(err, registry.ErrTagMoved) {
		t.Errorf("%v doesn't match ErrTagMoved", err)
	}
	if total, _ := clock.Slept(); total > 0 {
		t.Errorf("waited for %s", total)
	}

	// A tag that shows the old index for a while is a lag.
	proxy.Reset()
	proxy.Add(registrytest.Rule{Method: "GET", Path: writesTag, Times: 3, Fault: registrytest.Status(200, string(src.body(theirs)), "Content-Type", theirs.MediaType)})
	if err := client.PushManifest(t.Context(), ref, ours, src.body(ours)); err != nil {
		t.Fatal(err)
	}
	// And one that shows it for ever has been moved back.
	proxy.Reset()
	proxy.Add(registrytest.Rule{Method: "GET", Path: writesTag, Fault: registrytest.Status(200, string(src.body(ours)), "Content-Type", ours.MediaType)})
	err = client.PushManifest(t.Context(), ref, old, src.body(old))
	if !errors.Is(err, registry.ErrTagMoved) {
		t.Errorf("got %v", err)
	}
}

// Case 56, row 18: of many who push one tag at once the last one wins, and each
// of the others either was last for a moment or is told.
func TestPushManifestConcurrently(t *testing.T) {
	src := newStore()
	client, _ := newClient(t, registry.Options{})
	var roots []ocispec.Descriptor
	for i := range 8 {
		roots = append(roots, src.twoPlatforms(t, uint64(i)))
	}
	proxy := pushed(t, client, registrytest.Memory(), src, roots...)
	ref := proxy.Host() + "/app:v1"
	var group sync.WaitGroup
	outcomes := make([]error, len(roots))
	for i, root := range roots {
		one, _ := newClient(t, registry.Options{})
		group.Go(func() { outcomes[i] = one.PushManifest(t.Context(), ref, root, src.body(root)) })
	}
	group.Wait()
	last, err := client.Resolve(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	for i, err := range outcomes {
		if err != nil && !errors.Is(err, registry.ErrTagMoved) {
			t.Error(err)
		}
		if err != nil && roots[i].Digest == last.Digest {
			t.Errorf("the winner got %v", err)
		}
	}
	checkContent(t, client, ref, last)
}

func TestPushManifestRefusesItsInput(t *testing.T) {
	client, _ := newClient(t, registry.Options{})
	src := newStore()
	root := src.twoPlatforms(t, 1)
	proxy := registrytest.New(t, registrytest.Memory())
	other := digest.FromString("other")
	tests := []struct {
		name, ref string
		change    func(*ocispec.Descriptor)
		want      string
	}{
		{name: "bad reference", ref: "localhost/UPPER/case", want: "invalid reference format"},
		{name: "other digest in the reference", ref: "/app@" + other.String(), want: "the reference names " + other.String()},
		{name: "other digest", ref: "/app:v1", change: func(d *ocispec.Descriptor) { d.Digest = other }, want: "content doesn't match"},
		{name: "other size", ref: "/app:v1", change: func(d *ocispec.Descriptor) { d.Size++ }, want: "content doesn't match"},
		{name: "no digest", ref: "/app:v1", change: func(d *ocispec.Descriptor) { d.Digest = "" }, want: "invalid checksum digest format"},
		{name: "not a manifest", ref: "/app:v1", change: func(d *ocispec.Descriptor) { d.MediaType = "text/plain" }, want: "not the media type"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			desc, ref := root, test.ref
			if strings.HasPrefix(ref, "/") {
				ref = proxy.Host() + ref
			}
			if test.change != nil {
				test.change(&desc)
			}
			wantError(t, client.PushManifest(t.Context(), ref, desc, src.body(root)), test.want, "")
		})
	}
	large := []byte(fmt.Sprintf(`{"schemaVersion":2,"annotations":{"a":%q}}`, strings.Repeat("b", registry.MaxManifest)))
	desc := src.add(ocispec.MediaTypeImageIndex, large)
	wantError(t, client.PushManifest(t.Context(), proxy.Host()+"/app:v1", desc, large), "more than the 4194304", "")
	if n := proxy.Count("", ""); n != 0 {
		t.Errorf("made %d requests", n)
	}
}

func TestMissingAndWaitFor(t *testing.T) {
	for name, backend := range backends(t) {
		t.Run(name, func(t *testing.T) {
			client, clock := newClient(t, registry.Options{})
			src := newStore()
			here, absent := src.image(t, "amd64", 1, 100), src.image(t, "arm64", 1, 100)
			proxy := pushed(t, client, backend, src, here)
			layer := src.layers(t, here)[0]
			lost := src.layers(t, absent)[0]
			ref := proxy.Host() + "/app"
			missing, err := client.Missing(t.Context(), ref, absent, here, layer, lost)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(digests(missing)); name == "distribution" && got != fmt.Sprint(digests([]ocispec.Descriptor{absent, lost})) {
				t.Errorf("missing are %s", got)
			}
			if err := client.WaitFor(t.Context(), ref, here, layer); err != nil {
				t.Error(err)
			}
			if total, _ := clock.Slept(); total > 0 {
				t.Errorf("waited %s for what is there", total)
			}
			err = client.WaitFor(t.Context(), ref, here, absent)
			wantError(t, err, absent.Digest.String(), "")
			if !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("%v doesn't match ErrNotFound", err)
			}
			proxy.Add(registrytest.Rule{Method: "HEAD", Times: 3, Fault: registrytest.Status(404, "")})
			if err := client.WaitFor(t.Context(), ref, here); err != nil {
				t.Error(err)
			}
			if _, err := client.Missing(t.Context(), ref, ocispec.Descriptor{Digest: "../../x"}); err == nil {
				t.Error("asked for a digest that isn't one")
			}
		})
	}
}

func digests(descs []ocispec.Descriptor) []digest.Digest {
	var all []digest.Digest
	for _, desc := range descs {
		all = append(all, desc.Digest)
	}
	return all
}
