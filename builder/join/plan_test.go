package join_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/builder/join"
	"github.com/mabuild/mabuild/builder/registry"
)

// TestPlainImages: the platform of a manifest is that of its config.
func TestPlainImages(t *testing.T) {
	s := newStore()
	amd64, arm := s.image(t, "linux/amd64", ""), s.image(t, "linux/arm/v6", "")
	plan := mustJoin(t, join.Options{}, s.source("a", amd64), s.source("b", arm))
	if diff := cmp.Diff([]string{"linux/amd64", "linux/arm/v6"}, shape(t, plan)); diff != "" {
		t.Error(diff)
	}
	if plan.Root.MediaType != ocispec.MediaTypeImageIndex {
		t.Errorf("the index is %s", plan.Root.MediaType)
	}
	again := mustJoin(t, join.Options{}, s.source("other name", amd64), s.source("b", arm))
	if again.Root.Digest != plan.Root.Digest || !bytes.Equal(again.Body, plan.Body) {
		t.Error("the same images gave another index")
	}
}

// TestIndexes is cases 58 and 61: sources that are indexes with attestations become
// one flat index, and every attestation comes with its image.
func TestIndexes(t *testing.T) {
	s := newStore()
	amd64, arm64 := s.image(t, "linux/amd64", ""), s.image(t, "linux/arm64", "")
	aboutAMD64, aboutARM64 := s.attestation(t, amd64), s.attestation(t, arm64)
	one := s.index(t, nil, aboutAMD64, listed(t, amd64, "linux/amd64")) // in an odd order
	two := s.index(t, nil, listed(t, arm64, "linux/arm64"), aboutARM64)
	want := []string{"linux/amd64", "linux/arm64", "attests " + amd64.Digest.String(), "attests " + arm64.Digest.String()}

	tests := map[string][]join.Source{
		"two indexes":          {s.source("one", one), s.source("two", two)},
		"nested":               {s.source("both", s.index(t, nil, one, two))},
		"nested beside images": {s.source("both", s.index(t, nil, listed(t, amd64, "linux/amd64"), two)), s.source("one", one)},
		"twice the same":       {s.source("one", one), s.source("two", two), s.source("one again", one)},
		"twice nested":         {s.source("deep", s.index(t, nil, s.index(t, nil, one), two))},
	}
	for name, sources := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, shape(t, mustJoin(t, join.Options{}, sources...))); diff != "" {
				t.Error(diff)
			}
		})
	}
	chosen := mustJoin(t, join.Options{}, s.source("both", s.index(t, nil, one, two), parse(t, "linux/arm64/v8")))
	if diff := cmp.Diff([]string{want[1], want[3]}, shape(t, chosen)); diff != "" {
		t.Errorf("a chosen platform: %s", diff)
	}
}

// TestReplace is case 65: a platform is replaced by leaving out the old one, and never
// appended.
func TestReplace(t *testing.T) {
	s := newStore()
	amd64, old, renewed := s.image(t, "linux/amd64", ""), s.image(t, "linux/arm64", "old"), s.image(t, "linux/arm64", "new")
	all := s.index(t, nil, listed(t, amd64, "linux/amd64"), listed(t, old, "linux/arm64/v8"))
	_, err := join.New(t.Context(), []join.Source{s.source("app:1", all), s.source("app:new", renewed)}, join.Options{})
	wantError(t, err, true, "linux/arm64", "app:1 (sha256:"+old.Digest.Encoded()[:12], "app:new (sha256:"+renewed.Digest.Encoded()[:12], "PLATFORM=SOURCE")

	plan := mustJoin(t, join.Options{}, s.source("app:1", all, parse(t, "linux/amd64")), s.source("app:new", renewed))
	if plan.Images[1].Descriptor.Digest != renewed.Digest || len(plan.Images) != 2 {
		t.Errorf("got %v", shape(t, plan))
	}
}

// TestRefusals: what is wrong with a source names it and its platform. The flag tells
// what other arguments repair.
func TestRefusals(t *testing.T) {
	s := newStore()
	amd64, arm64 := s.image(t, "linux/amd64", ""), s.image(t, "linux/arm64", "")
	artifact := s.addJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, Config: s.add("application/vnd.cncf.helm.config.v1+json", []byte("{}")),
	})
	nameless := s.image(t, "", "")
	gone := listed(t, amd64, "linux/s390x")
	gone.Digest = digest.Digest("sha256:" + strings.Repeat("0", 64))
	deep := s.index(t, nil, listed(t, amd64, "linux/amd64"))
	for range 3 {
		deep = s.index(t, nil, deep)
	}
	forged := amd64
	forged.Size++
	other := s.attestation(t, arm64)
	alone := other
	alone.Annotations, alone.Platform = nil, nil // as a registry resolves it
	tests := map[string]struct {
		root   ocispec.Descriptor
		only   []ocispec.Platform
		choice bool
		parts  []string
	}{
		"a lie (case 62)": {
			root:  s.index(t, nil, listed(t, amd64, "linux/arm64")),
			parts: []string{amd64.Digest.String(), "SOURCE", "listed as linux/arm64", "config is for linux/amd64", "build it again"},
		},
		"a lie about the variant": {
			root:  s.index(t, nil, listed(t, s.image(t, "linux/arm/v7", ""), "linux/arm/v6")),
			parts: []string{"listed as linux/arm/v6", "config is for linux/arm/v7"},
		},
		"one image for two platforms": {
			root:  s.index(t, nil, listed(t, amd64, "linux/amd64"), listed(t, amd64, "linux/amd64/v3")),
			parts: []string{"one image has one platform"},
		},
		"dangling attestation (case 61)": {
			root:  s.index(t, nil, listed(t, amd64, "linux/amd64"), other),
			parts: []string{"attestation " + other.Digest.String(), "SOURCE", "about an image that isn't there", "join the images themselves"},
		},
		"artifact":              {root: artifact, parts: []string{"helm.config", "no image", "leave it out"}},
		"attestation alone":     {root: alone, parts: []string{"attestation", "name the index"}},
		"no platform":           {root: nameless, parts: []string{"names no platform", "build it"}},
		"deep":                  {root: deep, parts: []string{"nested more than 3 times", "name the inner ones"}},
		"missing child":         {root: s.index(t, nil, gone), parts: []string{"linux/s390x", "SOURCE", "has no sha256:000"}},
		"damaged":               {root: forged, parts: []string{"SOURCE", "doesn't match its digest", "copy it there again"}},
		"no image":              {root: s.add("application/json", []byte("{}")), parts: []string{"neither an image nor an index"}},
		"broken index":          {root: s.add(ocispec.MediaTypeImageIndex, []byte(`{"schemaVersion":2}`)), parts: []string{"no list of manifests"}},
		"empty index":           {root: s.index(t, nil), choice: true, parts: []string{"no image"}},
		"platform it lacks":     {root: s.index(t, nil, listed(t, amd64, "linux/amd64")), only: []ocispec.Platform{parse(t, "linux/arm64")}, choice: true, parts: []string{"SOURCE has no linux/arm64", "it has linux/amd64", "choose"}},
		"platform of one image": {root: amd64, only: []ocispec.Platform{parse(t, "linux/arm64")}, choice: true, parts: []string{"SOURCE has no linux/arm64"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			source := s.source("SOURCE", test.root, test.only...)
			_, err := join.New(t.Context(), []join.Source{source}, join.Options{})
			wantError(t, err, test.choice, test.parts...)
		})
	}
	if _, err := join.New(t.Context(), []join.Source{s.source("SOURCE", forged)}, join.Options{}); !errors.Is(err, registry.ErrDigest) {
		t.Errorf("got %v, want ErrDigest", err)
	}
}

func wantError(t *testing.T, err error, choice bool, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("got no error")
	}
	if got := errors.Is(err, join.ErrSources); got != choice {
		t.Errorf("matches ErrSources: %v, want %v: %v", got, choice, err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %q", part, err)
		}
	}
}

// TestPlatforms: an entry is completed by the config, and believed where the config
// says less.
func TestPlatforms(t *testing.T) {
	tests := []struct{ listed, config, want string }{
		{"linux/arm64", "linux/arm64/v8", "linux/arm64"},
		{"linux/arm64/v8", "linux/arm64", "linux/arm64/v8"},
		{"linux/arm", "linux/arm/v7", "linux/arm/v7"},
		{"linux/arm", "linux/arm/v6", "linux/arm/v6"},
		{"linux/arm/v6", "linux/arm", "linux/arm/v6"},
		{"linux/amd64/v3", "linux/amd64", "linux/amd64/v3"},
		{"windows/amd64", "windows(10.0.20348.1)/amd64", "windows(10.0.20348.1)/amd64"},
		{"windows(10.0.20348.1)/amd64", "windows(10.0.20348.1)/amd64", "windows(10.0.20348.1)/amd64"},
	}
	for _, test := range tests {
		t.Run(test.listed+" "+test.config, func(t *testing.T) {
			s := newStore()
			entry := s.image(t, test.config, "")
			platform := raw(t, test.listed)
			entry.Platform = &platform
			plan := mustJoin(t, join.Options{}, s.source("s", s.index(t, nil, entry)))
			if got := plan.Images[0].Platform(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// raw is a platform that is not normalised.
func raw(t *testing.T, text string) ocispec.Platform {
	t.Helper()
	platform := parse(t, text)
	platform.Variant = ""
	if parts := strings.Split(text, "/"); len(parts) == 3 {
		platform.Variant = parts[2]
	}
	return platform
}

// TestMediaTypes is case 67.
func TestMediaTypes(t *testing.T) {
	s := newStore()
	docker, oci := s.dockerImage(t, "linux/amd64", ""), s.image(t, "linux/arm64", "")
	var log bytes.Buffer
	plan := mustJoin(t, join.Options{Logger: logTo(&log)}, s.source("d", docker), s.source("o", oci))
	if plan.Root.MediaType != ocispec.MediaTypeImageIndex || !strings.Contains(log.String(), "Docker's and OCI's") {
		t.Errorf("mixed: %s, %s", plan.Root.MediaType, log.String())
	}
	log.Reset()
	plan = mustJoin(t, join.Options{Logger: logTo(&log)}, s.source("d", docker), s.source("e", s.dockerImage(t, "linux/s390x", "")))
	if plan.Root.MediaType != index.MediaTypeDockerManifestList || log.Len() > 0 {
		t.Errorf("Docker's: %s, %s", plan.Root.MediaType, log.String())
	}
	annotated := s.index(t, map[string]string{"a": "b"}, listed(t, docker, "linux/amd64"))
	plan = mustJoin(t, join.Options{Logger: logTo(&log)}, s.source("d", annotated))
	if plan.Root.MediaType != index.MediaTypeDockerManifestList || !strings.Contains(log.String(), "can't hold them") {
		t.Errorf("an OCI index of Docker's images: %s, %s", plan.Root.MediaType, log.String())
	}
}

// TestAnnotations is case 71: annotations survive, and can be set.
func TestAnnotations(t *testing.T) {
	s := newStore()
	entry := listed(t, s.image(t, "linux/amd64", ""), "linux/amd64")
	entry.Annotations = map[string]string{"entry": "kept"}
	one := s.index(t, map[string]string{"source": "url", "created": "noon", "title": "old"}, entry)
	two := s.index(t, map[string]string{"source": "url", "created": "one"}, listed(t, s.image(t, "linux/arm64", ""), "linux/arm64"))
	var opts join.Options
	for _, spec := range []string{"title=new", "index:equals=a=b", "empty=", "manifest-descriptor:all=x", "manifest-descriptor[linux/arm64]:arm=y", "org.example[x]:y=z"} {
		annotation, err := join.ParseAnnotation(spec)
		if err != nil {
			t.Fatal(err)
		}
		opts.Annotations = append(opts.Annotations, annotation)
	}
	var log bytes.Buffer
	opts.Logger = logTo(&log)
	plan := mustJoin(t, opts, s.source("one", one), s.source("two", two))
	parsed, err := index.Parse("", plan.Body)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"source": "url", "title": "new", "equals": "a=b", "empty": "", "org.example[x]:y": "z"}
	if diff := cmp.Diff(want, parsed.Annotations); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(log.String(), "annotations=created") {
		t.Errorf("no warning about what was left out: %s", log.String())
	}
	for i, want := range []map[string]string{{"entry": "kept", "all": "x"}, {"all": "x", "arm": "y"}} {
		if diff := cmp.Diff(want, parsed.Manifests[i].Annotations); diff != "" {
			t.Errorf("entry %d: %s", i, diff)
		}
	}
	opts.Annotations = []join.Annotation{{Entries: true, Platform: &ocispec.Platform{OS: "linux", Architecture: "s390x"}, Key: "k"}}
	_, err = join.New(t.Context(), []join.Source{s.source("one", one)}, opts)
	wantError(t, err, true, "linux/s390x", "none of the sources")
}

func TestParseAnnotationErrors(t *testing.T) {
	for spec, part := range map[string]string{
		"key":                          "write KEY=VALUE",
		"=value":                       "no name",
		"index:=value":                 "no name",
		"manifest:k=v":                 "joining changes no image",
		"manifest[linux/amd64]:k=v":    "joining changes no image",
		"index-descriptor:k=v":         "joining changes no image",
		"index[linux/amd64]:k=v":       "manifest-descriptor[linux/amd64]:",
		"nowhere:k=v":                  `no place "nowhere"`,
		"manifest-descriptor[..]:k=v":  "like linux/arm64",
		"manifest-descriptor[a/b]:k=v": "",
	} {
		_, err := join.ParseAnnotation(spec)
		if part == "" {
			continue // any platform in shape
		}
		if !errors.Is(err, join.ErrSources) || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: got %v, want %q", spec, err, part)
		}
	}
}

// FuzzNew reads hostile indexes. It must end, and what it accepts is a flat index.
func FuzzNew(f *testing.F) {
	s := newStore()
	image := s.image(f, "linux/amd64", "")
	entry := listed(f, image, "linux/amd64")
	s.index(f, nil, entry, s.attestation(f, image))
	s.index(f, nil, s.index(f, nil, entry), entry)
	for _, body := range s.content {
		f.Add(string(body))
	}
	f.Fuzz(func(t *testing.T, body string) {
		own := newStore()
		for d, content := range s.content {
			own.content[d] = content
		}
		for _, mediaType := range []string{ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest} {
			plan, err := join.New(t.Context(), []join.Source{own.source("fuzz", own.add(mediaType, []byte(body)))}, join.Options{})
			if err != nil {
				continue
			}
			parsed, err := index.Parse(plan.Root.MediaType, plan.Body)
			if err != nil || len(parsed.Manifests) < len(plan.Images) {
				t.Errorf("accepted %q as %q: %v", body, plan.Body, err)
			}
			if slices.ContainsFunc(parsed.Manifests, func(d ocispec.Descriptor) bool { return d.Platform == nil }) {
				t.Errorf("an entry of %q has no platform", plan.Body)
			}
		}
	})
}
