package uploads

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// counting is a registry that counts the uploads that it is sent.
type counting struct {
	http.Handler
	puts, mounts atomic.Int32
	// refuse is how many uploads fail before one succeeds.
	refuse atomic.Int32
}

func (c *counting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/uploads"):
		c.puts.Add(1)
		if c.refuse.Add(-1) >= 0 {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
	case r.Method == http.MethodPost && r.URL.Query().Has("mount"):
		c.mounts.Add(1)
		w.WriteHeader(http.StatusCreated)
		return
	// The registry behind has one store for all repositories, and mounts nothing.
	case r.Method == http.MethodHead && strings.HasPrefix(r.URL.Path, "/v2/second/") && c.mounts.Load() == 0:
		http.NotFound(w, r)
		return
	}
	c.Handler.ServeHTTP(w, r)
}

// serve starts a counting registry and returns the pushers' view of it.
func serve(t *testing.T) (*counting, string, docker.RegistryHosts) {
	t.Helper()
	store := &counting{Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	server := httptest.NewServer(store)
	t.Cleanup(server.Close)
	addr := strings.TrimPrefix(server.URL, "http://")
	var running Uploads
	return store, addr, running.Hosts(docker.ConfigureDefaultRegistries(docker.WithPlainHTTP(docker.MatchLocalhost)))
}

// push uploads content as BuildKit does, with the library that it has it from; each
// call is a job of its own.
func push(hosts docker.RegistryHosts, ref string, body []byte, annotations map[string]string) error {
	ctx := context.Background()
	pusher, err := docker.NewResolver(docker.ResolverOptions{Hosts: hosts}).Pusher(ctx, ref)
	if err != nil {
		return err
	}
	layer := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(body), Size: int64(len(body)), Annotations: annotations,
	}
	writer, err := pusher.Push(ctx, layer)
	if err != nil {
		if errdefs.IsAlreadyExists(err) {
			return nil
		}
		return err
	}
	defer writer.Close()
	if _, err := writer.Write(body); err != nil {
		return err
	}
	return writer.Commit(ctx, layer.Size, layer.Digest)
}

// together runs n pushes at once and joins their errors.
func together(n int, push func(i int) error) error {
	failed := make([]error, n)
	var pushes sync.WaitGroup
	for i := range n {
		pushes.Go(func() { failed[i] = push(i) })
	}
	pushes.Wait()
	return errors.Join(failed...)
}

func TestEachBlobOnce(t *testing.T) {
	store, addr, hosts := serve(t)
	const layers, jobs = 5, 6
	err := together(layers*jobs, func(i int) error {
		return push(hosts, addr+"/team/app:1", fmt.Append(nil, strings.Repeat("x", 1<<18), i%layers), nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := store.puts.Load(); n != layers {
		t.Errorf("%d uploads of %d layers by %d jobs", n, layers, jobs)
	}
}

// TestFailedUpload: whoever waited uploads in place of the one that failed.
func TestFailedUpload(t *testing.T) {
	store, addr, hosts := serve(t)
	store.refuse.Store(1)
	err := together(4, func(int) error { return push(hosts, addr+"/app:1", []byte("layer"), nil) })
	if err == nil || strings.Count(err.Error(), "\n") > 0 {
		t.Errorf("error %v, want that of the one refused upload", err)
	}
	if n := store.puts.Load(); n != 2 {
		t.Errorf("%d uploads, want the refused one and another", n)
	}
}

// TestMount: a mount ends the claim as an upload does.
func TestMount(t *testing.T) {
	store, addr, hosts := serve(t)
	body := []byte("layer")
	if err := push(hosts, addr+"/first:1", body, nil); err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(addr, ":") // the label leaves the port out
	source := map[string]string{"containerd.io/distribution.source." + name: "first"}
	err := together(4, func(int) error { return push(hosts, addr+"/second:1", body, source) })
	if err != nil {
		t.Fatal(err)
	}
	if puts, mounts := store.puts.Load(), store.mounts.Load(); puts != 1 || mounts != 1 {
		t.Errorf("%d uploads and %d mounts, want 1 and 1", puts, mounts)
	}
}

// roundTrips answers requests from memory.
type roundTrips func(*http.Request) (*http.Response, error)

func (f roundTrips) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func notFound(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody, Request: r}, nil
}

func head(ctx context.Context, t *testing.T, over http.RoundTripper) error {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://registry.test/v2/app/blobs/sha256:1", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := over.RoundTrip(request)
	if err == nil {
		response.Body.Close()
	}
	return err
}

// TestNobodyUploads: a job that asked and went away holds nobody up for long.
func TestNobodyUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running Uploads
		over := running.Transport(roundTrips(notFound))
		for range 3 { // each waits for the claim of the one before
			if err := head(t.Context(), t, over); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		running.drop(blob{"registry.test", "/v2/app", "sha256:1"}, running.begin(blob{"registry.test", "/v2/app", "sha256:1"}))
	})
}

func TestCancelledWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running Uploads
		over := running.Transport(roundTrips(notFound))
		if err := head(t.Context(), t, over); err != nil {
			t.Fatal(err)
		}
		stop := errors.New("interrupted")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(stop)
		if err := head(ctx, t, over); !errors.Is(err, stop) {
			t.Errorf("error %v, want %v", err, stop)
		}
	})
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]blob{
		"HEAD http://r/v2/a/b/blobs/sha256:1":                     {"r", "/v2/a/b", "sha256:1"},
		"HEAD http://r/v2/blobs/blobs/sha256:1":                   {"r", "/v2/blobs", "sha256:1"},
		"HEAD http://r/v2/a/manifests/sha256:1":                   {},
		"HEAD http://r/v2/a/blobs/uploads/1":                      {},
		"POST http://r/v2/a/blobs/uploads/?mount=sha256:1&from=b": {"r", "/v2/a", "sha256:1"},
		"POST http://r/v2/a/blobs/uploads/":                       {},
		"PUT http://r/v2/a/blobs/uploads/9?_s=1&digest=sha256:1":  {"r", "/v2/a", "sha256:1"},
		"PUT http://r/v2/a/manifests/latest":                      {},
	} {
		t.Run(address, func(t *testing.T) {
			method, url, _ := strings.Cut(address, " ")
			request, err := http.NewRequest(method, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			read := map[string]func(*http.Request) (blob, bool){"HEAD": asked, "POST": mounted, "PUT": uploaded}[method]
			got, ok := read(request)
			if ok != (want != blob{}) || ok && got != want {
				t.Errorf("got %v, %v", got, ok)
			}
		})
	}
}
