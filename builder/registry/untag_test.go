package registry_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
)

func TestUntag(t *testing.T) {
	for name, backend := range backends(t) {
		t.Run(name, func(t *testing.T) {
			proxy := registrytest.New(t, backend)
			client, _ := newClient(t, registry.Options{})
			src := newStore()
			image := src.image(t, "amd64", 1, 100)
			for _, tag := range []string{":kept", ":gone"} {
				mustCopy(t, client, proxy.Host()+"/app"+tag, src, image)
			}
			// The second time there is no such tag.
			for range 2 {
				if err := client.Untag(t.Context(), proxy.Host()+"/app:gone"); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := client.Resolve(t.Context(), proxy.Host()+"/app:gone"); !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("resolving the removed tag: %v", err)
			}
			checkTag(t, client, proxy.Host()+"/app:kept", image)
		})
	}
}

func TestUntagRefusals(t *testing.T) {
	proxy := registrytest.New(t, registrytest.Memory())
	client, clock := newClient(t, registry.Options{})
	proxy.Add(
		registrytest.Rule{Method: "DELETE", Times: 1, Fault: registrytest.Status(429, "", "Retry-After", "7")},
		registrytest.Rule{Method: "DELETE", Fault: registrytest.Refuse(405, "UNSUPPORTED", "The operation is unsupported.")},
	)
	err := client.Untag(t.Context(), proxy.Host()+"/app:1")
	wantError(t, err, "removing the tag "+proxy.Host()+"/app:1: 405", "")
	if slept, _ := clock.Slept(); slept < 7*time.Second {
		t.Errorf("waited %s where 7 s were asked for", slept)
	}

	// Content is never deleted.
	before := len(proxy.Requests())
	digest := "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	wantError(t, client.Untag(t.Context(), proxy.Host()+"/app@"+digest), "the reference has a digest", "")
	wantError(t, client.Untag(t.Context(), proxy.Host()+"/app:1@"+digest), "the reference has a digest", "")
	if len(proxy.Requests()) != before {
		t.Error("a request was made")
	}
}

// Options.Clock is where waiting goes to.
func TestClock(t *testing.T) {
	proxy := registrytest.New(t, registrytest.Memory())
	proxy.Add(registrytest.Rule{Times: 1, Fault: registrytest.Status(429, "", "Retry-After", "30")})
	var clock registrytest.Clock
	client := registry.New(registry.Options{
		ConfigDir: t.TempDir(), Clock: registry.Clock{Now: clock.Now, Sleep: clock.Sleep},
	})
	t.Cleanup(client.CloseIdleConnections)
	if _, err := client.Resolve(t.Context(), proxy.Host()+"/app:1"); !errors.Is(err, registry.ErrNotFound) {
		t.Fatal(err)
	}
	if slept, _ := clock.Slept(); slept < 30*time.Second {
		t.Errorf("waited %s where 30 s were asked for", slept)
	}
}
