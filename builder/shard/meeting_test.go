package shard_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/mabuild/mabuild/builder"
	"github.com/mabuild/mabuild/builder/index"
	"github.com/mabuild/mabuild/builder/registry/registrytest"
	"github.com/mabuild/mabuild/builder/shard"
)

var _ builder.Publisher = (*shard.Publisher)(nil)

// backends are the registries that images are made in.
func backends(t *testing.T) map[string]http.Handler {
	return map[string]http.Handler{"memory": registrytest.Memory(), "distribution": registrytest.Distribution(t)}
}

// Cases 54 and 56: two runners, one name; it is written once, with everything.
func TestPublish(t *testing.T) {
	for name, backend := range backends(t) {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, backend)
			opts := s.options()
			opts.Names = []string{s.name, s.Host() + "/copy:latest"}
			opts.Annotations = map[string]string{"org.opencontainers.image.title": "app"}
			images := []built{buildImage(amd64, "1", true), buildImage(arm64, "1", true)}

			// The order in which they finish is not that of the plan.
			first := shard.Publisher{Meeting: newMeeting(t, opts)}
			root, err := first.Publish(t.Context(), s.push(t, images[1], opts.Names[1]))
			if err != nil || root.Digest != "" || first.Image != nil {
				t.Fatalf("the first shard made %s: %v", root.Digest, err)
			}
			if got := first.Missing.Error(); !strings.Contains(got, "announced linux/amd64 yet") || !strings.Contains(got, s.Host()+"/app:mabuild-") {
				t.Errorf("missing: %s", got)
			}
			if slept, _ := s.clock.Slept(); slept != time.Minute {
				t.Errorf("it has waited %s", slept)
			}
			if s.resolve(t, s.name) != "" {
				t.Fatal("the name is there")
			}

			second := shard.Publisher{Meeting: newMeeting(t, opts)}
			root, err = second.Publish(t.Context(), s.push(t, images[0], opts.Names[1]))
			if err != nil || second.Missing != nil {
				t.Fatalf("missing %v, error %v", second.Missing, err)
			}
			want, _, err := index.Join(slices.Concat(images[0].descs[:1], images[1].descs[:1], images[0].descs[1:], images[1].descs[1:]),
				index.Options{Annotations: opts.Annotations})
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range opts.Names {
				if got := s.resolve(t, name); got != want.Digest || root.Digest != got {
					t.Errorf("%s is %s, published %s, want %s", name, got, root.Digest, want.Digest)
				}
			}
			if got := second.Image.Shards[1].Manifests[0].Digest; got != images[1].descs[0].Digest {
				t.Errorf("arm64 is %s", got)
			}

			// A job that runs again writes nothing.
			writes := s.Count("PUT", registrytest.Manifests)
			again := shard.Publisher{Meeting: newMeeting(t, opts)}
			root, err = again.Publish(t.Context(), images[1].descs)
			if err != nil || root.Digest != want.Digest || s.Count("PUT", registrytest.Manifests) != writes {
				t.Errorf("the re-run made %s with %d writes: %v", root.Digest, s.Count("PUT", registrytest.Manifests)-writes, err)
			}
		})
	}
}

// Finishers that really run at once: all that make the image make the same.
func TestFinishersAtOnce(t *testing.T) {
	for name, backend := range backends(t) {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, backend)
			var group errgroup.Group
			made := make([]digest.Digest, 8)
			for i := range made {
				opts := newRunner(t, s.Proxy).options()
				manifests := s.push(t, buildImage(opts.Platforms[i%2], "1", true))
				publisher := shard.Publisher{Meeting: newMeeting(t, opts)}
				group.Go(func() error {
					root, err := publisher.Publish(t.Context(), manifests)
					made[i] = root.Digest
					return err
				})
			}
			if err := group.Wait(); err != nil {
				t.Fatal(err)
			}
			want := s.resolve(t, s.name)
			if want == "" || !slices.Contains(made, want) {
				t.Fatalf("the name is %q, made were %v", want, made)
			}
			for _, got := range made {
				if got != "" && got != want {
					t.Errorf("made %s, the name is %s", got, want)
				}
			}
		})
	}
}

// Case 60: one platform without attestations is no index.
func TestOnePlatform(t *testing.T) {
	s := newSite(t, registrytest.Memory())
	opts := s.options()
	opts.Platforms = opts.Platforms[:1]
	opts.Annotations = map[string]string{"a": "b"}
	image := buildImage(amd64, "1", false)
	publisher := shard.Publisher{Meeting: newMeeting(t, opts)}
	root, err := publisher.Publish(t.Context(), s.push(t, image))
	if err != nil || root.Digest != image.descs[0].Digest || s.resolve(t, s.name) != root.Digest {
		t.Errorf("got %s: %v", root.Digest, err)
	}
}

// One runner may build several platforms, and the last job none.
func TestSeveralPlatforms(t *testing.T) {
	s := newSite(t, registrytest.Memory())
	opts := s.options()
	opts.Platforms = append(opts.Platforms, ocispec.Platform{OS: "windows", Architecture: "amd64"})
	windows := ocispec.Platform{OS: "windows", Architecture: "amd64", OSVersion: "10.0.20348.1"}
	all := newMeeting(t, opts)
	manifests := slices.Concat(s.push(t, buildImage(windows, "1", false)), s.push(t, buildImage(amd64, "1", true)))
	if err := all.Announce(t.Context(), manifests); err != nil {
		t.Fatal(err)
	}
	_, err := all.Assemble(t.Context())
	var missing *shard.MissingError
	if !errors.As(err, &missing) || !cmp.Equal(missing.Platforms, []ocispec.Platform{arm64}) || !cmp.Equal(missing.Tags, all.Tags()[1:2]) {
		t.Fatalf("got %v", err)
	}
	s.announce(t, opts, buildImage(ocispec.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}, "1", false))
	image, err := all.Assemble(t.Context())
	if err != nil || len(image.Shards) != 3 || s.resolve(t, s.name) != image.Root.Digest {
		t.Errorf("got %+v: %v", image, err)
	}
}

// A runner's own times must not keep the shards from meeting.
func TestAnnotations(t *testing.T) {
	s := newSite(t, registrytest.Memory())
	for _, platform := range []ocispec.Platform{arm64, amd64} {
		opts := s.options()
		opts.Annotations = map[string]string{"created": "when " + platform.Architecture + " started", "same": "for all"}
		s.announce(t, opts, buildImage(platform, "1", false))
	}
	image, err := newMeeting(t, s.options()).Assemble(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	body, err := s.client.Fetch(t.Context(), s.name, image.Root)
	if err != nil {
		t.Fatal(err)
	}
	var doc ocispec.Index
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"created": "when amd64 started", "same": "for all"}
	if diff := cmp.Diff(want, doc.Annotations); diff != "" {
		t.Error(diff)
	}
}

// The first announcement counts, unless it leads to nothing any more.
func TestEarlierAttempt(t *testing.T) {
	s := newSite(t, registrytest.Memory())
	first, second := buildImage(amd64, "1", false), buildImage(amd64, "2", false)
	look := func() string {
		t.Helper()
		found, err := newMeeting(t, s.options()).Look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != 1 {
			t.Fatalf("found %+v", found)
		}
		return found[0].Manifests[0].Digest.String()
	}
	s.announce(t, s.options(), first)
	s.announce(t, s.options(), second)
	if got := look(); got != first.descs[0].Digest.String() {
		t.Errorf("announced is %s, not the first attempt's %s", got, first.descs[0].Digest)
	}

	s.Add(registrytest.Rule{Path: first.descs[0].Digest.String(), Fault: registrytest.Refuse(404, "MANIFEST_UNKNOWN", "it was cleaned up")})
	s.announce(t, s.options(), second)
	if got := look(); got != second.descs[0].Digest.String() {
		t.Errorf("announced is %s, not the second attempt's %s", got, second.descs[0].Digest)
	}
}

// Two jobs for one platform: the one whose announcement is there in the end is right.
func TestAnnouncedMeanwhile(t *testing.T) {
	s := newSite(t, registrytest.Memory())
	theirs, mine := buildImage(amd64, "theirs", false), buildImage(amd64, "mine", false)
	other := newMeeting(t, s.options())
	manifests := s.push(t, theirs)
	s.Add(registrytest.Rule{
		Method: "PUT", Path: "/mabuild-", Times: 1,
		Fault: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			if err := other.Announce(context.Background(), manifests); err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusCreated)
		},
	})
	s.announce(t, s.options(), mine)
	s.announce(t, s.options(), buildImage(arm64, "1", false))
	image, err := other.Assemble(t.Context())
	if err != nil || image.Shards[0].Manifests[0].Digest != theirs.descs[0].Digest {
		t.Errorf("got %+v: %v", image, err)
	}
}

// Images of other names, and other runs, have meetings of their own.
func TestKeys(t *testing.T) {
	s := newSite(t, registrytest.Memory())
	base := newMeeting(t, s.options()).Tags()
	tests := []struct {
		name   string
		change func(*shard.Options)
		same   bool
	}{
		{"nothing", func(*shard.Options) {}, true},
		{"plan", func(o *shard.Options) { o.Plan = shard.Plan{"x": "y"} }, true},
		{"annotations", func(o *shard.Options) { o.Annotations = map[string]string{"a": "b"} }, true},
		{"name said twice", func(o *shard.Options) { o.Names = append(o.Names, s.name) }, true},
		{"variant spelt out", func(o *shard.Options) {
			o.Platforms = []ocispec.Platform{amd64, {OS: "linux", Architecture: "arm64", Variant: "v8"}}
		}, true},
		{"run", func(o *shard.Options) { o.Run = "18" }, false},
		{"tag", func(o *shard.Options) { o.Names = []string{s.name + "-alpine"} }, false},
		{"one more name", func(o *shard.Options) { o.Names = append(o.Names, s.name+"-alpine") }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opts := s.options()
			test.change(&opts)
			if got := newMeeting(t, opts).Tags(); cmp.Equal(got, base) != test.same {
				t.Errorf("the tags are %v", got)
			}
		})
	}
	if want := s.Host() + "/app:mabuild-"; !strings.HasPrefix(base[1], want) || !strings.HasSuffix(base[1], "-linux-arm64") {
		t.Errorf("the tag is %s", base[1])
	}
}

func TestWaitEnds(t *testing.T) {
	s := newSite(t, registrytest.Memory())
	opts := s.options()
	opts.Patience = -1
	_, err := newMeeting(t, opts).Wait(t.Context())
	var missing *shard.MissingError
	if slept, _ := s.clock.Slept(); !errors.As(err, &missing) || slept != 0 {
		t.Errorf("without patience: slept %s, error %v", slept, err)
	}

	stop := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	opts.Patience = time.Hour
	opts.Clock.Sleep = func(ctx context.Context, _ time.Duration) error {
		cancel(stop)
		return context.Cause(ctx)
	}
	if _, err := newMeeting(t, opts).Wait(ctx); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}
