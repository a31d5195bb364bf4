package layered_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mabuild/mabuild/planner/show/layered"
)

func ExampleArrange() {
	box := layered.Node{Width: 80, Height: 40}
	drawing, err := layered.Arrange(layered.Graph{
		Nodes: []layered.Node{box, box, box},
		Edges: []layered.Edge{{From: 0, To: 1, Room: 30}, {From: 1, To: 2}, {From: 0, To: 2}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.0f x %.0f\n", drawing.Width, drawing.Height)
	for _, n := range drawing.Nodes {
		fmt.Printf("%.0f %.0f\n", n.X, n.Y)
	}
	fmt.Println(len(drawing.Edges[2]), "straight pieces around the node between")
	// Output:
	// 374 x 58
	// 0 17
	// 162 0
	// 294 16
	// 3 straight pieces around the node between
}

// random makes a graph whose edges lead from lower to higher numbers.
func random(seed uint64, nodes, edges int) layered.Graph {
	r := rand.New(rand.NewPCG(seed, seed))
	var g layered.Graph
	for range nodes {
		g.Nodes = append(g.Nodes, layered.Node{Width: 40 + 200*r.Float64(), Height: 20 + 80*r.Float64()})
	}
	for range edges {
		from, to := r.IntN(nodes), r.IntN(nodes)
		if from != to {
			g.Edges = append(g.Edges, layered.Edge{From: min(from, to), To: max(from, to), Room: 60 * r.Float64()})
		}
	}
	return g
}

// TestArrange holds for many graphs that boxes do not touch, that straight pieces
// touch no box but their own, and that curves are where no boxes are.
func TestArrange(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		g := random(seed, 1+int(seed)%40, int(seed*seed)%90)
		d, err := layered.Arrange(g)
		if err != nil {
			t.Fatal(err)
		}
		again, err := layered.Arrange(g)
		if err != nil || !cmp.Equal(d, again) {
			t.Fatalf("graph %d has two drawings: %v", seed, err)
		}
		for i, a := range d.Nodes {
			if a.X < -0.01 || a.Y < -0.01 || a.X+a.Width > d.Width+0.01 || a.Y+a.Height > d.Height+0.01 {
				t.Errorf("graph %d: node %d is beyond the sheet", seed, i)
			}
			for k, b := range d.Nodes[:i] {
				if a.X < b.X+b.Width+1 && b.X < a.X+a.Width+1 && a.Y < b.Y+b.Height+1 && b.Y < a.Y+a.Height+1 {
					t.Errorf("graph %d: nodes %d and %d touch", seed, i, k)
				}
			}
		}
		for i := range d.Edges {
			clear(t, g, d, i)
		}
	}
}

func clear(t *testing.T, g layered.Graph, d layered.Drawing, edge int) {
	t.Helper()
	path, ends := d.Edges[edge], g.Edges[edge]
	from, to := d.Nodes[ends.From], d.Nodes[ends.To]
	if path[0].From.X != from.X+from.Width || path[len(path)-1].To.X != to.X {
		t.Errorf("edge %d does not join its nodes", edge)
	}
	if y := path[0].From.Y; y < from.Y || y > from.Y+from.Height {
		t.Errorf("edge %d starts beside its node", edge)
	}
	if last := path[len(path)-1]; last.To.X-last.From.X < ends.Room-0.01 || last.To.Y < to.Y || last.To.Y > to.Y+to.Height {
		t.Errorf("edge %d ends without room for its label", edge)
	}
	for k, s := range path {
		if s.From.Y != s.To.Y || s.From.X > s.To.X+0.01 || k > 0 && path[k-1].To.X >= s.From.X {
			t.Errorf("edge %d goes back", edge)
		}
		for i, n := range d.Nodes {
			if i != ends.From && i != ends.To && s.From.X < n.X+n.Width && s.To.X > n.X && s.From.Y > n.Y-1 && s.From.Y < n.Y+n.Height+1 {
				t.Errorf("edge %d runs through node %d", edge, i)
			}
			if k > 0 && path[k-1].To.X < n.X+n.Width-0.01 && s.From.X > n.X+0.01 {
				t.Errorf("edge %d turns where node %d is", edge, i)
			}
		}
	}
}

// TestCrossings holds that what can be drawn without crossings is.
func TestCrossings(t *testing.T) {
	t.Parallel()
	box := layered.Node{Width: 10, Height: 10}
	g := layered.Graph{Nodes: []layered.Node{box, box, box, box, box, box}}
	g.Edges = []layered.Edge{{From: 0, To: 5}, {From: 1, To: 4}, {From: 2, To: 3}}
	d, err := layered.Arrange(g)
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range d.Edges {
		if from, to := path[0].From.Y, path[len(path)-1].To.Y; from-to > 0.01 || to-from > 0.01 {
			t.Errorf("edge %d is not straight: %v", i, path)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	nodes := make([]layered.Node, 400)
	var all []layered.Edge
	for i := range nodes {
		for k := range i {
			all = append(all, layered.Edge{From: k, To: i})
		}
	}
	for want, edges := range map[string][]layered.Edge{
		"circle":              {{From: 0, To: 1}, {From: 1, To: 2}, {From: 2, To: 0}},
		"2 of them":           {{From: 0, To: 1}, {From: 1, To: 1}, {From: 1, To: 2}},
		"there are 400 nodes": {{From: 0, To: 400}},
		"leave some out":      all,
	} {
		if _, err := layered.Arrange(layered.Graph{Nodes: nodes, Edges: edges}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if d, err := layered.Arrange(layered.Graph{}); err != nil || len(d.Nodes) != 0 {
		t.Errorf("nothing is drawn as %v, %v", d, err)
	}
}

func BenchmarkArrange(b *testing.B) {
	g := random(1, 500, 1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := layered.Arrange(g); err != nil {
			b.Fatal(err)
		}
	}
}
