package output_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/output"
	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
)

var (
	_ builder.Publisher = (*output.Pusher)(nil)
	_ builder.Publisher = (*output.Keeper)(nil)
	_ builder.Publisher = (*output.Archiver)(nil)
	_ builder.Publisher = (*output.Tars)(nil)
	_ output.Registry   = (*registry.Client)(nil)
)

// newClient returns a client without anybody's credentials.
func newClient(t *testing.T) *registry.Client {
	t.Helper()
	client := registry.New(registry.Options{ConfigDir: t.TempDir()})
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// pushed builds images for platforms and pushes each by its digest to the
// repositories, as a BuildKit daemon does.
func pushed(t *testing.T, repositories []string, platforms ...ocispec.Platform) []ocispec.Descriptor {
	t.Helper()
	layout := open(t)
	client := newClient(t)
	var manifests []ocispec.Descriptor
	for _, platform := range platforms {
		image := putImage(t, layout, platform)
		for _, repository := range repositories {
			if err := client.Copy(t.Context(), repository+"@"+image.Digest.String(), layout, image); err != nil {
				t.Fatal(err)
			}
		}
		manifests = append(manifests, image)
	}
	return manifests
}

// fetched is what another client gets for a name.
func fetched(t *testing.T, ref string) *remote.Descriptor {
	t.Helper()
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	desc, err := remote.Get(parsed, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return desc
}

// requests are a registry's manifest requests as "METHOD repository object", with
// the digests of manifests replaced by their place.
func requests(proxy *registrytest.Proxy, manifests []ocispec.Descriptor) []string {
	var list []string
	for _, request := range proxy.Requests() {
		repository, object, ok := strings.Cut(strings.TrimPrefix(request.Path, "/v2/"), "/manifests/")
		if !ok {
			continue
		}
		for i, desc := range manifests {
			if object == desc.Digest.String() {
				object = fmt.Sprintf("child %d", i)
			}
		}
		list = append(list, fmt.Sprintf("%s %s %s", request.Method, repository, object))
	}
	return list
}

// Cases 54 and 56: all children are there before a tag is written, and each tag is
// written once.
func TestPusher(t *testing.T) {
	proxy := registrytest.New(t, registrytest.Memory())
	app, mirror := proxy.Host()+"/me/app", proxy.Host()+"/mirror"
	manifests := pushed(t, []string{app, mirror}, amd64, armv7)
	proxy.Reset()
	names := []string{app + ":1.2", app + ":latest", mirror + ":1.2"}
	pusher := &output.Pusher{Registry: newClient(t), Names: names}
	root, err := pusher.Publish(t.Context(), manifests)
	if err != nil {
		t.Fatal(err)
	}
	if root.MediaType != ocispec.MediaTypeImageIndex {
		t.Errorf("the root is %s", root.MediaType)
	}
	for _, ref := range names {
		desc := fetched(t, ref)
		if desc.Digest.String() != root.Digest.String() {
			t.Errorf("%s is %s, want %s", ref, desc.Digest, root.Digest)
		}
		joined, err := desc.ImageIndex()
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Index(joined); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
		parsed, err := joined.IndexManifest()
		if err != nil || len(parsed.Manifests) != 2 || parsed.Manifests[1].Platform.Variant != "v7" {
			t.Errorf("%s: %+v, %v", ref, parsed, err)
		}
	}
	checkOrder(t, requests(proxy, manifests), names, proxy.Host()+"/")
}

// checkOrder checks that children were looked for in every repository before the
// first tag was written, and that tags were written once, in order.
func checkOrder(t *testing.T, list, names []string, host string) {
	t.Helper()
	var puts []string
	first := len(list)
	for i, request := range list {
		if object, ok := strings.CutPrefix(request, "PUT "); ok {
			puts = append(puts, host+strings.Replace(object, " ", ":", 1))
			first = min(first, i)
		}
	}
	if diff := cmp.Diff(names, puts); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	for _, repository := range []string{"me/app", "mirror"} {
		for child := range 2 {
			if request := fmt.Sprintf("HEAD %s child %d", repository, child); !slices.Contains(list[:first], request) {
				t.Errorf("%q is not asked before the first tag is written: %q", request, list)
			}
		}
	}
}

// Case 60: one platform is a plain manifest.
func TestPusherOfOnePlatform(t *testing.T) {
	proxy := registrytest.New(t, registrytest.Memory())
	app := proxy.Host() + "/app"
	manifests := pushed(t, []string{app}, arm64)
	root, err := (&output.Pusher{Registry: newClient(t), Names: []string{app + ":1"}}).Publish(t.Context(), manifests)
	if err != nil {
		t.Fatal(err)
	}
	desc := fetched(t, app+":1")
	if root.Digest != manifests[0].Digest || desc.Digest.String() != root.Digest.String() || string(desc.MediaType) != ocispec.MediaTypeImageManifest {
		t.Errorf("published %s, the tag is %s %s", root.Digest, desc.MediaType, desc.Digest)
	}
	image, err := desc.Image()
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(image); err != nil {
		t.Error(err)
	}
}

// Case 89: what is done and what is not is told, and doing it again finishes.
func TestPusherHalfDone(t *testing.T) {
	good := registrytest.New(t, registrytest.Memory())
	bad := registrytest.New(t, registrytest.Memory())
	app, mirror := good.Host()+"/app", bad.Host()+"/app"
	manifests := pushed(t, []string{app, mirror}, amd64, arm64)
	bad.Add(registrytest.Rule{Method: http.MethodPut, Path: "/manifests/1$", Fault: registrytest.Refuse(http.StatusForbidden, "DENIED", "read only")})
	names := []string{app + ":1", app + ":latest", mirror + ":1", mirror + ":latest"}
	pusher := &output.Pusher{Registry: newClient(t), Names: names}
	_, err := pusher.Publish(t.Context(), manifests)
	var partial *output.PartialError
	if !errors.As(err, &partial) {
		t.Fatalf("error %v", err)
	}
	if diff := cmp.Diff([][]string{names[:2], names[2:]}, [][]string{partial.Done, partial.Left}); diff != "" {
		t.Errorf("done and left (-want +got):\n%s", diff)
	}
	var refused *registry.Error
	if !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
		t.Errorf("the cause is %v", partial.Err)
	}
	for _, want := range []string{
		"Written: " + names[0] + ", " + names[1] + ".", "Not written: " + names[2] + ", " + names[3] + ".", "Run the command again", "read only",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
	bad.Reset()
	root, err := pusher.Publish(t.Context(), manifests)
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range names {
		if got := fetched(t, ref).Digest.String(); got != root.Digest.String() {
			t.Errorf("%s is %s, want %s", ref, got, root.Digest)
		}
	}
}

// When the first name fails nothing is half done.
func TestPusherNothingDone(t *testing.T) {
	proxy := registrytest.New(t, registrytest.Memory())
	app := proxy.Host() + "/app"
	manifests := pushed(t, []string{app}, amd64, arm64)
	proxy.Reset()
	proxy.Add(registrytest.Rule{Method: http.MethodPut, Fault: registrytest.Refuse(http.StatusUnauthorized, "UNAUTHORIZED", "who are you?")})
	_, err := (&output.Pusher{Registry: newClient(t), Names: []string{app + ":1", app + ":2"}}).Publish(t.Context(), manifests)
	var partial *output.PartialError
	if err == nil || errors.As(err, &partial) {
		t.Errorf("error %v", err)
	}
	if n := proxy.Count(http.MethodPut, "/manifests/2$"); n > 0 {
		t.Errorf("the second name was tried %d times", n)
	}
}

// scripted is a registry that cannot be had otherwise.
type scripted struct {
	calls []string
	err   map[string]error
}

func (s *scripted) call(words ...string) error {
	call := strings.Join(words, " ")
	s.calls = append(s.calls, call)
	return s.err[call]
}

func (s *scripted) WaitFor(_ context.Context, ref string, _ ...ocispec.Descriptor) error {
	return s.call("wait for", ref)
}

func (s *scripted) Fetch(_ context.Context, ref string, _ ocispec.Descriptor) ([]byte, error) {
	return []byte("{}"), s.call("fetch from", ref)
}

func (s *scripted) PushManifest(_ context.Context, ref string, _ ocispec.Descriptor, _ []byte) error {
	return s.call("push", ref)
}

func TestPusherFailsEarly(t *testing.T) {
	lost := errors.New("no answer")
	one := blob([]byte("one"))
	one.MediaType, one.Platform = ocispec.MediaTypeImageManifest, &amd64
	two := blob([]byte("two"))
	two.MediaType, two.Platform = ocispec.MediaTypeImageManifest, &arm64
	same := two
	same.Platform = &amd64
	for name, test := range map[string]struct {
		names     []string
		manifests []ocispec.Descriptor
		err       map[string]error
		calls     []string
		want      string
	}{
		"no name":       {nil, []ocispec.Descriptor{one}, nil, nil, "add -t REGISTRY/NAME:TAG"},
		"bad name":      {[]string{"a", "B"}, []ocispec.Descriptor{one}, nil, nil, `reading the name "B"`},
		"no image":      {[]string{"a"}, nil, nil, []string{"wait for docker.io/library/a"}, "the build made no image"},
		"same platform": {[]string{"a"}, []ocispec.Descriptor{one, same}, nil, []string{"wait for docker.io/library/a"}, "linux/amd64"},
		"child missing": {
			[]string{"a", "b"},
			[]ocispec.Descriptor{one, two},
			map[string]error{"wait for docker.io/library/b": lost},
			[]string{"wait for docker.io/library/a", "wait for docker.io/library/b"},
			"no answer",
		},
		"not to be read": {
			[]string{"a:1", "a:2"},
			[]ocispec.Descriptor{one},
			map[string]error{"fetch from a:1": lost},
			[]string{"wait for docker.io/library/a", "fetch from a:1"},
			"no answer",
		},
	} {
		t.Run(name, func(t *testing.T) {
			client := &scripted{err: test.err}
			_, err := (&output.Pusher{Registry: client, Names: test.names}).Publish(t.Context(), test.manifests)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			if diff := cmp.Diff(test.calls, client.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRepositories(t *testing.T) {
	got, err := output.Repositories([]string{"app:1", "ghcr.io/me/app:1", "app:2", "docker.io/library/app", "localhost:5000/app@sha256:" + strings.Repeat("0", 64)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"docker.io/library/app", "ghcr.io/me/app", "localhost:5000/app"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
