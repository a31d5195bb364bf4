package testbed_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/sirupsen/logrus"

	"github.com/mabuild/mabuild/integration/testbed"
)

func start(t *testing.T, opts testbed.RegistryOptions) *testbed.Registry {
	t.Helper()
	registry, err := testbed.NewRegistry(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := registry.Close(); err != nil {
			t.Error(err)
		}
	})
	return registry
}

func tag(t *testing.T, registry *testbed.Registry, reference string) name.Tag {
	t.Helper()
	tag, err := name.NewTag(registry.Addr+"/"+reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return tag
}

// push writes an index of two images with one layer each.
func push(t *testing.T, registry *testbed.Registry, reference string) {
	t.Helper()
	index, err := random.Index(64, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(tag(t, registry, reference), index, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func pull(t *testing.T, registry *testbed.Registry, reference string, opts ...validate.Option) error {
	t.Helper()
	index, err := remote.Index(tag(t, registry, reference), remote.WithContext(t.Context()))
	if err != nil {
		return err
	}
	return validate.Index(index, opts...)
}

func TestRegistry(t *testing.T) {
	for name, root := range map[string]string{"in a temporary folder": "", "in one of ours": t.TempDir() + "/new"} {
		t.Run(name, func(t *testing.T) {
			registry := start(t, testbed.RegistryOptions{Root: root})
			if host, _, err := net.SplitHostPort(registry.Addr); err != nil || host != "127.0.0.1" {
				t.Errorf("the registry listens on %s, want loopback (%v)", registry.Addr, err)
			}
			push(t, registry, "some/thing:1")
			if err := pull(t, registry, "some/thing:1"); err != nil {
				t.Error(err)
			}
			if err := pull(t, registry, "some/thing:2"); err == nil {
				t.Error("a tag was found that nobody pushed")
			}
		})
	}
}

// TestRegistryTidy: what nobody named a folder for is gone after Close.
func TestRegistryTidy(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	registry := start(t, testbed.RegistryOptions{})
	push(t, registry, "thing:1")
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Fatalf("%d folders, want the registry's: %v", len(files), err)
	}
	if err := registry.Close(); err != nil {
		t.Error(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("%v is left: %v", files, err)
	}
}

func TestRegistryRequests(t *testing.T) {
	registry := start(t, testbed.RegistryOptions{})
	push(t, registry, "thing:1")
	requests := registry.Requests()
	last := requests[len(requests)-1]
	want := testbed.Request{Method: http.MethodPut, Path: "/v2/thing/manifests/1", Status: http.StatusCreated}
	if diff := cmp.Diff(want, last); diff != "" {
		t.Errorf("the last request differs (-want +got):\n%s", diff)
	}
	for _, request := range requests {
		if request.Status == 0 {
			t.Errorf("%s %s has no status", request.Method, request.Path)
		}
	}
}

func TestRegistryReadOnly(t *testing.T) {
	root := t.TempDir()
	writable := start(t, testbed.RegistryOptions{Root: root})
	push(t, writable, "thing:1")
	if err := writable.Close(); err != nil {
		t.Fatal(err)
	}
	registry := start(t, testbed.RegistryOptions{Root: root, ReadOnly: true})
	if err := pull(t, registry, "thing:1"); err != nil {
		t.Error(err)
	}
	for _, write := range []struct{ method, path string }{
		{http.MethodPost, "/v2/thing/blobs/uploads/"},
		{http.MethodPut, "/v2/thing/manifests/2"},
		{http.MethodDelete, "/v2/thing/manifests/1"},
	} {
		t.Run(write.method, func(t *testing.T) {
			if got := status(t, registry, write.method, write.path); got != http.StatusMethodNotAllowed {
				t.Errorf("got the status %d, want 405", got)
			}
		})
	}
}

func status(t *testing.T, registry *testbed.Registry, method, path string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+registry.Addr+path, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Error(err)
	}
	return response.StatusCode
}

func TestRegistryMiddleware(t *testing.T) {
	registry := start(t, testbed.RegistryOptions{Middleware: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			next.ServeHTTP(w, r)
		})
	}})
	for method, want := range map[string]int{http.MethodGet: http.StatusOK, http.MethodPut: http.StatusTooManyRequests} {
		if got := status(t, registry, method, "/v2/"); got != want {
			t.Errorf("%s has the status %d, want %d", method, got, want)
		}
	}
}

// A registry is closed while it answers: the answer arrives, and Close waits for it.
func TestRegistryCloseWaits(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	registry := start(t, testbed.RegistryOptions{Middleware: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			<-leave
			next.ServeHTTP(w, r)
		})
	}})
	answered := make(chan int, 1)
	go func() { answered <- status(t, registry, http.MethodGet, "/v2/") }()
	<-entered
	closed := make(chan error, 1)
	go func() { closed <- registry.Close() }()
	dialer := net.Dialer{}
	for { // until Close has begun
		connection, err := dialer.DialContext(t.Context(), "tcp", registry.Addr)
		if err != nil {
			break
		}
		connection.Close()
	}
	select {
	case err := <-closed:
		t.Errorf("Close returned (%v) while a request was running", err)
	default:
	}
	close(leave)
	if got := <-answered; got != http.StatusOK {
		t.Errorf("the running request has the status %d, want 200", got)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// The registry's log must not reach the process' standard error.
func TestRegistryIsQuiet(t *testing.T) {
	var noise bytes.Buffer
	logrus.SetOutput(&noise)
	defer logrus.SetOutput(os.Stderr)
	registry := start(t, testbed.RegistryOptions{})
	push(t, registry, "thing:1")
	if err := pull(t, registry, "thing:2"); err == nil {
		t.Error("a tag was found that nobody pushed")
	}
	if err := registry.Close(); err != nil {
		t.Error(err)
	}
	if noise.Len() > 0 {
		t.Errorf("the global logger got:\n%s", noise.String())
	}
}
