package shard_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/builder/registry"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
	"github.com/mabuild/mabuild/builder/shard"
)

func TestNewRefuses(t *testing.T) {
	s := newSite(t, registrytest.Memory())
	tests := []struct {
		name   string
		change func(*shard.Options)
		want   string
	}{
		{"no registry", func(o *shard.Options) { o.Registry = nil }, "need a registry client"},
		{"no run", func(o *shard.Options) { o.Run = " " }, "such as $GITHUB_RUN_ID"},
		{"long run", func(o *shard.Options) { o.Run = strings.Repeat("1", 257) }, "give a shorter one"},
		{"unprintable run", func(o *shard.Options) { o.Run = "1\n2" }, `the run id "1\n2" has characters`},
		{"no name", func(o *shard.Options) { o.Names = nil }, "add -t REGISTRY/NAME:TAG"},
		{"bad name", func(o *shard.Options) { o.Names = []string{"UPPER"} }, `reading the name "UPPER"`},
		{"digest", func(o *shard.Options) { o.Names = []string{"app@sha256:" + strings.Repeat("0", 64)} }, "has a digest"},
		{"no platforms", func(o *shard.Options) { o.Platforms = nil }, "name all platforms of the image"},
		{"platform twice", func(o *shard.Options) {
			o.Platforms = []ocispec.Platform{arm64, {OS: "linux", Architecture: "arm64", Variant: "v8"}}
		}, "the platform linux/arm64 twice"},
		{"one tag for two", func(o *shard.Options) {
			o.Platforms = []ocispec.Platform{{OS: "linux", Architecture: "a-b"}, {OS: "linux-a", Architecture: "b"}}
		}, "the platforms linux/a-b and linux-a/b have the same staging tag"},
		{"own annotation", func(o *shard.Options) { o.Annotations = map[string]string{"dev.mabuild.shard.run": "1"} }, "is mabuild's own"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opts := s.options()
			test.change(&opts)
			if _, err := shard.New(opts); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if n := len(s.Requests()); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

func TestAnnounceRefuses(t *testing.T) {
	image, attested := buildImage(amd64, "1", false).descs[0], buildImage(amd64, "2", true).descs
	with := func(change func(*ocispec.Descriptor)) []ocispec.Descriptor {
		desc := image
		change(&desc)
		return []ocispec.Descriptor{desc}
	}
	tests := []struct {
		name      string
		manifests []ocispec.Descriptor
		want      string
	}{
		{"nothing", nil, "has no image to announce"},
		{"no platform", with(func(d *ocispec.Descriptor) { d.Platform = nil }), "its descriptor has no platform"},
		{"other platform", buildImage(ocispec.Platform{OS: "linux", Architecture: "s390x"}, "1", false).descs, "linux/s390x isn't one of the plan's, which are linux/amd64,linux/arm64"},
		{"platform twice", []ocispec.Descriptor{image, attested[0]}, `the platform "linux/amd64" already belongs to`},
		{"lone attestation", attested[1:], "that it attests isn't there"},
		{"index", with(func(d *ocispec.Descriptor) { d.MediaType = ocispec.MediaTypeImageIndex }), "it is an index itself"},
		{"no digest", with(func(d *ocispec.Descriptor) { d.Digest = "sha256:1" }), "announcing linux/amd64"},
		{"annotations on Docker's", with(func(d *ocispec.Descriptor) { d.MediaType = index.MediaTypeDockerManifest }), "can't hold annotations"},
	}
	s := newSite(t, registrytest.Memory())
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opts := s.options()
			opts.Annotations = map[string]string{"a": "b"}
			err := newMeeting(t, opts).Announce(t.Context(), test.manifests)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if n := len(s.Requests()); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

// Row 32 of the fault table: a shard of another plan is refused before it writes.
func TestOtherPlan(t *testing.T) {
	tests := []struct {
		name   string
		change func(*shard.Options)
		want   []string
	}{
		{"fact", func(o *shard.Options) {
			o.Plan = shard.Plan{"the Dockerfile": "FROM scratch", "the build arguments": "VERSION=2"}
		}, []string{"the build arguments"}},
		{"two facts", func(o *shard.Options) {
			o.Plan = shard.Plan{"the Dockerfile": "FROM busybox", "the build arguments": ""}
		}, []string{"the Dockerfile", "the build arguments"}},
		{"one more", func(o *shard.Options) {
			o.Plan = shard.Plan{"the Dockerfile": "FROM scratch", "the build arguments": "VERSION=1", "the target": "app"}
		}, []string{"the target"}},
		{"one less", func(o *shard.Options) { o.Plan = shard.Plan{"the Dockerfile": "FROM scratch"} }, []string{"the version of mabuild"}},
		{"platforms", func(o *shard.Options) { o.Platforms = []ocispec.Platform{arm64, amd64} }, []string{"the list of platforms (linux/amd64,linux/arm64 instead of linux/arm64,linux/amd64)"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, registrytest.Memory())
			s.announce(t, s.options(), buildImage(amd64, "1", false))
			opts := s.options()
			test.change(&opts)
			other := newMeeting(t, opts)
			manifests := s.push(t, buildImage(arm64, "1", false))
			writes := s.Count("PUT", "")
			_, lookErr := other.Look(t.Context())
			_, waitErr := other.Wait(t.Context())
			for does, err := range map[string]error{
				"looking": lookErr, "announcing": other.Announce(t.Context(), manifests), "waiting": waitErr,
			} {
				var refused *shard.PlanError
				if !errors.As(err, &refused) {
					t.Errorf("%s: got %v", does, err)
					continue
				}
				if !cmp.Equal(refused.Differs, test.want) || !cmp.Equal(refused.Platform, amd64) {
					t.Errorf("%s: got %+v", does, refused)
				}
			}
			if s.Count("PUT", "") != writes || s.resolve(t, s.name) != "" {
				t.Error("something was written")
			}
		})
	}
}

// Two shards of different plans that didn't see each other make nothing.
func TestOtherPlanAtOnce(t *testing.T) {
	s := newSite(t, registrytest.Memory())
	other := s.unseen(t)
	publisher := shard.Publisher{Meeting: newMeeting(t, s.options())}
	_, err := publisher.Publish(t.Context(), s.push(t, buildImage(amd64, "1", false)))
	var refused *shard.PlanError
	if !errors.As(err, &refused) {
		t.Errorf("the one got %v", err)
	}
	if _, err = other.Wait(t.Context()); !errors.As(err, &refused) {
		t.Errorf("the other got %v", err)
	}
	const want = "linux/amd64 was announced by a shard of another plan (%s): the Dockerfile differs; give all shards the same arguments and start a new run"
	if text := fmt.Sprintf(want, other.Tags()[0]); err.Error() != text {
		t.Errorf("got  %s\nwant %s", err, text)
	}
	if s.resolve(t, s.name) != "" {
		t.Error("the image is there")
	}
}

// What is under a staging tag can be anything.
func TestForeignAnnouncements(t *testing.T) {
	s := newSite(t, registrytest.Memory())
	image := buildImage(amd64, "1", false)
	s.announce(t, s.options(), image)
	tag := newMeeting(t, s.options()).Tags()[0]
	desc, err := s.client.Resolve(t.Context(), tag)
	if err != nil {
		t.Fatal(err)
	}
	genuine, err := s.client.Fetch(t.Context(), tag, desc)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, replacement string) string {
		if !strings.Contains(string(genuine), old) {
			t.Fatalf("%s has no %s", genuine, old)
		}
		return strings.Replace(string(genuine), old, replacement, 1)
	}
	entry := genuine[strings.Index(string(genuine), "{\n      \"mediaType"):strings.Index(string(genuine), "\n  ],")]
	tests := []struct{ name, body, want string }{
		{"an image", string(image.bodies[0]), "it has the fields of an image manifest"},
		{"an index", replace(`"dev.mabuild.shard.version": "1"`, `"x": "y"`), "it isn't the announcement of a shard"},
		{"later version", replace(`version": "1"`, `version": "2"`), "build all shards with the same mabuild"},
		{"another run", replace(`run": "17"`, `run": "18"`), `of the run "18" instead of linux/amd64 of the run "17"`},
		{"another platform", replace(`platform": "linux/amd64"`, `platform": "linux/arm64"`), "it is for linux/arm64, but the image is for linux/amd64"},
		{"no platform", replace(`platform": "linux/amd64"`, `platform": ""`), "reading its platform"},
		{"no platforms", replace(`platforms": "linux/amd64,linux/arm64"`, `platforms": "linux/amd64,"`), "reading its list of platforms"},
		{"long list", replace(`platforms": "`, `platforms": "`+strings.Repeat("linux/amd64,", 1000)), "its list of platforms has 120"},
		{"no plan", replace(`plan": "{`, `plan": "[`), "reading its plan"},
		{"no image", replace(string(entry), ""), "there is no image among them"},
		{"two images", replace(string(entry), string(entry)+","+strings.ReplaceAll(strings.Replace(string(entry), "amd64", "s390x", 1), image.descs[0].Digest.String(), "sha256:"+strings.Repeat("0", 64))), "more than one image for one platform"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, lenient(registrytest.Memory()))
			tag := newMeeting(t, s.options()).Tags()[0]
			mediaType := ocispec.MediaTypeImageIndex
			if test.name == "an image" {
				mediaType = ocispec.MediaTypeImageManifest
			}
			s.put(t, tag, mediaType, []byte(test.body))
			err := newMeeting(t, s.options()).Announce(t.Context(), s.push(t, buildImage(arm64, "1", false)))
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), tag) || !strings.Contains(strings.ToLower(err.Error()), "remove that tag") {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if s.Count("PUT", "/mabuild-.*arm64$") > 0 {
				t.Error("announced all the same")
			}
		})
	}
}

// lenient makes a registry take an index without looking at what it refers to.
func lenient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			r.Header.Set("Content-Type", ocispec.MediaTypeImageManifest)
		}
		next.ServeHTTP(w, r)
	})
}

// The meeting needs no list of tags, which registries often refuse.
func TestNoListing(t *testing.T) {
	s := newSite(t, registrytest.Memory())
	s.Add(registrytest.Rule{Path: "/(tags/list|_catalog|referrers/)", Fault: registrytest.Refuse(403, "DENIED", "no")})
	s.announce(t, s.options(), buildImage(arm64, "1", true))
	s.announce(t, s.options(), buildImage(amd64, "1", true))
	if _, err := newMeeting(t, s.options()).Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if n := s.Count("", "/(tags/list|_catalog|referrers/)"); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// Cases 75 and 76: a registry in trouble is waited for, and asked before anything is
// written twice.
func TestTroubles(t *testing.T) {
	tests := []struct {
		name  string
		rule  registrytest.Rule
		waits time.Duration
	}{
		{"429 when looking", registrytest.Rule{Method: "HEAD", Path: "/mabuild-", Times: 2, Fault: registrytest.Status(429, "", "Retry-After", "7")}, 14 * time.Second},
		{"429 when announcing", registrytest.Rule{Method: "PUT", Path: "/mabuild-", Times: 1, Fault: registrytest.Status(429, "", "Retry-After", "30")}, 30 * time.Second},
		{"503 when reading", registrytest.Rule{Method: "GET", Path: registrytest.Manifests, Times: 1, Fault: registrytest.Status(503, "")}, time.Millisecond},
		{"504 when announcing", registrytest.Rule{Method: "PUT", Path: "/mabuild-", Times: 1, Fault: registrytest.Stored(504)}, time.Millisecond},
		{"cut when naming", registrytest.Rule{Method: "PUT", Path: "/1$", Times: 1, Fault: registrytest.StoredReset()}, time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, registrytest.Memory())
			images := []built{buildImage(amd64, "1", false), buildImage(arm64, "1", false)}
			manifests := slices.Concat(s.push(t, images[0]), s.push(t, images[1]))
			s.Add(test.rule)
			publisher := shard.Publisher{Meeting: newMeeting(t, s.options())}
			root, err := publisher.Publish(t.Context(), manifests)
			if err != nil || root.Digest == "" || s.resolve(t, s.name) != root.Digest {
				t.Errorf("got %s: %v", root.Digest, err)
			}
			if slept, _ := s.clock.Slept(); slept < test.waits {
				t.Errorf("waited %s, want %s", slept, test.waits)
			}
			if n := s.Count("PUT", "/1$"); n != 1 {
				t.Errorf("the name was written %d times", n)
			}
		})
	}
}

// A registry that refuses says so in its own words, and the name stays absent.
func TestDenied(t *testing.T) {
	s := newSite(t, registrytest.Memory())
	s.Add(registrytest.Rule{Method: "PUT", Path: "/mabuild-", Fault: registrytest.Refuse(403, "DENIED", "no staging here")})
	publisher := shard.Publisher{Meeting: newMeeting(t, s.options())}
	_, err := publisher.Publish(t.Context(), s.push(t, buildImage(amd64, "1", false)))
	var refused *registry.Error
	if !errors.As(err, &refused) || refused.Status != 403 || !strings.Contains(err.Error(), "no staging here") {
		t.Errorf("got %v", err)
	}

	s = newSite(t, registrytest.Memory())
	s.Add(registrytest.Rule{Method: "PUT", Path: "/latest$", Fault: registrytest.Refuse(403, "DENIED", "no latest here")})
	opts := s.options()
	opts.Names = append(opts.Names, s.Host()+"/app")
	s.announce(t, opts, buildImage(amd64, "1", false))
	s.announce(t, opts, buildImage(arm64, "1", false))
	_, err = newMeeting(t, opts).Assemble(t.Context())
	if want := fmt.Sprintf("Written: %s. Not written: %s/app:latest.", s.name, s.Host()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// Case 55: where tags are immutable, jobs run again all the same.
func TestImmutable(t *testing.T) {
	s := newSite(t, registrytest.Memory())
	s.Add(registrytest.Rule{Fault: registrytest.Immutable()})
	s.announce(t, s.options(), buildImage(amd64, "1", false))
	s.announce(t, s.options(), buildImage(arm64, "1", false))
	for attempt := range 3 {
		publisher := shard.Publisher{Meeting: newMeeting(t, s.options())}
		if _, err := publisher.Publish(t.Context(), s.push(t, buildImage(amd64, fmt.Sprint(attempt), false))); err != nil || publisher.Image == nil {
			t.Errorf("attempt %d: %v", attempt, err)
		}
	}
}
