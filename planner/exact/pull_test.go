package exact_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner/exact"
)

// Asking the registry about images changes the digests of BuildKit, as the session
// does, but not what is done.
func TestPullAndSession(t *testing.T) {
	t.Parallel()
	opts := exact.Options{
		Dockerfile: []byte("FROM a\nCOPY x /\nRUN make\n"),
		Resolver:   parseRegistry(t, "index a linux/amd64\n"),
	}
	ids := func(opts exact.Options) (ids, digests []digest.Digest) {
		for _, s := range plan(t, opts).Steps {
			ids, digests = append(ids, s.ID), append(digests, s.Digests...)
		}
		return ids, digests
	}
	wantIDs, before := ids(opts)
	for name, change := range map[string]func(*exact.Options){
		"pull":    func(o *exact.Options) { o.Pull = true },
		"session": func(o *exact.Options) { o.SessionID = "another" },
	} {
		changed := opts
		change(&changed)
		gotIDs, after := ids(changed)
		if diff := cmp.Diff(wantIDs, gotIDs); diff != "" {
			t.Errorf("%s: IDs (-want +got):\n%s", name, diff)
		}
		if cmp.Equal(before, after) {
			t.Errorf("%s: the digests are the same", name)
		}
	}
}
