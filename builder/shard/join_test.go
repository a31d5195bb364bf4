package shard_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/builder/registry/registrytest"
	"github.com/mabuild/mabuild/builder/shard"
)

// Who only joins knows no plan, and announces nothing.
func TestJoin(t *testing.T) {
	s := newSite(t, registrytest.Memory())
	opts := s.options()
	opts.Plan = nil
	joins := newMeeting(t, opts)
	if err := joins.Announce(t.Context(), s.push(t, buildImage(amd64, "1", false))); err == nil || !strings.Contains(err.Error(), "without a plan") {
		t.Errorf("announcing without a plan: %v", err)
	}
	s.announce(t, s.options(), buildImage(amd64, "1", false))
	missing := (*shard.MissingError)(nil)
	if _, err := joins.Assemble(t.Context()); !errors.As(err, &missing) {
		t.Errorf("joining one of two: %v", err)
	}
	s.announce(t, s.options(), buildImage(arm64, "1", false))
	image, err := joins.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := s.resolve(t, s.name); got != image.Root.Digest {
		t.Errorf("the name is %s, not %s", got, image.Root.Digest)
	}
}

// The shards have to agree with each other.
func TestJoinOtherPlans(t *testing.T) {
	s := newSite(t, registrytest.Memory())
	s.unseen(t)
	_ = newMeeting(t, s.options()).Announce(t.Context(), s.push(t, buildImage(amd64, "1", false)))
	opts := s.options()
	opts.Plan = nil
	refused := (*shard.PlanError)(nil)
	if _, err := newMeeting(t, opts).Wait(t.Context()); !errors.As(err, &refused) || len(refused.Differs) == 0 {
		t.Errorf("joining: %v", err)
	}
	if s.resolve(t, s.name) != "" {
		t.Error("the image is there")
	}
}
