package join_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/join"
	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
)

var (
	_ join.Target = (*registry.Client)(nil)
	_ join.Lookup = (*registry.Client)(nil)
)

// backends are the registries that pushes are tested with.
func backends(t *testing.T) map[string]http.Handler {
	return map[string]http.Handler{"memory": registrytest.Memory(), "distribution": registrytest.Distribution(t)}
}

// fill pushes an image or index, and returns it as a source.
func fill(t *testing.T, client *registry.Client, s *store, ref string, root ocispec.Descriptor) join.Source {
	t.Helper()
	if err := client.Copy(t.Context(), ref, s, root); err != nil {
		t.Fatal(err)
	}
	return at(t, client, ref)
}

// at is what is in a registry as a source.
func at(t *testing.T, client *registry.Client, ref string) join.Source {
	t.Helper()
	content, err := client.Source(ref)
	if err != nil {
		t.Fatal(err)
	}
	resolved, err := client.Resolve(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return join.Source{Name: ref, Root: resolved, Content: content}
}

func push(t *testing.T, client *registry.Client, plan *join.Plan, names ...string) error {
	t.Helper()
	tags, err := join.Tags(t.Context(), client, names)
	if err != nil {
		t.Fatal(err)
	}
	return plan.Push(t.Context(), client, client, tags)
}

// checkWhole reads everything below a name.
func checkWhole(t *testing.T, client *registry.Client, ref string, want ocispec.Descriptor) {
	t.Helper()
	got, err := client.Resolve(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if want.Digest != "" && got.Digest != want.Digest {
		t.Fatalf("%s is %s, want %s", ref, got.Digest, want.Digest)
	}
	checkContent(t, client, ref, got)
}

func checkContent(t *testing.T, client *registry.Client, ref string, desc ocispec.Descriptor) {
	t.Helper()
	reader, err := client.Open(t.Context(), ref, desc)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	body, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Manifests, Layers []ocispec.Descriptor
		Config            *ocispec.Descriptor
	}
	if strings.Contains(desc.MediaType, "manifest") || strings.Contains(desc.MediaType, "index") {
		if err := json.Unmarshal(body, &doc); err != nil {
			t.Fatal(err)
		}
	}
	if doc.Config != nil {
		doc.Layers = append(doc.Layers, *doc.Config)
	}
	for _, child := range slices.Concat(doc.Manifests, doc.Layers) {
		checkContent(t, client, ref, child)
	}
}

// puts are the manifests that were written, tags by name and the rest as "digest".
func puts(proxy *registrytest.Proxy) []string {
	var list []string
	for _, r := range proxy.Requests() {
		if r.Method != http.MethodPut || !strings.Contains(r.Path, registrytest.Manifests) {
			continue
		}
		object := r.Path[strings.LastIndexByte(r.Path, '/')+1:]
		if strings.HasPrefix(object, "sha256:") {
			object = "digest"
		}
		list = append(list, object)
	}
	return list
}

func uploads(proxy *registrytest.Proxy) (uploaded, mounted int) {
	for _, r := range proxy.Requests() {
		switch {
		case r.Method == http.MethodPost && strings.Contains(r.Query, "mount=") && r.Status == http.StatusCreated:
			mounted++
		case r.Method == http.MethodPut && strings.Contains(r.Path, registrytest.Uploads) && r.Status == http.StatusCreated:
			uploaded++
		}
	}
	return uploaded, mounted
}

// TestPushElsewhere is case 64: images of two registries and a store become an index
// in two repositories of a third one. Every blob is sent once and mounted then; tags
// are written last.
func TestPushElsewhere(t *testing.T) {
	for name, backend := range backends(t) {
		t.Run(name, func(t *testing.T) {
			client, s := newClient(t), newStore()
			from, also := registrytest.New(t, registrytest.Memory()), registrytest.New(t, registrytest.Distribution(t))
			amd64 := s.image(t, "linux/amd64", "")
			attested := s.index(t, nil, listed(t, amd64, "linux/amd64"), s.attestation(t, amd64))
			plan := mustJoin(t, join.Options{},
				fill(t, client, s, from.Host()+"/a:amd64", attested),
				fill(t, client, s, also.Host()+"/b:arm64", s.image(t, "linux/arm64", "")),
				s.source("kept", s.image(t, "linux/s390x", "")))

			to := registrytest.New(t, backend)
			first, second := to.Host()+"/all:1", to.Host()+"/mirror/all:1"
			if err := push(t, client, plan, first, second, to.Host()+"/all:latest", first); err != nil {
				t.Fatal(err)
			}
			for _, ref := range []string{first, second, to.Host() + "/all:latest"} {
				checkWhole(t, client, ref, plan.Root)
			}
			want := []string{"digest", "digest", "digest", "digest", "digest", "digest", "digest", "digest", "1", "1", "latest"}
			if diff := cmp.Diff(want, puts(to)); diff != "" {
				t.Errorf("manifests were put in another order: %s", diff)
			}
			uploaded, mounted := uploads(to)
			// Three images with a layer and a config each, the shared layer, the
			// attestation's config and statement.
			if uploaded != 9 || mounted != 9 && name == "distribution" {
				t.Errorf("%d blobs were sent and %d mounted, want 9 of each", uploaded, mounted)
			}
		})
	}
}

// TestPushWithin is case 64 within one registry: nothing is moved, all is mounted.
func TestPushWithin(t *testing.T) {
	client, s := newClient(t), newStore()
	proxy := registrytest.New(t, registrytest.Distribution(t))
	plan := mustJoin(t, join.Options{},
		fill(t, client, s, proxy.Host()+"/x-amd64:1", s.image(t, "linux/amd64", "")),
		fill(t, client, s, proxy.Host()+"/y-arm64:1", s.image(t, "linux/arm64", "")))
	proxy.Reset()
	if err := push(t, client, plan, proxy.Host()+"/all:1"); err != nil {
		t.Fatal(err)
	}
	checkWhole(t, client, proxy.Host()+"/all:1", plan.Root)
	if uploaded, mounted := uploads(proxy); uploaded != 0 || mounted != 5 {
		t.Errorf("%d blobs were sent and %d mounted, want 0 and 5", uploaded, mounted)
	}
}

// TestPushAgain is case 55: what is there already is success, also if tags are
// immutable; another index is refused with a reason.
func TestPushAgain(t *testing.T) {
	client, s := newClient(t), newStore()
	proxy := registrytest.New(t, registrytest.Memory())
	proxy.Add(registrytest.Rule{Fault: registrytest.Immutable()})
	ref := proxy.Host() + "/all:1"
	plan := mustJoin(t, join.Options{}, s.source("a", s.image(t, "linux/amd64", "")), s.source("b", s.image(t, "linux/arm64", "")))
	for range 2 {
		if err := push(t, client, plan, ref); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"digest", "digest", "1"}, puts(proxy)); diff != "" {
		t.Errorf("the second push wrote: %s", diff)
	}
	other := mustJoin(t, join.Options{}, s.source("a", s.image(t, "linux/amd64", "")))
	var described *registry.Error
	if err := push(t, client, other, ref); !errors.As(err, &described) || !strings.Contains(described.Hint, "push under a new tag") {
		t.Errorf("got %v", err)
	}
	checkWhole(t, client, ref, plan.Root)
	// A joined index, joined alone, is itself.
	again := mustJoin(t, join.Options{}, at(t, client, ref))
	if again.Root.Digest != plan.Root.Digest {
		t.Error("joining what was joined gave something else")
	}
}

// TestPushFaults: registries in trouble are waited for (cases 75, 76, 84, 85).
func TestPushFaults(t *testing.T) {
	tests := map[string]registrytest.Rule{
		"429 on the tag":         {Method: "PUT", Path: "/manifests/1$", Times: 2, Fault: registrytest.Status(429, "", "Retry-After", "1")},
		"reset of a blob":        {Method: "PUT", Path: registrytest.Uploads, Times: 1, Fault: registrytest.Reset(10)},
		"504 of a stored tag":    {Method: "PUT", Path: "/manifests/1$", Times: 1, Fault: registrytest.Stored(504)},
		"reset after the tag":    {Method: "PUT", Path: "/manifests/1$", Times: 1, Fault: registrytest.StoredReset()},
		"409 on repeated PUTs":   {Fault: registrytest.Once()},
		"children show up late":  {Method: "HEAD", Path: registrytest.Manifests + "sha256", Skip: 2, Times: 2, Fault: registrytest.Status(404, "")},
		"the tag shows up late":  {Method: "GET", Path: "/manifests/1$", Times: 1, Fault: registrytest.Status(404, "")},
		"children unknown a bit": {Method: "PUT", Path: "/manifests/1$", Times: 1, Fault: registrytest.Refuse(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown")},
	}
	for name, rule := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // some of them have to wait
			client, s := newClient(t), newStore()
			proxy := registrytest.New(t, registrytest.Memory())
			proxy.Add(rule)
			plan := mustJoin(t, join.Options{}, s.source("a", s.image(t, "linux/amd64", "")), s.source("b", s.image(t, "linux/arm64", "")))
			if err := push(t, client, plan, proxy.Host()+"/all:1"); err != nil {
				t.Fatal(err)
			}
			proxy.Reset()
			checkWhole(t, client, proxy.Host()+"/all:1", plan.Root)
		})
	}
}

// TestPushFails: a registry that fails leaves no tag anywhere (cases 54, 77), unless
// it fails at the tag; then the error says which are written (case 89).
func TestPushFails(t *testing.T) {
	join2 := func(t *testing.T, rule registrytest.Rule) (good, bad *registrytest.Proxy, err error) {
		client, s := newClient(t), newStore()
		good, bad = registrytest.New(t, registrytest.Memory()), registrytest.New(t, registrytest.Memory())
		bad.Add(rule)
		plan := mustJoin(t, join.Options{}, s.source("a", s.image(t, "linux/amd64", "")), s.source("b", s.image(t, "linux/arm64", "")))
		return good, bad, push(t, client, plan, good.Host()+"/all:1", bad.Host()+"/all:1")
	}
	good, bad, err := join2(t, registrytest.Rule{Method: "PUT", Path: "/manifests/sha256", Fault: registrytest.Refuse(403, "DENIED", "not you")})
	wantError(t, err, false, "copying linux/", " of ", bad.Host()+"/all", "not you")
	if slices.Contains(puts(good), "1") {
		t.Error("a tag was written although another registry lacks the images")
	}
	var partial *join.PartialError
	good, bad, err = join2(t, registrytest.Rule{Method: "PUT", Path: "/manifests/1$", Fault: registrytest.Refuse(403, "DENIED", "not you")})
	wantError(t, err, false, "not you", "Written: "+good.Host()+"/all:1.", "Not written: "+bad.Host()+"/all:1.", "again")
	if !errors.As(err, &partial) || !errors.As(err, new(*registry.Error)) {
		t.Errorf("got %T", err)
	}
}

// TestDamagedSource: content that arrives damaged is asked for again, and never
// joined.
func TestDamagedSource(t *testing.T) {
	s := newStore()
	proxy := registrytest.New(t, registrytest.Memory())
	root := s.index(t, nil, listed(t, s.image(t, "linux/amd64", ""), "linux/amd64"))
	source := fill(t, newClient(t), s, proxy.Host()+"/a:1", root)
	damage := registrytest.Rule{Method: "GET", Path: registrytest.Manifests, Times: 1, Fault: registrytest.Flip()}
	proxy.Add(damage)
	mustJoin(t, join.Options{}, source)
	damage.Times = 0
	proxy.Add(damage)
	if _, err := join.New(t.Context(), []join.Source{source}, join.Options{}); !errors.Is(err, registry.ErrDigest) {
		t.Errorf("got %v, want ErrDigest", err)
	}
}

// TestGoneChild is case 83: an index whose untagged child was cleaned away.
func TestGoneChild(t *testing.T) {
	client, s := newClient(t), newStore()
	proxy := registrytest.New(t, registrytest.Memory())
	arm64 := listed(t, s.image(t, "linux/arm64", ""), "linux/arm64")
	source := fill(t, client, s, proxy.Host()+"/a:1", s.index(t, nil, listed(t, s.image(t, "linux/amd64", ""), "linux/amd64"), arm64))
	proxy.Add(registrytest.Rule{Path: arm64.Digest.Encoded(), Fault: registrytest.Refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")})
	_, err := join.New(t.Context(), []join.Source{source}, join.Options{})
	wantError(t, err, false, "linux/arm64", source.Name, "cleanup of untagged images", "push it again")
	if !errors.As(err, new(*registry.Error)) {
		t.Errorf("got %T", err)
	}
}

// TestMovedMeanwhile is case 56: somebody else writes the tag while we join.
func TestMovedMeanwhile(t *testing.T) {
	client, s := newClient(t), newStore()
	proxy := registrytest.New(t, registrytest.Memory())
	ref := proxy.Host() + "/all:1"
	var log bytes.Buffer
	plan := mustJoin(t, join.Options{Logger: logTo(&log)}, s.source("a", s.image(t, "linux/amd64", "")))
	tags, err := join.Tags(t.Context(), client, []string{ref})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, client, s, ref, s.image(t, "linux/arm64", "other"))
	if err := plan.Push(t.Context(), client, client, tags); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "somebody else wrote this tag meanwhile") || !strings.Contains(log.String(), ref) {
		t.Errorf("no warning: %s", log.String())
	}
	checkWhole(t, client, ref, plan.Root)
}

func TestTags(t *testing.T) {
	client, s := newClient(t), newStore()
	proxy := registrytest.New(t, registrytest.Memory())
	known := fill(t, client, s, proxy.Host()+"/a:latest", s.image(t, "linux/amd64", ""))
	tags, err := join.Tags(t.Context(), client, []string{proxy.Host() + "/a", proxy.Host() + "/a:2", proxy.Host() + "/a:latest"})
	if err != nil || len(tags) != 2 || tags[0].Before != known.Root.Digest || tags[1].Before != "" {
		t.Errorf("got %+v, %v", tags, err)
	}
	proxy.Add(registrytest.Rule{Fault: registrytest.Refuse(403, "DENIED", "no such package")})
	if tags, err := join.Tags(t.Context(), client, []string{proxy.Host() + "/a"}); err != nil || tags[0].Before != "" {
		t.Errorf("a repository that nobody may ask about: got %+v, %v", tags, err)
	}
	for _, bad := range []string{"a/UPPER", "https://x/y", "x@sha256:" + strings.Repeat("0", 64), ""} {
		_, err := join.Tags(t.Context(), client, []string{bad})
		wantError(t, err, true, "REGISTRY/NAME:TAG")
	}
}

func TestPreview(t *testing.T) {
	client, s := newClient(t), newStore()
	proxy := registrytest.New(t, registrytest.Distribution(t))
	there := fill(t, client, s, proxy.Host()+"/all:amd64", s.image(t, "linux/amd64", ""))
	plan := mustJoin(t, join.Options{}, there, s.source("b", s.image(t, "linux/arm64", "")))
	tags, err := join.Tags(t.Context(), client, []string{proxy.Host() + "/all:1", proxy.Host() + "/new:1"})
	if err != nil {
		t.Fatal(err)
	}
	proxy.Reset()
	transfers, err := plan.Preview(t.Context(), client, tags)
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, transfer := range transfers {
		got = append(got, len(transfer.Missing))
	}
	// The layer that both share is there, and is counted once where it is not.
	if diff := cmp.Diff([]int{0, 3, 4, 3}, got); diff != "" {
		t.Error(diff)
	}
	if n := proxy.Count("P(UT|OST)", ""); n != 0 || len(puts(proxy)) != 0 {
		t.Errorf("a preview wrote %d times", n)
	}
}

// TestForeignLayers is case 70: a layer that stays elsewhere is not looked for.
func TestForeignLayers(t *testing.T) {
	client, s := newClient(t), newStore()
	config := s.addJSON(t, ocispec.MediaTypeImageConfig, ocispec.Image{Platform: parse(t, "windows/amd64")})
	foreign := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageLayerNonDistributable, //nolint:staticcheck // there are images that have them
		Digest:    config.Digest.Algorithm().FromString("elsewhere"), Size: 9, URLs: []string{"https://example.com/layer"},
	}
	image := s.addJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{foreign},
	})
	proxy := registrytest.New(t, registrytest.Memory())
	plan := mustJoin(t, join.Options{}, s.source("a", image))
	tags, err := join.Tags(t.Context(), client, []string{proxy.Host() + "/all:1"})
	if err != nil {
		t.Fatal(err)
	}
	transfers, err := plan.Preview(t.Context(), client, tags)
	if err != nil || len(transfers) != 1 || len(transfers[0].Missing) != 2 {
		t.Errorf("got %+v, %v", transfers, err)
	}
	if err := plan.Push(t.Context(), client, client, tags); err != nil {
		t.Fatal(err)
	}
	if n := proxy.Count("", foreign.Digest.Encoded()); n != 0 {
		t.Errorf("the layer was asked for %d times", n)
	}
}
