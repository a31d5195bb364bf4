package toolbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/builder/toolbox"
	"github.com/mabuild/mabuild/emulation/dispatch"
	boxes "github.com/mabuild/mabuild/emulation/toolbox"
)

// wants is what an engine says of a step on an image that takes long.
func wants(t *testing.T, image string, suites ...string) *client.SolveStatus {
	t.Helper()
	text, err := json.Marshal(dispatch.Want{Architecture: "arm64", Suites: suites, Long: true})
	if err != nil {
		t.Fatal(err)
	}
	return &client.SolveStatus{Statuses: []*client.VertexStatus{
		{ID: "extracting", Vertex: digest.Digest(image)},
		{ID: dispatch.WantStatus + "1", Vertex: digest.Digest(image), Name: string(text)},
	}}
}

// options name the image of a step by its digest, as the tests make it.
func options() toolbox.Options {
	return toolbox.Options{Base: func(step digest.Digest) (ref, platform string) { return string(step), "linux/arm64" }}
}

// gate is the making of toolboxes, which goes on when the test says so.
type gate struct {
	tried chan boxes.Recipe
	next  chan struct{}
}

func newGate() *gate {
	return &gate{make(chan boxes.Recipe, 100), make(chan struct{}, 100)}
}

func (g *gate) try(ctx context.Context, recipe boxes.Recipe) {
	g.tried <- recipe
	select {
	case <-g.next:
	case <-ctx.Done():
	}
}

// take lets so many toolboxes be made, and returns what they were.
func (g *gate) take(t *testing.T, n int) []string {
	t.Helper()
	var taken []string
	for range n {
		select {
		case recipe := <-g.tried:
			taken = append(taken, recipe.Suite+" "+recipe.Base)
		case <-time.After(10 * time.Second):
			t.Fatalf("after %q nothing is made", taken)
		}
		g.next <- struct{}{}
	}
	return taken
}

// What takes seconds is made before what takes longer, though it was wanted later;
// every image has one of its own, and all of a release share that of the archive.
func TestObserve(t *testing.T) {
	g := newGate()
	m := toolbox.NewMakerOf(t.Context(), options(), g.try)
	defer m.Close()
	m.Observe(wants(t, "first", "trixie-base", "trixie"))
	first := <-g.tried
	for _, image := range []string{"second", "first", "second"} {
		m.Observe(wants(t, image, "trixie-base", "trixie"))
	}
	if first.Suite != "trixie-base" || first.Base != "first" || first.Platform != "linux/arm64" || first.Host == "" {
		t.Errorf("made first is %+v", first)
	}
	g.next <- struct{}{}
	if diff := cmp.Diff([]string{"trixie-base second", "trixie first"}, g.take(t, 2)); diff != "" {
		t.Error(diff)
	}
	m.Observe(wants(t, "first", "trixie-install"))
	m.Observe(wants(t, "second", "trixie-install"))
	if diff := cmp.Diff([]string{"trixie-install first", "trixie-install second"}, g.take(t, 2)); diff != "" {
		t.Error(diff)
	}
	m.Observe(wants(t, "third", "trixie", "go1.26.8"))
	if diff := cmp.Diff([]string{"go1.26.8 third"}, g.take(t, 1)); diff != "" {
		t.Errorf("what was tried is tried again:\n%s", diff)
	}
}

// What cannot be understood, or has no image, is nothing to make.
func TestObserveNothing(t *testing.T) {
	g := newGate()
	m := toolbox.NewMakerOf(t.Context(), options(), g.try)
	defer m.Close()
	m.Observe(&client.SolveStatus{Statuses: []*client.VertexStatus{{ID: dispatch.WantStatus + "1", Vertex: "image", Name: "{"}}})
	m.Observe(wants(t, "", "trixie")) // of a step without an image
	m.Observe(wants(t, "image"))
	deaf := toolbox.NewMakerOf(t.Context(), toolbox.Options{}, g.try)
	defer deaf.Close()
	deaf.Observe(wants(t, "image", "trixie"))
	m.Observe(wants(t, "image", "noble"))
	if diff := cmp.Diff([]string{"noble image"}, g.take(t, 1)); diff != "" {
		t.Error(diff)
	}
	var none *toolbox.Maker
	none.Observe(wants(t, "image", "trixie"))
	none.Close()
}

// What takes long to make is made for steps that take long.
func TestObserveShort(t *testing.T) {
	g := newGate()
	m := toolbox.NewMakerOf(t.Context(), options(), g.try)
	defer m.Close()
	text := `{"architecture":"arm64","suites":["trixie","trixie-base"]}`
	m.Observe(&client.SolveStatus{Statuses: []*client.VertexStatus{{ID: dispatch.WantStatus + "1", Vertex: "short", Name: text}}})
	m.Observe(wants(t, "long", "trixie"))
	if diff := cmp.Diff([]string{"trixie-base short", "trixie long"}, g.take(t, 2)); diff != "" {
		t.Error(diff)
	}
}

// A build that ends does not wait for a toolbox, nor does one that wants many.
func TestClose(t *testing.T) {
	g := newGate()
	m := toolbox.NewMakerOf(t.Context(), options(), g.try)
	for n := range 2 * toolbox.MaxWanted {
		m.Observe(wants(t, fmt.Sprintf("image%d", n), "trixie-base", "trixie"))
	}
	<-g.tried
	closed := make(chan struct{})
	go func() {
		m.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatal("the build waits for its toolboxes")
	}
	m.Observe(wants(t, "late", "trixie-base"))
	if left := len(g.tried); left != 0 {
		t.Errorf("after the end, %d more were begun", left)
	}
}

// An end of the program ends the making, too.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g := newGate()
	m := toolbox.NewMakerOf(ctx, options(), g.try)
	m.Observe(wants(t, "image", "trixie-base", "trixie"))
	<-g.tried
	cancel()
	m.Close()
	if left := len(g.tried); left != 0 {
		t.Errorf("after the end, %d more were begun", left)
	}
}
