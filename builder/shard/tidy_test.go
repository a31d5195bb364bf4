package shard_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/builder/registry/registrytest"
	"github.com/mabuild/mabuild/builder/shard"
)

// Case 83: what is removed takes nothing with it.
func TestTidy(t *testing.T) {
	for name, backend := range backends(t) {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, backend)
			s.announce(t, s.options(), buildImage(amd64, "1", true))
			s.announce(t, s.options(), buildImage(arm64, "1", true))
			meeting := newMeeting(t, s.options())
			image, err := meeting.Assemble(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			// Somebody uses one of the tags for something else.
			other := buildImage(arm64, "2", false)
			s.push(t, other)
			s.put(t, meeting.Tags()[1], other.descs[0].MediaType, other.bodies[0])

			removed, err := meeting.Tidy(t.Context(), image)
			if err != nil || !cmp.Equal(removed, meeting.Tags()[:1]) {
				t.Errorf("removed %v: %v", removed, err)
			}
			if s.resolve(t, meeting.Tags()[0]) != "" || s.resolve(t, meeting.Tags()[1]) != other.descs[0].Digest {
				t.Error("not what was to be removed")
			}
			if s.resolve(t, s.name) != image.Root.Digest {
				t.Error("the image is gone")
			}
			for _, shard := range image.Shards {
				if missing, err := s.client.Missing(t.Context(), s.name, shard.Manifests...); err != nil || len(missing) > 0 {
					t.Errorf("missing %v: %v", missing, err)
				}
			}
			if removed, err := meeting.Tidy(t.Context(), image); err != nil || len(removed) > 0 {
				t.Errorf("the second time removed %v: %v", removed, err)
			}
		})
	}
}

// GitHub deletes the manifest with the tag, so nothing is even asked for there.
func TestTidyGitHub(t *testing.T) {
	s := newSite(t, registrytest.Memory())
	for _, name := range []string{"ghcr.io/me/app:1", "containers.github.example/me/app:1"} {
		opts := s.options()
		opts.Names = []string{name}
		meeting := newMeeting(t, opts)
		image := &shard.Image{Shards: []shard.Shard{{Platform: amd64, Tag: meeting.Tags()[0]}}}
		if removed, err := meeting.Tidy(t.Context(), image); err != nil || len(removed) > 0 {
			t.Errorf("%s: removed %v: %v", name, removed, err)
		}
	}
}

func TestTidyRefused(t *testing.T) {
	s := newSite(t, registrytest.Memory())
	s.announce(t, s.options(), buildImage(amd64, "1", false))
	s.announce(t, s.options(), buildImage(arm64, "1", false))
	meeting := newMeeting(t, s.options())
	image, err := meeting.Assemble(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Add(registrytest.Rule{Method: "DELETE", Fault: registrytest.Refuse(405, "UNSUPPORTED", "not here")})
	if removed, err := meeting.Tidy(t.Context(), image); err == nil || len(removed) > 0 {
		t.Errorf("removed %v: %v", removed, err)
	}
}
