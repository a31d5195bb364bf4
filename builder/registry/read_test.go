package registry_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
)

// Rows 9, 10 and 14 of the fault table.
func TestResolve(t *testing.T) {
	wrong := "sha256:" + strings.Repeat("0", 64)
	tests := []struct {
		name  string
		rules []registrytest.Rule
		waits bool
	}{
		{name: "plain"},
		{name: "429", rules: []registrytest.Rule{{Times: 2, Fault: registrytest.Status(429, "", "Retry-After", "3")}}, waits: true},
		{name: "502", rules: []registrytest.Rule{{Times: 2, Fault: registrytest.Status(502, "")}}, waits: true},
		{name: "reset", rules: []registrytest.Rule{{Times: 2, Fault: registrytest.Reset(0)}}, waits: true},
		{name: "no HEAD", rules: []registrytest.Rule{{Method: "HEAD", Fault: registrytest.Status(405, "")}}},
		{name: "HEAD forbidden", rules: []registrytest.Rule{{Method: "HEAD", Fault: registrytest.Status(403, "")}}},
		{name: "HEAD says nothing", rules: []registrytest.Rule{{Method: "HEAD", Fault: registrytest.Status(200, "")}}},
		{name: "no digest header", rules: []registrytest.Rule{{Fault: registrytest.Header("Docker-Content-Digest", "")}}},
		{name: "nonsense as digest header", rules: []registrytest.Rule{{Fault: registrytest.Header("Docker-Content-Digest", "sha256:x")}}},
		{name: "wrong digest on GET", rules: []registrytest.Rule{{Method: "HEAD", Fault: registrytest.Header("Docker-Content-Digest", "")}, {Method: "GET", Fault: registrytest.Header("Docker-Content-Digest", wrong)}}},
		{name: "no type", rules: []registrytest.Rule{{Fault: registrytest.Header("Content-Type", "")}}},
		{name: "type of JSON", rules: []registrytest.Rule{{Fault: registrytest.Header("Content-Type", "application/json; charset=utf-8")}}},
	}
	for _, test := range tests {
		for name, backend := range backends(t) {
			t.Run(test.name+" "+name, func(t *testing.T) {
				client, clock := newClient(t, registry.Options{})
				src := newStore()
				root := src.twoPlatforms(t, 1)
				proxy := pushed(t, client, backend, src)
				mustCopy(t, client, proxy.Host()+"/app:latest", src, root)
				before, _ := clock.Slept()
				for _, ref := range []string{"/app", "/app:latest", "/app@" + root.Digest.String(), "/app:latest@" + root.Digest.String()} {
					proxy.Reset()
					proxy.Add(test.rules...)
					got, err := client.Resolve(t.Context(), proxy.Host()+ref)
					if err != nil {
						t.Fatal(err)
					}
					if got.Digest != root.Digest || got.Size != root.Size || got.MediaType != root.MediaType {
						t.Errorf("%s is %+v, want %+v", ref, got, root)
					}
				}
				if after, _ := clock.Slept(); (after > before) != test.waits {
					t.Errorf("waited %s", after-before)
				}
			})
		}
	}
}

func TestResolveFails(t *testing.T) {
	schema1 := `{"schemaVersion":1,"name":"app","fsLayers":[]}`
	tests := []struct {
		name       string
		fault      registrytest.Fault
		text, hint string
		notFound   bool
	}{
		{name: "no tag", fault: registrytest.Refuse(404, "MANIFEST_UNKNOWN", "manifest unknown"), text: "404 Not Found", hint: "check the name", notFound: true},
		{name: "login page", fault: registrytest.Status(200, "<html>log in</html>", "Content-Type", "text/html"), text: "the answer is text/html, not a manifest", hint: ""},
		{name: "other JSON", fault: registrytest.Status(200, `{"status":"ok"}`, "Content-Type", "application/json"), text: "not a manifest"},
		{name: "schema 1", fault: registrytest.Status(200, schema1, "Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws"), text: "schema version 1"},
		{name: "other kind", fault: registrytest.Status(200, `{"mediaType":"a/b"}`), text: `media type "a/b"`},
		{name: "forbidden", fault: registrytest.Refuse(403, "DENIED", "not for you"), text: "DENIED: not for you", hint: "docker login"},
		{name: "circle", fault: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			registrytest.Redirect(302, r.URL.Path)(w, r, next)
		}, text: "in circles"},
		{name: "metadata service", fault: registrytest.Redirect(302, "http://169.254.169.254/latest"), text: "refused to follow"},
		{name: "file", fault: registrytest.Redirect(302, "file:///etc/passwd"), text: "refused to follow"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, clock := newClient(t, registry.Options{})
			proxy := registrytest.New(t, registrytest.Memory())
			proxy.Add(registrytest.Rule{Fault: test.fault})
			_, err := client.Resolve(t.Context(), proxy.Host()+"/app:v1")
			wantError(t, err, test.text, test.hint)
			if errors.Is(err, registry.ErrNotFound) != test.notFound {
				t.Errorf("ErrNotFound is matched: %v", !test.notFound)
			}
			if total, _ := clock.Slept(); total > 0 {
				t.Errorf("waited %s", total)
			}
			if n := proxy.Count("", ""); n > 12 {
				t.Errorf("made %d requests", n)
			}
		})
	}
}

// Row 25 of the fault table: what a hostile registry sends for a manifest.
func TestFetchLimits(t *testing.T) {
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	if _, err := io.CopyN(zip, zeros{}, 32<<20); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromString("x"), Size: 1}
	endless := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		_, _ = io.CopyBuffer(struct{ io.Writer }{w}, zeros{}, make([]byte, 32<<10))
	}
	tests := []struct {
		name  string
		fault registrytest.Fault
	}{
		{"endless", endless},
		{"gzip bomb", registrytest.Status(200, bomb.String(), "Content-Encoding", "gzip")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, _ := newClient(t, registry.Options{})
			proxy := registrytest.New(t, registrytest.Memory())
			proxy.Add(registrytest.Rule{Fault: test.fault})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := client.Fetch(t.Context(), proxy.Host()+"/app", desc)
			runtime.ReadMemStats(&after)
			wantError(t, err, "larger than 4194304", "")
			if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
				t.Errorf("allocated %d MiB", used>>20)
			}
			blob := desc
			blob.MediaType, blob.Size = ocispec.MediaTypeImageConfig, 100
			if _, err := client.Fetch(t.Context(), proxy.Host()+"/app", blob); !errors.Is(err, registry.ErrDigest) {
				t.Errorf("got %v for a blob", err)
			}
		})
	}
	client, _ := newClient(t, registry.Options{})
	desc.Size = registry.MaxManifest + 1
	_, err := client.Fetch(t.Context(), "localhost:1/app", desc)
	wantError(t, err, "more than 4194304", "")
	_, err = client.Fetch(t.Context(), "localhost:1/app", ocispec.Descriptor{Digest: "md5:x"})
	wantError(t, err, "unsupported digest", "")
}

// Row 12 of the fault table: what is read is what was asked for, or an error.
func TestFetchVerifies(t *testing.T) {
	tests := []struct {
		name  string
		rule  registrytest.Rule
		fails bool
	}{
		{name: "flipped once", rule: registrytest.Rule{Times: 1, Fault: registrytest.Flip()}},
		{name: "flipped for ever", rule: registrytest.Rule{Fault: registrytest.Flip()}, fails: true},
		{name: "short body", rule: registrytest.Rule{Fault: registrytest.Body(func(b []byte) []byte { return b[:len(b)-1] })}, fails: true},
		{name: "longer body", rule: registrytest.Rule{Fault: registrytest.Body(func(b []byte) []byte { return append(bytes.Clone(b), ' ') })}, fails: true},
		{name: "empty body", rule: registrytest.Rule{Fault: registrytest.Body(func([]byte) []byte { return nil })}, fails: true},
		{name: "cut once", rule: registrytest.Rule{Times: 1, Fault: registrytest.Cut(20)}},
		{name: "cut four times", rule: registrytest.Rule{Times: 4, Fault: registrytest.Cut(20)}},
		{name: "reset", rule: registrytest.Rule{Times: 2, Fault: registrytest.Reset(0)}},
		{name: "wrong digest header", rule: registrytest.Rule{Fault: registrytest.Header("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))}},
		{name: "wrong type", rule: registrytest.Rule{Fault: registrytest.Header("Content-Type", "text/plain")}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, _ := newClient(t, registry.Options{})
			src := newStore()
			root := src.image(t, "amd64", 1, 5000)
			proxy := pushed(t, client, registrytest.Distribution(t), src, root)
			layer := src.layers(t, root)[0]
			for _, desc := range []ocispec.Descriptor{root, layer} {
				proxy.Reset()
				proxy.Add(test.rule)
				body, err := client.Fetch(t.Context(), proxy.Host()+"/app", desc)
				if test.fails {
					if err == nil {
						t.Fatalf("got %d bytes of %s", len(body), desc.MediaType)
					}
					wantError(t, err, "fetching "+proxy.Host()+"/app@"+desc.Digest.String(), "")
					if n := proxy.Count("GET", ""); n > 4 {
						t.Errorf("asked %d times", n)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(body, src.body(desc)) {
					t.Error("got other bytes")
				}
			}
		})
	}
}

func TestOpen(t *testing.T) {
	client, _ := newClient(t, registry.Options{})
	src := newStore()
	root := src.image(t, "amd64", 1, 3<<20)
	proxy := pushed(t, client, registrytest.Distribution(t), src, root)
	layer := src.layers(t, root)[0]
	read := func(desc ocispec.Descriptor) ([]byte, error) {
		reader, err := client.Open(t.Context(), proxy.Host()+"/app", desc)
		if err != nil {
			return nil, err
		}
		defer reader.Close()
		return io.ReadAll(reader)
	}

	proxy.Add(registrytest.Rule{Method: "GET", Times: 2, Fault: registrytest.Cut(1 << 20)})
	got, err := read(layer)
	if err != nil || !bytes.Equal(got, src.body(layer)) {
		t.Errorf("after two cuts: %d bytes, %v", len(got), err)
	}

	proxy.Add(registrytest.Rule{Method: "GET", Times: 1, Fault: registrytest.Flip()})
	if _, err := read(layer); !errors.Is(err, registry.ErrDigest) {
		t.Errorf("after a flip: %v", err)
	} else {
		wantError(t, err, "reading "+proxy.Host()+"/app@"+layer.Digest.String(), "try again")
	}

	short := layer
	short.Size--
	if _, err := read(short); !errors.Is(err, registry.ErrDigest) {
		t.Errorf("a blob longer than its descriptor: %v", err)
	}

	absent := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString("absent"), Size: 10}
	if _, err := read(absent); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a blob that isn't there: %v", err)
	}

	// URLs of a descriptor are not followed.
	trap := registrytest.New(t, registrytest.Memory())
	layer.URLs = []string{"http://" + trap.Host() + "/layer"}
	if _, err := read(layer); err != nil {
		t.Error(err)
	}
	if n := trap.Count("", ""); n > 0 {
		t.Errorf("made %d requests to a descriptor's URL", n)
	}
}

// Row 11: servers that say nothing.
func TestSilence(t *testing.T) {
	tests := []struct {
		name string
		rule registrytest.Rule
	}{
		{"once", registrytest.Rule{Times: 1, Fault: registrytest.Silence()}},
		{"after a manifest", registrytest.Rule{Method: "PUT", Path: registrytest.Manifests, Times: 1, Fault: registrytest.Silence()}},
		{"after a blob", registrytest.Rule{Method: "PUT", Path: registrytest.Uploads, Times: 1, Fault: registrytest.Silence()}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, _ := newClient(t, registry.Options{})
			client.SetSilenceLimit(200 * time.Millisecond)
			src := newStore()
			root := src.twoPlatforms(t, 1)
			proxy := registrytest.New(t, registrytest.Memory())
			proxy.Add(test.rule)
			mustCopy(t, client, proxy.Host()+"/app:v1", src, root)
			checkTag(t, client, proxy.Host()+"/app:v1", root)
		})
	}
	t.Run("for ever", func(t *testing.T) {
		client, _ := newClient(t, registry.Options{})
		client.SetSilenceLimit(20 * time.Millisecond)
		proxy := registrytest.New(t, registrytest.Memory())
		proxy.Add(registrytest.Rule{Fault: registrytest.Silence()})
		_, err := client.Resolve(t.Context(), proxy.Host()+"/app:v1")
		if described := wantError(t, err, "doesn't answer", "check the network"); !described.Transient() {
			t.Error("not transient")
		}
	})
}

func TestResolveEndsWithItsContext(t *testing.T) {
	interrupted := errors.New("interrupted")
	client, _ := newClient(t, registry.Options{})
	proxy := registrytest.New(t, registrytest.Memory())
	ctx, cancel := context.WithCancelCause(t.Context())
	proxy.Add(registrytest.Rule{Fault: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		cancel(interrupted)
		registrytest.Silence()(w, r, next)
	}})
	if _, err := client.Resolve(ctx, proxy.Host()+"/app:v1"); !errors.Is(err, interrupted) {
		t.Errorf("got %v", err)
	}
}

func FuzzManifestType(f *testing.F) {
	f.Add("application/json", []byte(`{"mediaType":"application/vnd.oci.image.index.v1+json"}`))
	f.Add("", []byte(`{"schemaVersion":2,"config":{}}`))
	f.Add("text/html", []byte("<html>"))
	known := map[string]bool{
		ocispec.MediaTypeImageIndex: true, ocispec.MediaTypeImageManifest: true,
		"application/vnd.docker.distribution.manifest.v2+json":      true,
		"application/vnd.docker.distribution.manifest.list.v2+json": true,
	}
	f.Fuzz(func(t *testing.T, announced string, body []byte) {
		got, err := registry.ManifestType(announced, body)
		if err == nil && !known[got] {
			t.Fatalf("got %q", got)
		}
	})
}
