package bases_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/bases"
	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
	"github.com/mabuild/mabuild/planner/exact"
)

var _ exact.Resolver = (*bases.Resolver)(nil)

var six = []string{"linux/amd64", "linux/arm64/v8", "linux/arm/v7", "linux/ppc64le", "linux/s390x", "linux/riscv64"}

func TestResolveRequests(t *testing.T) {
	w := newWorld(t)
	refs := []string{
		w.push("one:v1", w.multi(six...)),
		w.push("two:v1", w.multi(six[1:]...)),
		w.push("three:v1", w.image("linux/amd64")),
	}
	pinned := refs[0] + "@" + string(w.resolve(w.resolver(bases.Options{}), refs[0]).Digest)
	for _, test := range []struct {
		name                    string
		refs                    []string
		heads, manifests, blobs int
	}{
		{"index", refs[:1], 1, 1, 0},
		{"three bases", refs, 3, 3, 1},
		{"pinned", []string{pinned}, 0, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.proxy.Reset()
			r := w.resolver(bases.Options{Dir: t.TempDir()})
			for range 2 { // the second time from memory
				var wg sync.WaitGroup
				for range six {
					for _, ref := range test.refs {
						for range 4 {
							wg.Go(func() {
								if base, err := r.Resolve(t.Context(), ref); err != nil || len(base.Manifests) == 0 {
									t.Errorf("%+v, %v", base, err)
								}
							})
						}
					}
				}
				wg.Wait()
			}
			w.requests(test.heads, test.manifests, test.blobs)
		})
	}
}

func TestConfigRequests(t *testing.T) {
	w := newWorld(t)
	ref := w.push("base:v1", w.multi(six...))
	r := w.resolver(bases.Options{})
	base := w.resolve(r, ref)
	var wg sync.WaitGroup
	for _, desc := range base.Manifests {
		for range 8 {
			wg.Go(func() {
				config, err := r.Config(t.Context(), ref, desc)
				if err != nil || !strings.Contains(string(config), `"`+desc.Platform.Architecture+`"`) {
					t.Errorf("%s, %v", config, err)
				}
			})
		}
	}
	wg.Wait()
	w.requests(1, 1+len(six), len(six))

	// Another process reads all of it from the disk, and so does a build that is
	// offline.
	w.proxy.Reset()
	for _, opts := range []bases.Options{{}, {Offline: true}} {
		r = w.resolver(opts)
		for _, desc := range w.resolve(r, ref).Manifests {
			if _, err := r.Config(t.Context(), ref, desc); err != nil {
				t.Error(err)
			}
		}
	}
	w.requests(0, 0, 0)
}

func TestConfigIsTheCallers(t *testing.T) {
	w := newWorld(t)
	ref := w.push("base:v1", w.multi("linux/amd64"))
	r := w.resolver(bases.Options{})
	base := w.resolve(r, ref)
	config, err := r.Config(t.Context(), ref, base.Manifests[0])
	if err != nil {
		t.Fatal(err)
	}
	want := string(config)
	clear(config)
	again, err := r.Config(t.Context(), ref, base.Manifests[0])
	if err != nil || string(again) != want {
		t.Errorf("%q, %v; want %q", again, err, want)
	}
	base.Manifests[0].Platform.OS = "plan9"
	if got := offered(w.resolve(r, ref)); got[0] != "linux/amd64" {
		t.Error(got)
	}
	desc := ocispec.Descriptor{Digest: base.Digest}
	if _, err := r.Config(t.Context(), ref, desc); err == nil || !strings.Contains(err.Error(), "is an index") {
		t.Errorf("config of an index: %v", err)
	}
}

func TestResolveTTL(t *testing.T) {
	w := newWorld(t)
	first, second := w.multi("linux/amd64"), w.multi("linux/arm64")
	ref := w.push("base:v1", first)
	r := w.resolver(bases.Options{})
	check := func(step string, r *bases.Resolver, want ocispec.Descriptor, heads, manifests int) {
		t.Helper()
		w.proxy.Reset()
		if got := w.resolve(r, ref).Digest; got != want.Digest {
			t.Errorf("%s: %s, want %s", step, got, want.Digest)
		}
		t.Log(step)
		w.requests(heads, manifests, 0)
	}
	check("first", r, first, 1, 1)
	w.push("base:v1", second)
	w.pass(59 * time.Second)
	check("within a minute", r, first, 0, 0)
	check("within a minute, other process", w.resolver(bases.Options{}), first, 0, 0)
	check("shorter TTL", w.resolver(bases.Options{TTL: time.Second, Dir: copyOf(t, w.dir)}), second, 1, 1)
	w.pass(time.Second)
	check("after a minute", r, second, 1, 1)
	check("right after", w.resolver(bases.Options{}), second, 0, 0)
	w.push("base:v1", first)
	pulling := w.resolver(bases.Options{Pull: true})
	check("pull", pulling, first, 1, 0)
	check("pull again", pulling, first, 0, 0)
	never := w.resolver(bases.Options{TTL: -1})
	check("no TTL", never, first, 1, 0)
	check("no TTL again", never, first, 1, 0)
	w.pass(-time.Hour)
	check("clock set back", w.resolver(bases.Options{}), first, 1, 0)
}

func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestResolveDigestNeverExpires(t *testing.T) {
	w := newWorld(t)
	ref := w.push("base:v1", w.multi(six...))
	ref += "@" + string(w.resolve(w.resolver(bases.Options{}), ref).Digest)
	w.proxy.Reset()
	w.pass(20 * 24 * time.Hour)
	for _, opts := range []bases.Options{{}, {TTL: -1}, {Pull: true}, {Offline: true}} {
		if got := w.resolve(w.resolver(opts), ref); got.Ref != ref || len(got.Manifests) != 6 {
			t.Errorf("%+v", got)
		}
	}
	w.requests(0, 0, 0)
}

func TestResolveReference(t *testing.T) {
	const sum = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for ref, want := range map[string]string{
		"alpine":                     "docker.io/library/alpine:latest",
		"alpine:3":                   "docker.io/library/alpine:3",
		"moby/buildkit":              "docker.io/moby/buildkit:latest",
		"index.docker.io/alpine":     "docker.io/library/alpine:latest",
		"localhost:5000/a":           "localhost:5000/a:latest",
		"alpine@" + sum:              "docker.io/library/alpine@" + sum,
		"docker.io/alpine:3@" + sum:  "docker.io/library/alpine:3@" + sum,
		"ghcr.io/me/app:v1":          "ghcr.io/me/app:v1",
		"Alpine":                     "",
		"https://ghcr.io/me/app":     "",
		"":                           "",
		"alpine@sha256:12":           "",
		"alpine:../../../etc/passwd": "",
	} {
		t.Run(ref, func(t *testing.T) {
			_, err := bases.New(bases.Options{Dir: t.TempDir(), Offline: true}).Resolve(t.Context(), ref)
			var described *bases.Error
			if !errors.As(err, &described) || described.Hint == "" {
				t.Fatalf("not described: %v", err)
			}
			if want == "" {
				if errors.Is(err, bases.ErrOffline) || !strings.Contains(err.Error(), "HOST/NAME:TAG") {
					t.Error(err)
				}
			} else if described.Ref != want || !errors.Is(err, bases.ErrOffline) {
				t.Errorf("%s, want %s: %v", described.Ref, want, err)
			}
		})
	}
}

func TestResolveOffline(t *testing.T) {
	w := newWorld(t)
	ref := w.push("base:v1", w.multi(six...))
	single := w.push("single:v1", w.image("linux/arm64"))
	online := w.resolver(bases.Options{})
	w.resolve(online, ref)
	w.resolve(online, single)
	w.proxy.Reset()
	w.pass(20 * 24 * time.Hour)

	offline := w.resolver(bases.Options{Offline: true, Pull: true})
	base := w.resolve(offline, ref)
	if got := offered(w.resolve(offline, single)); !cmp.Equal(got, []string{"linux/arm64"}) {
		t.Error(got)
	}
	_, unknown := offline.Resolve(t.Context(), w.ref("other:v1"))
	_, config := offline.Config(t.Context(), ref, base.Manifests[2])
	for err, op := range map[error]string{
		unknown: "looking up base image " + w.ref("other:v1"),
		config:  "reading the config of base image " + ref,
	} {
		want := op + ": not in the cache, and no registry is asked while offline; run it once without --offline"
		if !errors.Is(err, bases.ErrOffline) || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	// What the tag points to is gone: so is what can be said of it.
	if err := os.Remove(w.blob(base.Digest)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.resolver(bases.Options{Offline: true}).Resolve(t.Context(), ref); !errors.Is(err, bases.ErrOffline) {
		t.Error(err)
	}
	if got := w.proxy.Requests(); len(got) != 0 {
		t.Error(got)
	}
}

func TestResolveErrors(t *testing.T) {
	w := newWorld(t)
	ref := w.push("base:v1", w.multi("linux/amd64"))
	r := w.resolver(bases.Options{TTL: -1})

	// An error is not remembered, and nothing else is used in its place.
	w.resolve(r, ref)
	w.proxy.Add(registrytest.Rule{Path: registrytest.Manifests, Fault: registrytest.Refuse(403, "DENIED", "not you")})
	_, err := r.Resolve(t.Context(), ref)
	w.proxy.Reset()
	var refusal *registry.Error
	if !errors.As(err, &refusal) || refusal.Status != 403 || strings.Contains(err.Error(), "offline") {
		t.Errorf("refused: %v", err)
	}
	if got := strings.Count(err.Error(), ref); got != 1 {
		t.Errorf("names the reference %d times: %v", got, err)
	}
	w.resolve(r, ref)
	if _, err := r.Resolve(t.Context(), w.ref("nothing:v1")); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("missing: %v", err)
	}
}

// gate is a registry that holds back its answers.
type gate struct {
	bases.Registry
	asked chan struct{}
	open  chan struct{}
}

func (g gate) Resolve(ctx context.Context, ref string) (ocispec.Descriptor, error) {
	g.asked <- struct{}{}
	select {
	case <-g.open:
		return g.Registry.Resolve(ctx, ref)
	case <-ctx.Done():
		g.asked <- struct{}{}
		return ocispec.Descriptor{}, context.Cause(ctx)
	}
}

func TestResolveCancelledCaller(t *testing.T) {
	w := newWorld(t)
	ref := w.push("base:v1", w.multi("linux/amd64"))
	held := gate{w.client, make(chan struct{}, 8), make(chan struct{})}
	r := w.resolver(bases.Options{Registry: held})
	bored := errors.New("bored")
	start := func() (context.CancelCauseFunc, chan error) {
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := r.Resolve(ctx, ref)
			done <- err
		}()
		return cancel, done
	}

	// The only caller goes: so does the request.
	cancel, first := start()
	<-held.asked
	cancel(bored)
	<-held.asked
	if err := <-first; !errors.Is(err, bored) {
		t.Errorf("the one that left: %v", err)
	}

	// The one that made the request goes, the other stays.
	cancel, first = start()
	<-held.asked
	_, second := start()
	// Whether second has joined or not by now, it must get its answer.
	cancel(bored)
	if err := <-first; !errors.Is(err, bored) {
		t.Errorf("the one that left: %v", err)
	}
	for done := false; !done; {
		select {
		case <-held.asked: // that of the first being cancelled, or a new one
		case held.open <- struct{}{}:
		case err := <-second:
			done = true
			if err != nil {
				t.Errorf("the one that stayed: %v", err)
			}
		}
	}
}
